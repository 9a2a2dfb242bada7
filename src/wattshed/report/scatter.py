"""Means of cells with all that leaves them open: the scatter of their windows, and the accuracy of sensors.

No repeating makes the second smaller, and two machines do not share it (JCGM 100:2008, section 5.1 and equation G.2b,
for the logarithm). One window or two say little of their own scatter: such cells have that of all cells of their
system that the same side paced, visits to its reference cell among them. A device that has none takes what its system
has of cells that the host paced, which wander more; a host takes nothing of a device.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.plan import Interval
from wattshed.domain.system import System
from wattshed.profiler.design import REFERENCE, Shape
from wattshed.profiler.interval import t_quantile
from wattshed.profiler.pace import mean_known
from wattshed.report.profile_points import Quantity, measured

ENOUGH: Final = 3
"""Windows from which on a cell speaks of its own scatter: at two, Student's t is 12.7."""


class Mean(NamedTuple):
    """A mean over K windows, its relative standard error with the degrees of freedom of that, and its sensor's.

    `sensor_uncertainty` is relative; 0 for seconds, `None` where it is not known.
    """

    value: float
    relative_error: float
    freedom: float
    sensor_uncertainty: float | None = 0.0

    @property
    def interval(self) -> Interval:
        """The 95 % interval of scatter and sensor together; from 0 to infinity where the scatter is not known."""
        return _interval(self.value, [self])


class Scatter(NamedTuple):
    """Relative standard deviation of one window, pooled over cells with two or more; infinite where there are none."""

    relative: float
    freedom: int

    @classmethod
    def of(cls, pools: Sequence[Sequence[Measurement]], quantity: Quantity) -> "Scatter":
        """From all cells, each around its own mean."""
        squares, freedom = 0.0, 0
        for pool in pools:
            values = known_values(pool, quantity)
            if values.size > 1:
                squares += float(((values / values.mean() - 1) ** 2).sum())
                freedom += values.size - 1
        return cls(math.sqrt(squares / freedom) if freedom else math.inf, freedom)

    def mean(self, values: Floats) -> Mean | None:
        """The mean of a cell's K values; fewer than `ENOUGH` have this scatter, and none is `None`."""
        if values.size == 0:
            return None
        value, root = float(values.mean()), math.sqrt(values.size)
        if values.size < ENOUGH:
            return Mean(value, self.relative / root, self.freedom)
        return Mean(value, float(values.std(ddof=1)) / root / value, values.size - 1)


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredCells:
    """A profile by system and cell, visits to the reference cell among them: they are windows like any other."""

    channel: Channel
    cells: Mapping[System, Mapping[Shape, Sequence[Measurement]]]

    @classmethod
    def of(cls, profile: Profile, channel: Channel) -> "MeasuredCells":
        """The trials that count; systems are told apart by all but the requests in flight."""
        cells: dict[System, dict[Shape, list[Measurement]]] = {}
        counted = replace(profile, validation_experiments=profile.validation_experiments - {REFERENCE})
        for system, trials in measured(counted).items():
            for trial in trials:
                cells.setdefault(system.single, {}).setdefault(shape_of(trial), []).append(trial)
        return cls(channel, cells)

    def joules(self, system: System, shape: Shape) -> Mean | None:
        """Mean joules of a query with the sensor's uncertainty; `None` where no window of the cell has any."""
        quantity = joules_on(self.channel)
        mean = self._mean(system, shape, quantity)
        sensor = mean_known([trial.sensor_uncertainty for trial in self.cells[system][shape]])
        return None if mean is None else mean._replace(sensor_uncertainty=sensor)

    def seconds(self, system: System, shape: Shape) -> Mean:
        """Mean seconds of a query."""
        mean = self._mean(system, shape, query_seconds)
        assert mean is not None  # every trial has a runtime
        return mean

    def host_bound(self, system: System, shape: Shape) -> bool:
        """Whether the host paced a window of the cell."""
        return by_host(self.cells[system][shape])

    def utilization(self, system: System, shape: Shape) -> float | None:
        """Mean share of time that the accelerator ran kernels; `None` where a window does not tell."""
        return mean_known([trial.gpu_utilization for trial in self.cells[system][shape]])

    def _mean(self, system: System, shape: Shape, quantity: Quantity) -> Mean | None:
        device, host = self._scatters(system, quantity)
        lent = host if self.host_bound(system, shape) or not device.freedom else device
        return lent.mean(known_values(self.cells[system][shape], quantity))

    def _scatters(self, system: System, quantity: Quantity) -> tuple[Scatter, Scatter]:
        """Of cells of a system that the device paced, and of those that the host did."""
        pools = self.cells[system].values()
        device, host = ([pool for pool in pools if by_host(pool) == paced] for paced in (False, True))
        return Scatter.of(device, quantity), Scatter.of(host, quantity)


def ratio_of(ours: Mean | None, theirs: Mean | None) -> Interval | None:
    """Ours over theirs; `None` where a side has none."""
    if ours is None or theirs is None or min(ours.value, theirs.value) <= 0:
        return None
    return _interval(ours.value / theirs.value, [ours, theirs])


def shape_of(trial: Measurement) -> Shape:
    """The cell of a trial."""
    return Shape(trial.requested_input_tokens, trial.requested_output_tokens, trial.system.concurrency)


def joules_on(channel: Channel) -> Quantity:
    """Joules of a query on one channel."""
    return lambda trial: trial.energy_j(channel)


def query_seconds(trial: Measurement) -> float:
    """Seconds of a query."""
    return trial.query_runtime_s


def known_values(trials: Sequence[Measurement], quantity: Quantity) -> Floats:
    """A quantity of the trials that know it, shape (K,)."""
    return np.array([value for trial in trials if (value := quantity(trial)) is not None], np.float64)


def by_host(trials: Sequence[Measurement]) -> bool:
    """Whether the host paced any of the windows."""
    return any(trial.bound == "host" for trial in trials)


def _interval(value: float, means: Sequence[Mean]) -> Interval:
    """Around a mean or a quotient of two; Welch and Satterthwaite's degrees of freedom, those of sensors infinite."""
    errors = [mean.relative_error for mean in means]
    if math.inf in errors:
        return Interval(value, 0.0, math.inf)
    combined = math.hypot(*errors, *(mean.sensor_uncertainty or 0.0 for mean in means))
    shares = sum(mean.relative_error**4 / mean.freedom for mean in means)
    freedom = combined**4 / shares if shares else math.inf
    factor = math.exp(t_quantile(freedom, 0.95) * combined)
    return Interval(value, value / factor, value * factor)
