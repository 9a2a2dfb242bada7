"""The surface and the best thresholds, against placing every query at every threshold."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planner.cases import PROPERTY, Case, cases
from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.query import Workload
from wattshed.errors import InfeasibleError
from wattshed.planner.sweep import Kind, best_thresholds, ordered_pairs, surface
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo
from wattshed.policies.policy import Policy
from wattshed.policies.threshold import Pair, ProductThreshold, Reading, Threshold, TwoThresholds

MOST = 9
KINDS: tuple[Kind, ...] = ("m", "n", "m + n/2", "m + n", "m n", "m and n", "m or n")
READINGS: tuple[Reading, ...] = ("and", "or")
NAMES = "abcd"
OBJECTIVES = st.sampled_from([Objective(1.0), Objective(0.3), Objective(0.0), Objective(0.5, 10.0, 2.0)])


def pairs_of(case: Case) -> list[Pair]:
    """Every ordered pair of the case's systems."""
    return ordered_pairs(NAMES[: case.costs.energy_j.shape[1]])


def thresholds(kind: Kind, pair: Pair) -> Iterator[Policy]:
    """Every threshold of a kind that tells shapes of up to MOST tokens apart, with nothing and everything small."""
    halves = np.arange(0, 4 * MOST + 1) / 2
    if kind == "m n":
        yield from (ProductThreshold(pair, most) for most in range(MOST * MOST + 1))
    elif kind in ("m and n", "m or n"):
        reading: Reading = "and" if kind == "m and n" else "or"
        tokens = range(MOST + 1)
        yield from (TwoThresholds(pair, m, n, reading) for m in tokens for n in tokens)
    else:
        weights = {"m": (1, 0), "n": (0, 1), "m + n/2": (1, 0.5), "m + n": (1, 1)}[kind]
        yield from (Threshold(pair, most, *weights) for most in halves)


def cost(case: Case, policy: Policy, objective: Objective) -> float:
    """U summed over the workload."""
    energy_j, runtime_s = case.bill(policy)
    return float(objective.cost(np.float64(energy_j), np.float64(runtime_s)))


def least_alone(case: Case, objective: Objective) -> float:
    """U of the best single system among those that can serve every query."""
    able = np.flatnonzero(case.costs.feasible.all(axis=0))
    return min((cost(case, AllTo(int(at), NAMES[at]), objective) for at in able), default=np.inf)


@pytest.mark.parametrize("kind", KINDS)
@settings(PROPERTY, max_examples=20)
@given(case=cases(most_shapes=8, least_systems=2, most_systems=3), objective=OBJECTIVES)
def test_best_threshold_equals_trying_them_all(case: Case, kind: Kind, objective: Objective) -> None:
    """No threshold of any ordered pair costs less than the one found, which costs what it says."""
    pairs = pairs_of(case)

    found = best_thresholds(case.workload, case.costs, pairs=pairs, objective=objective)[kind]

    least = min(cost(case, policy, objective) for pair in pairs for policy in thresholds(kind, pair))
    assert found.cost == pytest.approx(least)
    assert cost(case, found.policy, objective) == pytest.approx(least)


@PROPERTY
@given(cases(), OBJECTIVES)
def test_no_threshold_beats_the_optimum_and_one_length_never_beats_two(case: Case, objective: Objective) -> None:
    """Per-query optimum <= both lengths <= one length <= a system that can serve all, whatever the objective."""
    best = best_thresholds(case.workload, case.costs, pairs=pairs_of(case), objective=objective)
    optimum = cost(case, Argmin(objective), objective)

    for found in best.values():
        assert found.cost >= optimum - 1e-9
    if best:
        alone = (
            min(cost(case, AllTo(at, NAMES[at]), objective) for at in np.flatnonzero(case.costs.feasible.all(axis=0)))
            if case.costs.feasible.all(axis=0).any()
            else np.inf
        )
        for both in ("m and n", "m or n"):
            assert best[both].cost <= min(best["m"].cost, best["n"].cost) + 1e-9
            assert best[both].cost <= alone + 1e-9


@PROPERTY
@given(cases(most_systems=3), st.sampled_from(READINGS), st.sampled_from([3, MOST, 12]))
def test_surface_equals_placing_every_query(case: Case, reading: Reading, most_tokens: int) -> None:
    """Energy and runtime at each (T_in, T_out), also where shapes lie beyond the surface's edge."""
    rng = np.random.default_rng(case.workload.total_tokens)
    for pair in pairs_of(case)[:1]:
        swept = surface(case.workload, case.costs, pair=pair, most_tokens=most_tokens)
        energy_j, runtime_s = swept.energy_j(reading), swept.runtime_s(reading)

        assert energy_j.shape == runtime_s.shape == (most_tokens + 1, most_tokens + 1)
        for m, n in rng.integers(0, most_tokens + 1, (20, 2)):
            bill = case.bill(TwoThresholds(pair, m, n, reading))
            assert (energy_j[m, n], runtime_s[m, n]) == pytest.approx(bill)


def test_what_the_small_system_cannot_run_stays_above() -> None:
    """A shape that fails below costs the same at every threshold."""
    feasible = np.array([[False, True], [True, True]])
    costs = CostTable(np.array([[1.0, 5.0], [1.0, 5.0]]), np.ones((2, 2)), feasible, ~feasible)
    workload = Workload.of("two", np.array([1, 2]), np.array([1, 1]))

    energy_j = surface(workload, costs, pair=Pair(0, 1, "M1", "A100"), most_tokens=3).energy_j("and")

    assert energy_j[:, 1].tolist() == [10, 10, 6, 6]


def test_the_lowest_of_equal_thresholds_is_found() -> None:
    """Where the pair costs the same everywhere, nothing is small."""
    ones = np.ones((3, 2))
    costs = CostTable(ones, ones, ones > 0, ones < 0)
    workload = Workload.of("three", np.array([1, 5, 9]), np.array([7, 2, 4]))

    best = best_thresholds(workload, costs, pairs=[Pair(0, 1, "M1", "A100")], objective=Objective())

    assert best["m"].policy == Threshold(Pair(0, 1, "M1", "A100"), 0)
    assert {found.cost for found in best.values()} == {3.0}


def test_wide_sizes_are_sorted_and_close_ones_counted_alike() -> None:
    """A workload of 1,000 times the tokens, whose sizes lie too far apart to count, has 1,000 times the least cost."""
    rng = np.random.default_rng(7)
    m, n = rng.integers(1, 40, (2, 300))
    found = []
    for scale in (1, 1000):
        workload = Workload.of("scaled", m * scale, n * scale)
        size = workload.input_tokens + workload.output_tokens / 2
        energy_j = np.stack([size, np.full(size.size, 30.0 * scale)], axis=1)
        costs = CostTable(energy_j, energy_j, energy_j > 0, energy_j < 0)
        found.append(best_thresholds(workload, costs, pairs=ordered_pairs("ab"), objective=Objective()))

    close, wide = found
    assert close["m + n/2"].policy == Threshold(Pair(0, 1, "a", "b"), 29.5, 1, 0.5)
    for kind in KINDS:
        assert wide[kind].cost == pytest.approx(1000 * close[kind].cost)


def test_every_ordered_pair_is_listed_once() -> None:
    """S (S - 1) pairs, each way round; a fleet of one has none and so no thresholds."""
    assert len(set(ordered_pairs("abc"))) == 6
    assert ordered_pairs("a") == []


def test_a_workload_that_nobody_can_serve_is_refused() -> None:
    """Neither surface nor thresholds leave queries out silently."""
    ones = np.ones((1, 2))
    costs = CostTable(ones, ones, ones < 0, ones < 0)
    workload = Workload.of("one", np.array([1]), np.array([1]))

    with pytest.raises(InfeasibleError):
        surface(workload, costs, pair=Pair(0, 1, "M1", "A100"))
    with pytest.raises(InfeasibleError):
        best_thresholds(workload, costs, pairs=[], objective=Objective())
