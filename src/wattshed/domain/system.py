"""Systems, their limits, and fleets of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from wattshed.domain.arrays import Booleans, Floats, Integers
from wattshed.domain.choices import Channel, PredictorKind
from wattshed.domain.operation import Operation

EAGER: Final = "eager"
"""The last word of an engine that launches every kernel by itself."""


@dataclass(frozen=True, slots=True, order=True)
class System:
    """What a measurement is a measurement of: hardware + model + engine configuration + host.

    `host` is a random label, never a machine's name: two hosts of one kind may differ by a factor of two in energy, so
    their trials are never pooled. `None` means that the source did not say.
    """

    name: str
    model: str
    hardware: str
    devices: int = 1
    engine: str | None = None
    precision: str | None = None
    kv_cache: bool | None = None
    concurrency: int = 1
    host: str | None = None

    @property
    def label(self) -> str:
        """Name and model, for people."""
        return f"{self.name} · {self.model}"

    @property
    def single(self) -> "System":
        """The same with one request in flight: what trials at several concurrencies have in common."""
        return replace(self, concurrency=1)

    @property
    def configuration(self) -> str:
        """How the engine launches kernels, its last word; one that names no way launches each by itself."""
        name, _, last = (self.engine or "").rpartition(" ")
        return last if name and last[:1].isalpha() else EAGER


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest query a system can serve, in tokens; `None` where no limit is known."""

    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    max_total_tokens: int | None = None
    reason: str | None = None

    def allow(self, input_tokens: Integers | int, output_tokens: Integers | int) -> Booleans:
        """Whether each query fits; shape (N,) for arrays of shape (N,)."""
        m, n = np.asarray(input_tokens), np.asarray(output_tokens)
        fits = np.ones(np.broadcast(m, n).shape, np.bool_)
        for tokens, most in ((m, self.max_input_tokens), (n, self.max_output_tokens), (m + n, self.max_total_tokens)):
            if most is not None:
                fits &= tokens <= most
        return fits

    def tightened(self, other: "Limits") -> "Limits":
        """The limits that satisfy both."""

        def least(ours: int | None, theirs: int | None) -> int | None:
            return min((most for most in (ours, theirs) if most is not None), default=None)

        return Limits(
            least(self.max_input_tokens, other.max_input_tokens),
            least(self.max_output_tokens, other.max_output_tokens),
            least(self.max_total_tokens, other.max_total_tokens),
            "; ".join(reason for reason in (self.reason, other.reason) if reason) or None,
        )


@dataclass(frozen=True, slots=True)
class Pool:
    """`count` identical replicas of one measured system in a fleet.

    `host_power_w` is power that the profile's meters did not see (an unbilled host, say); it is charged for the seconds
    a query keeps the system busy, and stated wherever a number includes it. `profile` is where it was measured, if not
    in the fleet's own, and `predictor` the form of its predictor, if not the fleet's. `operation` says how each replica
    is run.
    """

    name: str
    system: str
    count: int = 1
    host_power_w: float = 0.0
    limits: Limits = field(default_factory=Limits)
    profile: str | None = None
    operation: Operation = field(default_factory=Operation)
    predictor: PredictorKind | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"pool {self.name!r} needs at least one replica, got {self.count}")
        if not self.host_power_w >= 0:
            raise ValueError(f"pool {self.name!r}: host_power_w is a power of at least 0 W, got {self.host_power_w}")


@dataclass(frozen=True, slots=True)
class Fleet:
    """The pools that may serve one model, measured in `profile` or one of their own.

    A system's *position* is its index in `pools`.

    `file` is where it was read from, for messages only.
    """

    name: str
    profile: str
    model: str
    pools: tuple[Pool, ...]
    predictor: PredictorKind = "prefix"
    channel: Channel = "total"
    file: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        names = self.names
        if not names:
            raise ValueError(f"fleet {self.name!r} has no pools")
        if len(set(names)) < len(names):
            raise ValueError(f"fleet {self.name!r}: two pools share a name among {', '.join(names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the S pools, in order of position."""
        return tuple(pool.name for pool in self.pools)

    @property
    def profiles(self) -> tuple[str, ...]:
        """The profiles that its pools were measured in, each once."""
        return tuple(dict.fromkeys(pool.profile or self.profile for pool in self.pools))

    def position(self, name: str) -> int:
        """Position of the pool called `name`; KeyError where there is none."""
        positions: Mapping[str, int] = {pool: position for position, pool in enumerate(self.names)}
        return positions[name]


@dataclass(frozen=True, slots=True, eq=False)
class FleetState:
    """What the S systems of a fleet are doing as a query is placed; every array has shape (S,).

    `wait_s` is the predicted wait for a slot, `in_flight` the requests being served, `available` whether the system may
    be chosen at all. The planner of an infinite fleet uses `idle`.
    """

    wait_s: Floats
    in_flight: Integers
    available: Booleans

    @classmethod
    def idle(cls, systems: int) -> "FleetState":
        """Nobody waits, nothing runs, everyone is up."""
        return cls(np.zeros(systems), np.zeros(systems, np.int64), np.ones(systems, np.bool_))
