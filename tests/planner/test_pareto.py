"""The lambda front, against the per-query optimum at every lambda."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planner.cases import PROPERTY, Case, cases
from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.query import Workload
from wattshed.errors import InfeasibleError
from wattshed.planner.pareto import front
from wattshed.policies.argmin import Argmin


def case(points: list[list[tuple[float, float]]], queries: list[int]) -> Case:
    """One shape a row, one (energy, runtime) a system, all feasible."""
    table = np.array(points, np.float64)
    ones = np.ones(table.shape[:2], np.bool_)
    m = np.arange(1, len(points) + 1)
    return Case(Workload("by hand", m, m, np.array(queries)), CostTable(table[..., 0], table[..., 1], ones, ~ones))


def test_a_front_by_hand() -> None:
    """Two shapes, three edges: 1 W (two queries), 5 W and 8 W (one query), in that order."""
    by_hand = case([[(10, 9), (18, 8), (13, 6)], [(10, 9), (15, 8), (31, 6)]], queries=[2, 1])

    vertices = front(by_hand.workload, by_hand.costs)

    assert vertices.exchange_w.tolist() == [0, 1, 5, 8]
    assert vertices.energy_j.tolist() == [30, 36, 41, 57]
    assert vertices.runtime_s.tolist() == [27, 21, 20, 18]
    assert vertices.lam.tolist() == [1, 1 / 2, 1 / 6, 1 / 9]


def test_equal_rates_are_one_vertex() -> None:
    """Shapes that change at the same rate change together; a system on the edge between two is passed over."""
    equal = case([[(1, 5), (2, 4), (4, 2)], [(0, 3), (9, 9), (2, 1)]], queries=[1, 1])

    vertices = front(equal.workload, equal.costs)

    assert vertices.exchange_w.tolist() == [0, 1]
    assert vertices.energy_j.tolist() == [1, 6]


def test_least_energy_is_had_in_least_time() -> None:
    """Among systems of equal energy the front starts with the fastest, so it begins at an efficient point."""
    tie = case([[(5, 9), (5, 2)]], queries=[3])

    vertices = front(tie.workload, tie.costs)

    assert (vertices.energy_j.tolist(), vertices.runtime_s.tolist()) == ([15], [6])


@pytest.mark.parametrize(
    ("objective", "energy_j"),
    [
        (Objective(1.0), 30),
        (Objective.from_exchange(0.9), 30),
        (Objective(0.5), 36),
        (Objective.from_exchange(7.9), 41),
        (Objective(0.0), 57),
        (Objective(0.5, energy_ref_j=6, runtime_ref_s=1), 41),
    ],
)
def test_the_vertex_of_an_objective(objective: Objective, energy_j: float) -> None:
    """`at` finds the optimum, with the faster one where two tie; reference scales count as watts."""
    by_hand = case([[(10, 9), (18, 8), (13, 6)], [(10, 9), (15, 8), (31, 6)]], queries=[2, 1])

    assert front(by_hand.workload, by_hand.costs).at(objective).energy_j == energy_j


@PROPERTY
@given(cases())
def test_energy_never_falls_and_runtime_never_rises(case: Case) -> None:
    """Along the front every second saved costs joules, at a rate that only grows."""
    vertices = front(case.workload, case.costs)

    assert (np.diff(vertices.exchange_w) > 0).all()
    assert (np.diff(vertices.energy_j) > 0).all()
    assert (np.diff(vertices.runtime_s) < 0).all()


@PROPERTY
@given(cases(), st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True))
def test_larger_lambda_means_less_energy_and_more_runtime(case: Case, lams: list[float]) -> None:
    """As lambda grows total energy never rises and total runtime never falls."""
    low, high = (front(case.workload, case.costs).at(Objective(lam)) for lam in sorted(lams))

    assert high.energy_j <= low.energy_j
    assert high.runtime_s >= low.runtime_s


@PROPERTY
@given(cases())
def test_vertices_are_the_optima_between_breakpoints(case: Case) -> None:
    """Strictly between two rates the per-query argmin has the energy and runtime of the vertex there."""
    vertices = front(case.workload, case.costs)
    upper = np.append(vertices.exchange_w[1:], vertices.exchange_w[-1] + 2)

    for vertex, between_w in enumerate((vertices.exchange_w + upper) / 2):
        objective = Objective.from_exchange(between_w)
        bill = case.bill(Argmin(objective))
        at = vertices.at(objective)

        assert (vertices.energy_j[vertex], vertices.runtime_s[vertex]) == pytest.approx(bill)
        assert (at.energy_j, at.runtime_s) == pytest.approx(bill)
        assert at.lam >= objective.lam


def test_a_workload_that_nobody_can_serve_is_refused() -> None:
    """There is no front of half a workload."""
    ones = np.ones((1, 2))
    costs = CostTable(ones, ones, ones < 0, ones < 0)

    with pytest.raises(InfeasibleError):
        front(Workload.of("one", np.array([1]), np.array([1])), costs)
