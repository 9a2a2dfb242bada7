"""A machine of the demo: as quick and as hungry as a measured one, with every token, second and joule known.

    taken up --R(m, 1)--> first token --R(m, 2) - R(m, 1)--> second --...--> the last, at R(m, n)

R and E are a predictor's, so whoever serves from the machine and knows the same predictor is right to the joule. Joules
flow at constant power from one token to the next; who leaves early has cost what had flowed. `speed_up` divides the
seconds and leaves the joules.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.predictors.curve import CurvePredictor

_MOST_ASKED: Final = 256
"""Tokens that the predictor is asked about; between them the pace is even. All 3,000 of a long answer took it 16 ms,
in which the event loop serves nobody else."""


@dataclass(frozen=True, slots=True, eq=False)
class Pace:
    """What one request costs: seconds from its start at which each of n tokens is there, and joules until then.

    Both have shape (n + 1,) and begin at 0, the start itself.
    """

    after_s: Floats
    energy_j: Floats

    def spent_j(self, elapsed_s: float) -> float:
        """Joules after so many seconds."""
        return float(np.interp(elapsed_s, self.after_s, self.energy_j))


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """Which measured machine is imitated, and how large a request it takes. `slots` requests run at a time.

    Predictors without company were measured at one request in flight, so that is what is true with one slot.
    """

    name: str
    predictor: CurvePredictor
    context_tokens: int = 4096
    slots: int = 1
    speed_up: float = 1.0

    def __post_init__(self) -> None:
        if self.slots < 1 or not 0 < self.speed_up < np.inf:
            raise ValueError(f"machine {self.name!r} needs a slot and a speed-up above 0")

    def pace(self, input_tokens: int, output_tokens: int) -> Pace:
        """The course of one request; exact at the first and the last token, whatever its length."""
        every, n = np.arange(1, output_tokens + 1), np.arange(1, output_tokens + 1)
        if output_tokens > _MOST_ASKED:
            n = np.unique(np.linspace(1, output_tokens, _MOST_ASKED).round().astype(np.int64))
        expected = self.predictor.expect(np.full_like(n, input_tokens), n)
        after_s, energy_j = (
            np.interp(every, n, np.maximum.accumulate(part)) for part in (expected.runtime_s, expected.energy_j)
        )
        return Pace(np.append(0.0, after_s / self.speed_up), np.append(0.0, energy_j))


def quickened(predictor: CurvePredictor, speed_up: float) -> CurvePredictor:
    """The predictor of a machine that is so many times faster: its seconds divided, their uncertainty too."""
    runtime = predictor.runtime
    return replace(
        predictor,
        runtime=replace(
            runtime,
            coefficients=runtime.coefficients / speed_up,
            factor=runtime.factor / speed_up,
            replicates=runtime.replicates / speed_up,
            residual_sd=runtime.residual_sd / speed_up,
        ),
    )


@dataclass(slots=True, eq=False)
class Run:
    """One request on a machine, from the moment that it has a slot until it is stopped."""

    pace: Pace
    started_at_s: float
    now_s: Callable[[], float]
    stopped_at_s: float | None = None

    async def until(self, token: int) -> None:
        """Wait for a token, counted from 1; one that is late already is there."""
        due_at_s = self.started_at_s + float(self.pace.after_s[token])
        await asyncio.sleep(max(due_at_s - self.now_s(), 0))  # without a wait, others get their turn all the same
        while self.now_s() < due_at_s:  # timers may be early by their resolution
            await asyncio.sleep(due_at_s - self.now_s())

    def stop(self) -> None:
        """Spend no more; a second stop changes nothing."""
        if self.stopped_at_s is None:
            self.stopped_at_s = self.now_s()

    @property
    def energy_j(self) -> float:
        """Joules so far."""
        until_s = self.now_s() if self.stopped_at_s is None else self.stopped_at_s
        return self.pace.spent_j(until_s - self.started_at_s)


@dataclass(frozen=True, slots=True)
class _Spent:
    """Joules of those who have left, and who is still there; put in place as one, so that a thread sees a whole."""

    finished_j: float = 0.0
    running: frozenset[Run] = frozenset()


class Occupancy:
    """Who runs on a machine, who waits, and all joules since it was started.

    One event loop changes it; any thread may ask for the joules, as the meter of an agent does.
    """

    def __init__(self, machine: Machine, now_s: Callable[[], float]) -> None:
        self.waiting = 0
        self._spent = _Spent()
        self._now_s = now_s
        self._free = asyncio.Semaphore(machine.slots)

    @property
    def running(self) -> frozenset[Run]:
        """Who has a slot."""
        return self._spent.running

    @property
    def energy_j(self) -> float:
        """Joules of all requests, those that run included; it never falls, but by rounding."""
        spent = self._spent
        return spent.finished_j + sum(run.energy_j for run in spent.running)

    @asynccontextmanager
    async def run(self, pace: Pace) -> AsyncIterator[Run]:
        """Wait for a slot, run, and pay for as much as was run."""
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        run = Run(pace, self._now_s(), self._now_s)
        self._spent = _Spent(self._spent.finished_j, self._spent.running | {run})
        try:
            yield run
        finally:
            run.stop()
            self._spent = _Spent(self._spent.finished_j + run.energy_j, self._spent.running - {run})
            self._free.release()
