"""The optimum under capacity: its prices, its certificate, and what it says when there is none."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.planner.capacity_cases import case_of, drawn, problems
from tests.planner.cases import PROPERTY
from wattshed.domain.cost import Objective
from wattshed.errors import InfeasibleError
from wattshed.planner.capacity import Assignment, CapacityProblem, optimum, optimum_if_any
from wattshed.policies.argmin import Argmin


def solved(problem: CapacityProblem) -> Assignment:
    """The optimum of a problem that has one."""
    found = optimum_if_any(problem)
    assume(found is not None)
    assert found is not None
    return found


@PROPERTY
@given(problems())
def test_prices_are_never_negative_and_idle_slots_are_worth_nothing(problem: CapacityProblem) -> None:
    """Complementary slackness: a system with a price has no room, and one with room has none."""
    found = solved(problem)
    room = (problem.capacity_slot_s - found.used_slot_s) > 1e-7 * (1 + problem.capacity_slot_s)

    assert (found.shadow_prices >= 0).all()
    assert (found.shadow_prices[room] <= 1e-7 * problem.cost.max()).all()


@PROPERTY
@given(problems())
def test_every_query_is_placed_where_it_is_cheapest_at_the_prices(problem: CapacityProblem) -> None:
    """Amounts add up to the queries, lie in feasible cells, and no cell in use is beaten by another at the prices."""
    found = solved(problem)
    priced = np.where(problem.open, problem.cost + found.shadow_prices * problem.runtime_s, np.inf)
    beyond = priced - priced.min(axis=1, keepdims=True)

    assert found.amounts.sum(axis=1) == pytest.approx(problem.queries, rel=1e-12)
    assert (found.amounts[~problem.open] == 0).all()
    assert (beyond[found.amounts > 1e-9] <= 1e-7 * priced[np.isfinite(priced)].max()).all()


@PROPERTY
@given(problems(), st.integers(0, 3), st.floats(0, 2))
def test_more_capacity_never_costs_more(problem: CapacityProblem, position: int, more: float) -> None:
    """The cost falls, or stays, with every slot-second; by no more than the price says."""
    found = solved(problem)
    capacity_slot_s = problem.capacity_slot_s.copy()
    position %= capacity_slot_s.size
    added_slot_s = more * float(problem.queries @ problem.runtime_s[:, position])
    capacity_slot_s[position] += added_slot_s

    after = optimum(problem.with_capacity(capacity_slot_s)).certificate.primal

    tolerance = 1e-9 * found.certificate.primal
    assert after <= found.certificate.primal + tolerance
    assert after >= found.certificate.primal - found.shadow_prices[position] * added_slot_s - 100 * tolerance


@PROPERTY
@given(problems())
def test_ample_capacity_is_argmin(problem: CapacityProblem) -> None:
    """Where nothing binds, prices are 0 and every query goes where it costs least by itself."""
    free = problem.with_capacity(np.full(problem.capacity_slot_s.size, np.inf))

    found = optimum(free)

    energy_j, _ = case_of(free).bill(Argmin(Objective(1.0)))
    assert found.certificate.primal == pytest.approx(energy_j)
    assert (found.shadow_prices == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_at_most_as_many_shapes_are_split_as_there_are_systems(seed: int) -> None:
    """The optimum is a vertex: all but S shapes go to one system as a whole."""
    found = optimum_if_any(drawn(np.random.default_rng(seed), 5000, 5))

    assert found is None or found.split.size <= 5


def test_a_start_from_old_prices_finds_the_same() -> None:
    """Prices to begin from save time and change nothing."""
    problem = drawn(np.random.default_rng(2), 500, 4)
    first = optimum(problem)

    again = optimum(problem.with_capacity(1.1 * problem.capacity_slot_s), start=first.shadow_prices)

    plain = optimum(problem.with_capacity(1.1 * problem.capacity_slot_s))
    assert again.certificate.primal == pytest.approx(plain.certificate.primal, rel=1e-12)


def test_what_is_missing_is_said() -> None:
    """A fleet that is too small is told which queries are stuck where, by how much, and what would suffice."""
    runtime_s = np.array([[10.0, 5.0], [10.0, 5.0]])
    feasible = np.array([[True, False], [True, True]])
    capacity_slot_s = np.array([50.0, 1000.0])
    problem = CapacityProblem(
        ("mac", "gpu"), np.array([8.0, 1.0]), runtime_s, runtime_s, feasible, capacity_slot_s, np.array([20.0, 100.0])
    )

    with pytest.raises(InfeasibleError) as refused:
        optimum(problem)

    assert str(refused.value) == (
        "the fleet cannot hold the load: 8 of 9 queries can only run on mac, whose 50 slot-seconds are at least 30 too "
        "few; add 2 more of mac, or allow more time (--horizon-s)"
    )


def test_a_system_without_capacity_serves_nobody() -> None:
    """Its price keeps everyone out, and queries that only it can run are an error."""
    cost, runtime_s = np.array([[1.0, 5.0]]), np.array([[2.0, 3.0]])
    problem = CapacityProblem(("a", "b"), np.ones(1), cost, runtime_s, cost > 0, np.array([0.0, 9.0]))

    found = optimum(problem)

    assert found.amounts.tolist() == [[0.0, 1.0]]
    assert found.shadow_prices.tolist() == [2.0, 0.0]
    with pytest.raises(InfeasibleError, match="1 of 1 queries fit no system that has capacity"):
        optimum(problem.with_capacity(np.zeros(2)))


def test_shapes_that_do_not_match_are_refused() -> None:
    """A problem's parts have one common shape, and no capacity is negative."""
    ones = np.ones((2, 1))
    with pytest.raises(ValueError, match="need shape"):
        CapacityProblem(("a",), np.ones(3), ones, ones, ones > 0, np.ones(1))
    with pytest.raises(ValueError, match="capacities of at least 0"):
        CapacityProblem(("a",), np.ones(2), ones, ones, ones > 0, -np.ones(1))
