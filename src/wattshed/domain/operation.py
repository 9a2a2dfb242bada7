"""How the replicas of a system are run: slots, queues, memory, sleep, failures. A plan of endless capacity knows none.

`None` means that nobody said: no such limit, and no such power, which is then not counted and reported as missing.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sleep:
    """What a replica does when nobody asks: after `after_s` idle it draws `power_w`, until a request wakes it.

    Waking takes `wake_s` and `wake_energy_j`, once.
    """

    after_s: float
    power_w: float
    wake_s: float = 0.0
    wake_energy_j: float = 0.0

    def __post_init__(self) -> None:
        if not min(self.after_s, self.power_w, self.wake_s, self.wake_energy_j) >= 0:
            raise ValueError("sleeping and waking take at least 0 s, 0 W and 0 J")


@dataclass(frozen=True, slots=True)
class Failures:
    """A replica runs for `mean_up_s` and is then down for `mean_down_s`, both exponential; what it served is lost."""

    mean_up_s: float
    mean_down_s: float

    def __post_init__(self) -> None:
        if not min(self.mean_up_s, self.mean_down_s) > 0:
            raise ValueError("the mean times up and down are positive")


@dataclass(frozen=True, slots=True)
class Operation:
    """How one replica is run.

    `slots` requests run at a time and up to `most_queued` wait. Under continuous batching `kv_tokens` are what its KV
    cache holds and `chunk_tokens` the most prompt tokens that one step computes. `idle_power_w` is drawn while it is
    awake and nothing runs.
    """

    slots: int = 1
    most_queued: int | None = None
    idle_power_w: float | None = None
    kv_tokens: int | None = None
    chunk_tokens: int | None = None
    sleep: Sleep | None = None
    failures: Failures | None = None

    def __post_init__(self) -> None:
        counts = (self.slots, self.kv_tokens, self.chunk_tokens)
        if any(count is not None and count < 1 for count in counts) or (self.most_queued or 0) < 0:
            raise ValueError("slots, kv_tokens and chunk_tokens are at least 1, and most_queued at least 0")
        if self.idle_power_w is not None and not self.idle_power_w >= 0:
            raise ValueError(f"idle_power_w is a power of at least 0 W, got {self.idle_power_w}")
