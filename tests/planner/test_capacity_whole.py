"""Whole queries from fractions of them."""

import numpy as np
import pytest

from tests.planner.capacity_cases import drawn
from wattshed.errors import InfeasibleError
from wattshed.planner.capacity import CapacityProblem, optimum, optimum_if_any
from wattshed.planner.capacity_whole import whole_queries


@pytest.mark.parametrize("seed", range(6))
def test_rounding_places_every_query_and_breaks_no_capacity(seed: int) -> None:
    """Counts are whole and add up, capacities hold, and the cost is at least the optimum's."""
    found = optimum_if_any(drawn(np.random.default_rng(seed), 200, 4))
    if found is None:
        return

    whole = whole_queries(found)

    problem = found.problem
    assert (whole.amounts.sum(axis=1) == problem.queries).all()
    assert ((whole.amounts * problem.runtime_s).sum(axis=0) <= problem.capacity_slot_s * (1 + 1e-8)).all()
    assert -1e-9 <= whole.dearer < 0.01


def test_a_load_that_fits_in_fractions_alone_is_refused() -> None:
    """Half of a query on each of two systems is no placement."""
    ones = np.ones((1, 2))
    found = optimum(CapacityProblem(("a", "b"), np.ones(1), ones, ones, ones > 0, np.array([0.5, 0.5])))

    with pytest.raises(InfeasibleError, match="only to the last fraction of a query"):
        whole_queries(found)


def test_queries_without_room_push_others_aside() -> None:
    """Where no leftover fits as it is, an integer program moves other shapes to make room."""
    cost = np.array([[1.0, 3.0], [1.0, 2.0]])
    runtime_s = np.array([[3.0, 3.0], [2.0, 2.0]])
    problem = CapacityProblem(("a", "b"), np.array([1.0, 1.0]), cost, runtime_s, cost > 0, np.array([3.5, 2.0]))

    whole = whole_queries(optimum(problem))

    assert whole.amounts.tolist() == [[1, 0], [0, 1]]
