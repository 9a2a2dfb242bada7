"""The capacity problem solved by others: HiGHS on random instances, and all ways to place a few queries."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planner.capacity_cases import drawn, problems, solved_by_highs
from tests.planner.cases import PROPERTY
from wattshed.errors import InfeasibleError
from wattshed.planner.capacity import CapacityProblem, optimum, optimum_if_any
from wattshed.planner.capacity_whole import whole_queries


@PROPERTY
@given(problems())
def test_highs_finds_the_same_optimum_or_none(problem: CapacityProblem) -> None:
    """Ours and HiGHS's optimum agree to 1e-9, and both say of the same fleets that they cannot hold the load."""
    oracle = solved_by_highs(problem)

    ours = optimum_if_any(problem)

    assert (ours is None) == (oracle.status == 2)
    if ours is not None:
        assert ours.certificate.primal == pytest.approx(oracle.fun, rel=1e-9)
        assert abs(ours.certificate.gap) <= 1e-9
        assert ours.certificate.most_overload <= 1e-9


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("whole", [True, False])
def test_highs_agrees_on_a_thousand_shapes(seed: int, whole: bool) -> None:
    """The same where most shapes are decided by the prices alone."""
    problem = drawn(np.random.default_rng(seed), 1000, 6, whole=whole)
    oracle = solved_by_highs(problem)

    ours = optimum_if_any(problem)

    assert (ours is None) == (oracle.status == 2)
    if ours is not None:
        assert ours.certificate.primal == pytest.approx(oracle.fun, rel=1e-9)
        assert abs(ours.certificate.gap) <= 1e-9


def test_prices_far_above_the_costs_are_found_too() -> None:
    """A slot may be worth a million times what a query costs; then HiGHS solves the whole, and it is still exact."""
    cost, runtime_s = np.array([[0.0, 1.0], [0.0, 1e7]]), np.array([[1.0, 1.0], [1.0, 1.0]])
    capacity_slot_s = np.array([1.0, 1.5])
    problem = CapacityProblem(("a", "b"), np.ones(2), cost, runtime_s, cost >= 0, capacity_slot_s)

    ours = optimum(problem.with_capacity(np.array([0.9, 1.5])))

    assert ours.certificate.primal == pytest.approx(solved_by_highs(ours.problem).fun, rel=1e-9)
    assert abs(ours.certificate.gap) <= 1e-9


@PROPERTY
@given(st.integers(0, 2**32 - 1))
def test_no_placement_of_whole_queries_costs_less_than_the_optimum(seed: int) -> None:
    """Of all ways to place up to five queries within capacity none costs less; ours costs no less than the cheapest."""
    rng = np.random.default_rng(seed)
    shapes = int(rng.integers(1, 6))
    cost, runtime_s = rng.integers(1, 9, (2, shapes, 3)).astype(np.float64)
    problem = CapacityProblem(
        ("a", "b", "c"), np.ones(shapes), cost, runtime_s, cost > 1, rng.integers(0, 15, 3).astype(np.float64)
    )
    kept = [cost_of(problem, way) for way in product(range(3), repeat=shapes) if holds(problem, way)]

    ours = optimum_if_any(problem)

    if ours is None:
        assert not kept
        return
    assert not kept or ours.certificate.primal <= min(kept) + 1e-9
    try:
        whole = whole_queries(ours)
    except InfeasibleError:
        assert not kept
        return
    assert holds(problem, tuple(whole.amounts.argmax(axis=1)))
    assert min(kept) - 1e-9 <= float((whole.amounts * cost).sum())


def holds(problem: CapacityProblem, way: tuple[int, ...]) -> bool:
    """Whether each query may run where it goes, and all of them fit."""
    rows = np.arange(len(way))
    used_slot_s = np.bincount(way, weights=problem.runtime_s[rows, way], minlength=3)
    return bool(problem.feasible[rows, way].all() and (used_slot_s <= problem.capacity_slot_s + 1e-9).all())


def cost_of(problem: CapacityProblem, way: tuple[int, ...]) -> float:
    """What the queries cost there."""
    return float(problem.cost[np.arange(len(way)), way].sum())
