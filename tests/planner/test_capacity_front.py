"""The front under capacity: exact optima, convex, and complete where it says so."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.planner.capacity_cases import case_of, drawn
from tests.planner.cases import PROPERTY
from wattshed.planner.capacity import optimum, optimum_if_any
from wattshed.planner.capacity_front import capacity_front
from wattshed.planner.pareto import front


@settings(PROPERTY, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0, 20))
def test_no_optimum_lies_below_a_proven_front(seed: int, exchange_w: float) -> None:
    """Along a front all of whose edges are proven, the least E + w R is at one of its vertices, whatever w."""
    problem = drawn(np.random.default_rng(seed), 8, 3)
    assume(optimum_if_any(problem) is not None)
    costs = case_of(problem).costs

    found = capacity_front(problem, costs, points=200)

    assert found.edges == found.energy_j.size - 1
    at = found.energy_j + exchange_w * found.runtime_s
    least = optimum(replace(problem, cost=costs.energy_j + exchange_w * costs.runtime_s)).certificate.primal
    assert at.min() == pytest.approx(least, rel=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_energy_rises_as_runtime_falls(seed: int) -> None:
    """Along the front energy never falls and runtime never rises, and few points already bound what they leave out."""
    problem = drawn(np.random.default_rng(seed), 300, 4)
    if optimum_if_any(problem) is None:
        return
    few, more = (capacity_front(problem, case_of(problem).costs, points=points) for points in (5, 15))

    assert (np.diff(few.energy_j) >= -1e-9).all()
    assert (np.diff(few.runtime_s) <= 1e-9).all()
    assert more.most_below <= few.most_below


def test_ample_capacity_gives_the_front_of_the_hulls() -> None:
    """Where nothing binds, it is the front that `pareto.py` finds shape by shape."""
    problem = drawn(np.random.default_rng(0), 6, 3).with_capacity(np.full(3, np.inf))
    case = case_of(problem)

    found, exact = capacity_front(problem, case.costs, points=100), front(case.workload, case.costs)

    assert found.energy_j == pytest.approx(exact.energy_j)
    assert found.runtime_s == pytest.approx(exact.runtime_s)
