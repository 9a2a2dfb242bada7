"""How still a machine stood: the reference cell that each campaign came back to, within campaigns and between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System
from wattshed.profiler.design import REFERENCE, Shape
from wattshed.report.comparison import Compared, compare
from wattshed.report.scatter import joules_on, known_values, query_seconds, shape_of


@dataclass(frozen=True, slots=True)
class Drift:
    """The reference cell of one system in one session: K windows over `span_s`, their means, spread and trend.

    `..._range` and `..._trend`, from the first window to the last, are fractions of the mean. What is of joules is
    `None` where there are none.
    """

    system: System
    shape: Shape
    session: int | None
    trials: int
    span_s: float | None
    mean_runtime_s: float
    seconds_range: float
    seconds_trend: float
    mean_energy_j: float | None
    joules_range: float | None
    joules_trend: float | None


def drifts(profile: Profile, channel: Channel) -> list[Drift]:
    """How still each system's reference cell stood, session by session, where one has two windows of it or more."""
    visits: dict[tuple[System, Shape, int | None], list[Measurement]] = {}
    for trial in _references(profile).measurements:
        visits.setdefault((trial.system, shape_of(trial), trial.session), []).append(trial)
    return [_drift(trials, channel) for trials in visits.values() if len(trials) > 1]


def between_campaigns(ours: Profile, theirs: Profile, channel: Channel) -> list[Compared]:
    """The reference cells of two profiles, ours over theirs, with intervals.

    Given one profile twice: those of its campaigns that did the same work on two hosts or under two names, each once.
    """
    found = compare(_references(ours), _references(theirs), channel)
    if ours is not theirs:
        return found
    return [one for one in found if _place(one.ours) > _place(one.theirs)]


def _place(system: System) -> tuple[str, str]:
    return system.name, system.host or ""


def _references(profile: Profile) -> Profile:
    """The visits to reference cells alone, as trials that count."""
    visits = tuple(trial for trial in profile.measurements if trial.experiment == REFERENCE and not trial.warm_up)
    return replace(profile, measurements=visits, validation_experiments=frozenset())


def _drift(trials: Sequence[Measurement], channel: Channel) -> Drift:
    trials = sorted(trials, key=lambda trial: (trial.order or 0, trial.trial))
    starts = [trial.started_at_s for trial in trials if trial.started_at_s is not None]
    seconds, joules = known_values(trials, query_seconds), known_values(trials, joules_on(channel))
    energy = _course(joules) if joules.size > 1 else (None, None, None)
    span_s = max(starts) - min(starts) if len(starts) == len(trials) else None
    first = trials[0]
    place = first.system, shape_of(first), first.session, len(trials), span_s
    return Drift(*place, *_course(seconds), *energy)


def _course(values: Floats) -> tuple[float, float, float]:
    """The mean; the range over it; and the rise of the least-squares line from the first value to the last over it."""
    mean, slope = float(values.mean()), float(np.polyfit(np.linspace(0, 1, values.size), values, 1)[0])
    return mean, float(np.ptp(values) / mean), slope / mean
