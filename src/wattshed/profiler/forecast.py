"""What a campaign will take, before it begins: seconds and joules of each visit, from what its requests cost.

    visit  = warm-ups + as many windows as its rule takes at least (fewer where the cell's time is up)
    window = the request, repeated until `window_s` is over

Costs come from a predictor of a similar machine, or from an engine that knows its own truth. Their uncertainty is
carried through as resamplings, R of them: a predictor that is off is off for every cell at once, and so is the sum.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.plan import Interval
from wattshed.predictors.batch import BatchPredictor
from wattshed.predictors.curve import CurvePredictor
from wattshed.profiler.campaign import WARM_UP_S, Campaign
from wattshed.profiler.design import Shape, Visit

LEAST_SHARE: Final = 0.1
"""Of the expected value; no resampling goes below. The misfit is drawn from a normal law, which knows no zero."""


@dataclass(frozen=True, slots=True, eq=False)
class RequestCost:
    """What a request costs, all its queries together: as expected, then in R resamplings; shape (R + 1,) each.

    R is 0 where the cost is known exactly.
    """

    energy_j: Floats
    runtime_s: Floats
    extrapolated: bool = False


CostOf: TypeAlias = Callable[[Shape], RequestCost | None]
"""The cost of a request, or `None` where nobody knows."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Seconds that pass, and joules that requests spend, with 95 % intervals."""

    duration_s: Interval
    energy_j: Interval


@dataclass(frozen=True, slots=True)
class VisitForecast:
    """One visit: it takes at least `least_s`; what to expect is `None` where the cost of its requests is not known."""

    visit: Visit
    windows: int
    least_s: float
    expected: Expected | None
    extrapolated: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """All visits that are left, and their sum with the time at idle; the sum is `None` where any of them is not known.

    Settling adds at most `most_settle_s`. Joules spent at idle and while settling are not in it.
    """

    visits: tuple[VisitForecast, ...]
    least_s: float
    most_settle_s: float
    expected: Expected | None


def forecast(campaign: Campaign, cost_of: CostOf, over: Collection[int] = ()) -> Forecast:
    """What the campaign will take, without the visits that are over, by number."""
    known, left = cache(cost_of), [visit for visit in campaign.visits if visit.number not in over]
    spent = [_spent(campaign, visit, known) for visit in left]
    visits = tuple(_visit(campaign, *pair) for pair in zip(left, spent, strict=True))
    idle_s = 2 * campaign.idle_s if visits else 0.0
    return Forecast(
        visits,
        sum(one.least_s for one in visits) + idle_s,
        (len(visits) + 2) * campaign.settle_s if visits else 0.0,  # idle is measured twice, and settled before too
        _total([one for one in spent if one is not None], idle_s) if all(spent) else None,
    )


def fewest_windows(campaign: Campaign, visit: Visit) -> int:
    """Windows that a visit takes unless its time is up."""
    return campaign.reference_windows if visit.is_reference else campaign.stopping.least_windows


def predicted_cost(predictor: CurvePredictor) -> CostOf:
    """Costs by a predictor; `None` at a concurrency that it knows nothing of, and where it says zero or less."""

    def cost(shape: Shape) -> RequestCost | None:
        among = _among(predictor, shape.concurrency)
        if among is None:
            return None
        m, n = np.array([[shape.input_tokens], [shape.output_tokens]])
        one, drawn = among.predict(m, n), among.totals(m, n, np.ones(1, np.int64))
        if min(one.energy_j[0], one.runtime_s[0]) <= 0:
            return None
        energy_j = shape.concurrency * _resampled(one.energy_j, drawn.energy_j)
        return RequestCost(energy_j, _resampled(one.runtime_s, drawn.runtime_s), bool(one.extrapolated[0]))

    return cost


def _among(predictor: CurvePredictor, concurrency: int) -> CurvePredictor | None:
    """The predictor of one query among so many."""
    if predictor.kind == "batch":
        return BatchPredictor(predictor).at(concurrency)
    return predictor if predictor.support.concurrencies == (concurrency,) else None


def _resampled(expected: Floats, drawn: Floats) -> Floats:
    return np.concatenate([expected, np.maximum(drawn, LEAST_SHARE * expected)])


class _Spent(NamedTuple):
    """Of one visit, in each resampling, shape (R + 1,)."""

    windows: Floats
    duration_s: Floats
    energy_j: Floats
    extrapolated: bool


def _spent(campaign: Campaign, visit: Visit, cost_of: CostOf) -> _Spent | None:
    cost = cost_of(visit.shape)
    if cost is None:
        return None
    window, warming = _window(cost, campaign.window_s), campaign.warm_ups * _window(cost, WARM_UP_S)
    in_time = np.floor((campaign.cell_timeout_s - warming[0]) / window[0]) + 1
    windows = np.clip(in_time, 1, fewest_windows(campaign, visit))
    duration_s, energy_j = warming + windows * window
    return _Spent(windows, duration_s, energy_j, cost.extrapolated)


def _window(cost: RequestCost, least_s: float) -> Floats:
    """Seconds and joules of one window that is at least `least_s` long; shape (2, R + 1)."""
    requests = np.maximum(np.ceil(least_s / cost.runtime_s), 1)
    spent: Floats = requests * np.array([cost.runtime_s, cost.energy_j])
    return spent


def _visit(campaign: Campaign, visit: Visit, spent: _Spent | None) -> VisitForecast:
    windows = fewest_windows(campaign, visit) if spent is None else int(spent.windows[0])
    least_s = windows * campaign.window_s + campaign.warm_ups * WARM_UP_S
    if spent is None:
        return VisitForecast(visit, windows, least_s, None, extrapolated=False)
    expected = Expected(_interval(spent.duration_s), _interval(spent.energy_j))
    return VisitForecast(visit, windows, least_s, expected, spent.extrapolated)


def _total(spent: Sequence[_Spent], idle_s: float) -> Expected:
    if not spent:
        return Expected(_interval(np.zeros(1)), _interval(np.zeros(1)))
    duration_s = np.sum([one.duration_s for one in spent], axis=0) + idle_s
    return Expected(_interval(duration_s), _interval(np.sum([one.energy_j for one in spent], axis=0)))


def _interval(resampled: Floats) -> Interval:
    """The first as value, and the bounds from all others; the value alone where it is exact.

    The bounds hold the value, which whole requests can put beyond nearly all resamplings: a window that one request
    just fills takes two where it is a little quicker.
    """
    expected, drawn = resampled[0], resampled[1:]
    found = Interval.of(expected, drawn if drawn.size else resampled)
    return replace(found, lower=min(found.lower, found.value), upper=max(found.upper, found.value))
