"""Which systems may be asked: a circuit breaker each, which hears of requests and of probes.

    closed --- failures in a row, or too many of the last ---> open
      ^                                                          | after a pause that doubles each time
      |                                                          v
      +------------------ a success --------------------- half-open: one request at a time
                                                                 |
                       open again <-------- a failure -----------+

A system that closes again starts slowly: over `slow_start_s` it is given more and more of its slots. Probes open and
close breakers like requests do, so a system that nobody asks is not forgotten, and one that died is not asked.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass
from typing import Literal

Circuit = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """When a system counts as ill, and how it comes back.

    A breaker opens after `failures_in_row`, or where more than `most_failed` of the last `window` outcomes failed. It
    stays open for `open_s`, twice that the next time, and `most_open_s` at most.
    """

    failures_in_row: int = 3
    window: int = 20
    most_failed: float = 0.5
    open_s: float = 5.0
    most_open_s: float = 60.0
    slow_start_s: float = 10.0
    probe_every_s: float = 5.0
    probe_timeout_s: float = 2.0

    def __post_init__(self) -> None:
        if min(self.failures_in_row, self.window) < 1 or not 0 < self.most_failed <= 1:
            raise ValueError("health needs at least one failure, one outcome and a share above 0")
        durations_s = (self.open_s, self.most_open_s, self.probe_every_s, self.probe_timeout_s)
        if not all(0 < duration_s < math.inf for duration_s in durations_s) or not self.slow_start_s >= 0:
            raise ValueError("the durations of health are positive and finite")


@dataclass(frozen=True, slots=True)
class Condition:
    """What people see of a system: `reason` is its last failure, `retry_at_s` when an open breaker lets one through."""

    circuit: Circuit
    reason: str | None
    retry_at_s: float | None
    failures: int


class Breaker:
    """The breaker of one system. Every call says what time it is; nothing here waits."""

    def __init__(self, settings: HealthSettings) -> None:
        self._settings = settings
        self._outcomes: deque[bool] = deque(maxlen=settings.window)
        self._in_row = self._failures = self._openings = 0
        self._retry_at_s: float | None = None
        self._closed_at_s = -math.inf
        self._trying = False
        self._reason: str | None = None

    def circuit(self, at_s: float) -> Circuit:
        """Where it stands."""
        if self._retry_at_s is None:
            return "closed"
        return "open" if at_s < self._retry_at_s else "half-open"

    def available(self, at_s: float) -> bool:
        """Whether a request may go there: an open breaker lets none through, a half-open one a single one."""
        circuit = self.circuit(at_s)
        return circuit == "closed" or (circuit == "half-open" and not self._trying)

    def most_in_flight(self, slots: int, at_s: float) -> int:
        """How many of its slots may be used: all of them, or in a slow start the part of it that has passed."""
        if self._retry_at_s is not None:
            return 1
        passed = (at_s - self._closed_at_s) / self._settings.slow_start_s if self._settings.slow_start_s else 1.0
        return max(1, math.ceil(slots * min(passed, 1.0)))

    def steady(self, at_s: float) -> bool:
        """Whether it is closed, and any slow start is over."""
        return self._retry_at_s is None and at_s - self._closed_at_s >= self._settings.slow_start_s

    def begun(self, at_s: float) -> None:
        """A request went there."""
        if self.circuit(at_s) == "half-open":
            self._trying = True

    def released(self) -> None:
        """A request ended that says nothing about the system: its client went away."""
        self._trying = False

    def went_well(self) -> None:
        """A request was answered, as had been all since the last failure was over."""
        self._outcomes.append(True)

    def succeeded(self, at_s: float) -> None:
        """A request or a probe was answered."""
        self._outcomes.append(True)
        self._in_row, self._trying = 0, False
        if self.circuit(at_s) == "half-open":
            self._retry_at_s, self._closed_at_s, self._openings = None, at_s, 0
            self._outcomes.clear()

    def failed(self, at_s: float, reason: str) -> None:
        """A request or a probe was not answered."""
        was = self.circuit(at_s)
        self._outcomes.append(False)
        self._in_row += 1
        self._failures += 1
        self._reason, self._trying = reason, False
        if was == "half-open" or (was == "closed" and self._ill()):
            pause_s = min(self._settings.open_s * 2**self._openings, self._settings.most_open_s)
            self._retry_at_s = at_s + pause_s
            self._openings += 1

    def condition(self, at_s: float) -> Condition:
        """For people."""
        return Condition(self.circuit(at_s), self._reason, self._retry_at_s, self._failures)

    def _ill(self) -> bool:
        full = len(self._outcomes) == self._settings.window
        share = self._outcomes.count(False) / len(self._outcomes)
        return self._in_row >= self._settings.failures_in_row or (full and share > self._settings.most_failed)


class Health:
    """The breakers of a fleet, by position."""

    def __init__(self, systems: int, settings: HealthSettings, *, now_s: Callable[[], float]) -> None:
        self._breakers = tuple(Breaker(settings) for _ in range(systems))
        self._settings, self._now_s = settings, now_s
        self._troubled: set[int] = set()

    @property
    def troubled(self) -> Set[int]:
        """Systems that have failed, and perhaps are not yet what they were; all others are well, and need no asking."""
        return self._troubled

    def available(self, position: int) -> bool:
        """Whether a request may go to a system now."""
        return position not in self._troubled or self._breakers[position].available(self._now_s())

    def most_in_flight(self, position: int, slots: int) -> int:
        """How many of its `slots` may be used now."""
        return self._breakers[position].most_in_flight(slots, self._now_s())

    def begun(self, position: int) -> None:
        """A request went there."""
        if position in self._troubled:  # who is well has no breaker that could be half open
            self._breakers[position].begun(self._now_s())

    def released(self, position: int) -> None:
        """A request ended that says nothing about the system."""
        self._breakers[position].released()

    def succeeded(self, position: int) -> None:
        """A request was answered."""
        if position not in self._troubled:
            self._breakers[position].went_well()
            return
        breaker, now_s = self._breakers[position], self._now_s()
        breaker.succeeded(now_s)
        if breaker.steady(now_s):
            self._troubled.discard(position)

    def failed(self, position: int, reason: str) -> None:
        """A request was not answered."""
        self._troubled.add(position)
        self._breakers[position].failed(self._now_s(), reason)

    def conditions(self) -> tuple[Condition, ...]:
        """Every system's condition, in order of position."""
        return tuple(breaker.condition(self._now_s()) for breaker in self._breakers)

    async def watch(self, probes: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Probe every system every `probe_every_s`, until cancelled; a probe that raises or takes long has failed."""
        async with asyncio.TaskGroup() as group:
            for position, probe in enumerate(probes):
                group.create_task(self._watch_one(position, probe))

    async def _watch_one(self, position: int, probe: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self.probe(position, probe)
            await asyncio.sleep(self._settings.probe_every_s)

    async def probe(self, position: int, probe: Callable[[], Awaitable[None]]) -> None:
        """Ask a system whether it lives. A success counts only where it was ill: it must not hide failing requests."""
        breaker = self._breakers[position]
        try:
            async with asyncio.timeout(self._settings.probe_timeout_s):
                await probe()
        except Exception as error:  # noqa: BLE001 - the border of a task: whatever a probe raises is an answer
            self.failed(position, f"probe: {type(error).__name__}")
        else:
            if breaker.circuit(self._now_s()) == "half-open":
                breaker.succeeded(self._now_s())
