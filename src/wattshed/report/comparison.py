"""Two profiles, cell by cell: how many times the joules and the seconds, and is it more than the measuring leaves open?

Cells are compared where both sides did the same work: model, token counts, requests in flight, KV cache, and the
engine's configuration where both name one. Cells paced by a host tell of that host as well; they are compared, flagged,
and left out of every count. Nothing is averaged over cells.

The interval of a ratio holds the scatter of both sides and, for joules, the uncertainty of both sensors, which no
repeating makes smaller and which two machines do not share (JCGM 100:2008, section 5.1 and equation G.2b, for the
logarithm). with one window borrows its scatter from the cells of its own profile that have more.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.choices import Channel
from wattshed.domain.joining import work_of
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.plan import Interval
from wattshed.domain.system import System
from wattshed.profiler.design import REFERENCE, Shape
from wattshed.profiler.interval import t_quantile
from wattshed.profiler.pace import mean_known
from wattshed.report.effects import EAGER
from wattshed.report.profile_points import Quantity, measured

Ratioed = Literal["joules", "seconds"]
"""What is compared: joules and seconds of a query."""

QUANTITIES: Final[tuple[Ratioed, ...]] = get_args(Ratioed)


@dataclass(frozen=True, slots=True)
class Compared:
    """One cell on both sides: ours over theirs, with 95 % intervals; `joules_ratio` is `None` where a side has none.

    `sensor_known` says that the interval of `joules_ratio` holds the accuracy of both sensors. `trials` counts windows,
    ours and theirs.
    """

    ours: System
    theirs: System
    shape: Shape
    joules_ratio: Interval | None
    seconds_ratio: Interval
    host_bound: bool
    sensor_known: bool
    trials: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Drift:
    """The reference cell of one system: K visits over `span_s`, its spread, and the trend from the first to the last.

    All but `trials` and `span_s` are fractions of the mean; `joules_...` is `None` where there are no joules.
    """

    system: System
    shape: Shape
    trials: int
    span_s: float | None
    seconds_range: float
    seconds_trend: float
    joules_range: float | None
    joules_trend: float | None


def compare(ours: Profile, theirs: Profile, channel: Channel) -> list[Compared]:
    """Every cell that both profiles measured, by model, configuration and shape."""
    first, second = (_Measured.of(profile, channel) for profile in (ours, theirs))
    found = [
        _compared(first, second, mine, other, shape, channel)
        for mine in first.cells
        for other in second.cells
        if _same_work(mine, other)
        for shape in sorted(first.cells[mine].keys() & second.cells[other].keys())
    ]
    return sorted(found, key=lambda one: (title(one), one.shape))


def ratio(one: Compared, quantity: Ratioed) -> Interval | None:
    """Ours over theirs, of one quantity."""
    return one.joules_ratio if quantity == "joules" else one.seconds_ratio


def title(one: Compared) -> str:
    """Both systems, and what both did: the work, the cache, and the launching where it is not one by one."""
    cache = {True: "KV cache", False: "no cache", None: "cache not known"}[one.ours.kv_cache]
    launching = _configuration(one.ours)
    work = ", ".join((work_of(one.ours.model), cache, *([] if launching == EAGER else [launching])))
    return f"{one.ours.name} / {one.theirs.name}: {work}"


def differs(interval: Interval | None) -> bool:
    """Whether a ratio is off 1 by more than its interval allows."""
    return interval is not None and not interval.lower <= 1 <= interval.upper


def drifts(profile: Profile, channel: Channel) -> list[Drift]:
    """How still each system's reference cell stood, for systems that visited it twice or more."""
    visits: dict[tuple[System, Shape], list[Measurement]] = {}
    for trial in profile.measurements:
        if trial.experiment == REFERENCE and not trial.warm_up:
            visits.setdefault((trial.system, _shape(trial)), []).append(trial)
    return [_drift(system, shape, trials, channel) for (system, shape), trials in visits.items() if len(trials) > 1]


class _Mean(NamedTuple):
    """A mean over K values, its relative standard error, and the degrees of freedom of that."""

    value: float
    relative_error: float
    freedom: float


Cells = Mapping[Shape, Sequence[Measurement]]


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """A profile by system and cell, with its typical relative scatter of joules and of seconds."""

    cells: Mapping[System, Cells]
    energy: "_Scatter"
    runtime: "_Scatter"

    @classmethod
    def of(cls, profile: Profile, channel: Channel) -> "_Measured":
        """The trials that count, visits to the reference cell among them: they are windows like any other."""
        cells: dict[System, dict[Shape, list[Measurement]]] = {}
        for system, trials in measured(profile).items():
            for trial in trials:
                cells.setdefault(system.single, {}).setdefault(_shape(trial), []).append(trial)
        pools = [pool for own in cells.values() for pool in own.values()]
        return cls(cells, _Scatter.of(pools, _joules(channel)), _Scatter.of(pools, _seconds))


class _Scatter(NamedTuple):
    """Relative standard deviation of one window, pooled over cells with two or more; infinite where there are none."""

    relative: float
    freedom: int

    @classmethod
    def of(cls, pools: Sequence[Sequence[Measurement]], quantity: Quantity) -> "_Scatter":
        """From all cells, each around its own mean."""
        squares, freedom = 0.0, 0
        for pool in pools:
            values = _known(pool, quantity)
            if values.size > 1:
                squares += float(((values / values.mean() - 1) ** 2).sum())
                freedom += values.size - 1
        return cls(math.sqrt(squares / freedom) if freedom else math.inf, freedom)

    def mean(self, trials: Sequence[Measurement], quantity: Quantity) -> _Mean | None:
        """The mean of a cell; one window alone has the scatter that its profile's cells have."""
        values = _known(trials, quantity)
        if values.size == 0:
            return None
        value = float(values.mean())
        if values.size == 1:
            return _Mean(value, self.relative, self.freedom)
        return _Mean(value, float(values.std(ddof=1)) / math.sqrt(values.size) / value, values.size - 1)


def _compared(
    first: _Measured, second: _Measured, mine: System, other: System, shape: Shape, channel: Channel
) -> Compared:
    trials, others = first.cells[mine][shape], second.cells[other][shape]
    joules = first.energy.mean(trials, _joules(channel)), second.energy.mean(others, _joules(channel))
    seconds = first.runtime.mean(trials, _seconds), second.runtime.mean(others, _seconds)
    sensors = [mean_known([trial.sensor_uncertainty for trial in pool]) for pool in (trials, others)]
    known = [sensor for sensor in sensors if sensor is not None]
    runtime = _ratio(*seconds, [])
    assert runtime is not None  # every trial has a runtime
    return Compared(
        mine,
        other,
        shape,
        _ratio(*joules, known),
        runtime,
        any(trial.bound == "host" for trial in (*trials, *others)),
        len(known) == len(sensors),
        (len(trials), len(others)),
    )


def _ratio(ours: _Mean | None, theirs: _Mean | None, sensors: Sequence[float]) -> Interval | None:
    """Ours over theirs; Welch and Satterthwaite's degrees of freedom, those of a sensor being infinite."""
    if ours is None or theirs is None or min(ours.value, theirs.value) <= 0:
        return None
    ratio, errors = ours.value / theirs.value, (ours.relative_error, theirs.relative_error)
    if math.inf in errors:
        return Interval(ratio, 0.0, math.inf)
    combined = math.hypot(*errors, *sensors)
    shares = sum(mean.relative_error**4 / mean.freedom for mean in (ours, theirs))
    freedom = combined**4 / shares if shares else math.inf
    factor = math.exp(t_quantile(freedom, 0.95) * combined)
    return Interval(ratio, ratio / factor, ratio * factor)


def _drift(system: System, shape: Shape, trials: Sequence[Measurement], channel: Channel) -> Drift:
    trials = sorted(trials, key=lambda trial: (trial.session or 0, trial.order or 0, trial.trial))
    starts = [trial.started_at_s for trial in trials if trial.started_at_s is not None]
    one_clock = len({trial.session for trial in trials}) == 1 and len(starts) == len(trials)
    seconds, joules = _known(trials, _seconds), _known(trials, _joules(channel))
    energy = _spread_and_trend(joules) if joules.size > 1 else (None, None)
    span_s = max(starts) - min(starts) if one_clock else None
    return Drift(system, shape, len(trials), span_s, *_spread_and_trend(seconds), *energy)


def _spread_and_trend(values: Floats) -> tuple[float, float]:
    """Range over the mean, and the rise of the least-squares line from the first value to the last over the mean."""
    slope = float(np.polyfit(np.linspace(0, 1, values.size), values, 1)[0])
    return float(np.ptp(values) / values.mean()), slope / float(values.mean())


def _same_work(ours: System, theirs: System) -> bool:
    alike = work_of(ours.model) == work_of(theirs.model) and ours.kv_cache == theirs.kv_cache
    return alike and _configuration(ours) == _configuration(theirs)


def _configuration(system: System) -> str:
    """How the engine launches kernels; one that names no configuration launches each by itself."""
    name, _, last = (system.engine or "").rpartition(" ")
    return last if name and last[:1].isalpha() else EAGER


def _shape(trial: Measurement) -> Shape:
    return Shape(trial.requested_input_tokens, trial.requested_output_tokens, trial.system.concurrency)


def _joules(channel: Channel) -> Quantity:
    return lambda trial: trial.energy_j(channel)


def _seconds(trial: Measurement) -> float:
    return trial.query_runtime_s


def _known(trials: Sequence[Measurement], quantity: Quantity) -> Floats:
    return np.array([value for trial in trials if (value := quantity(trial)) is not None], np.float64)
