"""Equations 2-4 solved by others: all partitions one by one, and an integer program."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from tests.planner.cases import PROPERTY, Case, cases
from wattshed.domain.arrays import Floats
from wattshed.domain.cost import Objective
from wattshed.policies.argmin import Argmin

OBJECTIVES = st.sampled_from([Objective(1.0), Objective(0.3), Objective(0.0), Objective(0.5, 10.0, 2.0)])


def cost_by_argmin(case: Case, objective: Objective) -> float:
    """U of the workload with each query on its own best system."""
    energy_j, runtime_s = case.bill(Argmin(objective))
    return float(objective.cost(np.float64(energy_j), np.float64(runtime_s)))


def weighted_cost(case: Case, objective: Objective) -> Floats:
    """U of all queries of each shape on each system (B, S), infinite where it cannot run."""
    cost = objective.cost(case.costs.energy_j, case.costs.runtime_s) * case.workload.queries[:, None]
    return np.where(case.costs.feasible, cost, np.inf)


@PROPERTY
@given(cases(most_shapes=5, most_systems=4), OBJECTIVES)
def test_no_partition_costs_less(case: Case, objective: Objective) -> None:
    """Of all S^B assignments of shapes to systems the cheapest costs what the per-query optimum costs."""
    cost = weighted_cost(case, objective)

    least = min(sum(row) for row in product(*cost))

    assert cost_by_argmin(case, objective) == pytest.approx(least)


@PROPERTY
@given(cases(most_shapes=10, most_systems=4), OBJECTIVES)
def test_an_integer_program_finds_the_same(case: Case, objective: Objective) -> None:
    """Minimise sum c x over binary x (B, S), each shape on exactly one feasible system (HiGHS)."""
    cost = weighted_cost(case, objective)
    shapes, systems = cost.shape
    runs = np.isfinite(cost).ravel()
    once = LinearConstraint(np.kron(np.eye(shapes), np.ones(systems)), 1, 1)

    solved = milp(
        np.where(runs, cost.ravel(), 0.0), constraints=once, integrality=1, bounds=Bounds(0, runs.astype(np.float64))
    )

    assert solved.success
    assert cost_by_argmin(case, objective) == pytest.approx(solved.fun)
