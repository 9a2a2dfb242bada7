"""What a dry run promises, against what the campaign then does."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.predictors.batches import PAIR, batches, truth
from tests.profiler.cases import campaign, measured, true_cost, world
from wattshed.engines.engine import Request
from wattshed.predictors.fit import fit
from wattshed.profiler.campaign import Campaign
from wattshed.profiler.design import Shape
from wattshed.profiler.forecast import CostOf, RequestCost, forecast, predicted_cost
from wattshed.profiler.stopping import Fixed, Relative


def exact(shape: Shape) -> RequestCost:
    """What the engine of `cases.world` spends on a request, noise apart."""
    cost = true_cost(Request(shape.input_tokens, shape.output_tokens, shape.concurrency))
    return RequestCost(np.array([cost.energy_j]), np.array([cost.runtime_s]))


def spread(shape: Shape) -> RequestCost:
    """The same by a predictor that may be off by a tenth, for all cells alike."""
    factors = np.concatenate([[1.0], np.linspace(0.9, 1.1, 41)])
    known = exact(shape)
    return RequestCost(known.energy_j * factors, known.runtime_s * factors)


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(campaign(), id="three windows"),
        pytest.param(campaign(stopping=Relative()), id="a rule that is content at once"),
        pytest.param(campaign(stopping=Fixed(30), cell_timeout_s=60.0), id="cells that run out of time"),
        pytest.param(campaign([Shape(8, 8), Shape(8, 32, 4)], window_s=0.0, warm_ups=0), id="one query a window"),
    ],
)
def test_a_campaign_takes_what_was_forecast(plan: Campaign) -> None:
    """Golden truth: seconds are those of the clock, settling apart, and joules those that requests spent."""
    at = world(spread=1e-9)

    foreseen = forecast(plan, exact).expected
    measured(plan, at)

    assert foreseen is not None
    settled_s = forecast(plan, exact).most_settle_s
    assert -4.0 <= at.clock.now_s() - foreseen.duration_s.value <= settled_s + 4.0  # a request more or less a cell
    assert sum(work.energy_j for work in at.engine.work) == pytest.approx(foreseen.energy_j.value, rel=0.02)


def test_the_sum_is_that_of_the_visits() -> None:
    """Seconds of all visits and both idles; joules of all visits."""
    foreseen = forecast(campaign(idle_s=7.0), exact)

    known = [one.expected for one in foreseen.visits if one.expected is not None]
    assert foreseen.expected is not None
    assert len(known) == len(foreseen.visits)
    assert sum(one.duration_s.value for one in known) + 14.0 == pytest.approx(foreseen.expected.duration_s.value)
    assert sum(one.energy_j.value for one in known) == pytest.approx(foreseen.expected.energy_j.value)


def test_a_predictor_that_is_off_is_off_for_all_cells_at_once() -> None:
    """The interval of the sum is as wide as that of its cells: errors of one predictor do not average out."""
    foreseen = forecast(campaign(window_s=0.0, warm_ups=0), spread).expected

    assert foreseen is not None
    low, high = foreseen.energy_j.lower / foreseen.energy_j.value, foreseen.energy_j.upper / foreseen.energy_j.value
    assert (low, high) == (pytest.approx(0.905), pytest.approx(1.095))


def test_one_unknown_cell_leaves_the_sum_unknown() -> None:
    """A cell without a cost has a least time, and no sum pretends to hold it."""

    def alone(shape: Shape) -> RequestCost | None:
        return exact(shape) if shape.concurrency == 1 else None

    foreseen = forecast(campaign([Shape(8, 8), Shape(8, 16), Shape(8, 8, 4)]), alone)

    unknown = [one for one in foreseen.visits if one.expected is None]
    assert [one.visit.shape.concurrency for one in unknown] == [4]
    assert unknown[0].least_s == 3 * 5.0 + 1.0
    assert foreseen.expected is None
    assert foreseen.least_s > 0.0


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_batch_predictor_knows_all_queries_of_a_request(concurrency: int) -> None:
    """Joules are those of all queries together, seconds those that each of them waits."""
    cost_of = predicted_cost(fit(batches(truth, noise=0.01), kind="batch").predictor(*PAIR))

    cost = cost_of(Shape(512, 128, concurrency))

    energy_j, runtime_s = truth(512, 128, concurrency)
    assert cost is not None
    assert cost.energy_j[0] == pytest.approx(energy_j, rel=0.03)
    assert cost.runtime_s[0] == pytest.approx(runtime_s, rel=0.03)
    assert np.percentile(cost.energy_j[1:], 0.1) < energy_j < np.percentile(cost.energy_j[1:], 99.9)
    assert not cost.extrapolated


def test_other_predictors_know_their_own_concurrency() -> None:
    """A prefix predictor of single queries says nothing about eight at once, and flags what it continues."""
    alone = fit(batches(truth, concurrencies=[1])).predictor(*PAIR)

    cost_of = predicted_cost(alone)

    assert cost_of(Shape(512, 128, 8)) is None
    long = cost_of(Shape(512, 4096))
    assert long is not None
    assert long.extrapolated


@settings(deadline=None, max_examples=50)
@example(m=1, n=1, window_s=1.0, cost_of=spread)  # one request just fills the window, and two where it is quicker
@example(m=1, n=18, window_s=45.625, cost_of=spread)
@given(st.integers(1, 2000), st.integers(1, 2000), st.floats(0, 60), st.sampled_from([exact, spread]))
def test_bounds_hold_the_value_and_the_least_time(m: int, n: int, window_s: float, cost_of: CostOf) -> None:
    """Whatever the cell, the interval holds its value, and no forecast is quicker than the windows asked for."""
    foreseen = forecast(campaign([Shape(m, n)], window_s=window_s), cost_of)

    for one in foreseen.visits:
        assert one.expected is not None
        for interval in (one.expected.duration_s, one.expected.energy_j):
            assert interval.lower <= interval.value * (1 + 1e-9)
            assert interval.value <= interval.upper * (1 + 1e-9)
        assert one.expected.duration_s.lower >= one.least_s * (1 - 1e-9)
