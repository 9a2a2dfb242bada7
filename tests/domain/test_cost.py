"""The objective, and intervals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.plan import Interval


@given(st.floats(0, 1e6))
@settings(deadline=None, max_examples=50)
def test_an_exchange_rate_survives_the_way_through_lambda(exchange_w: float) -> None:
    """To lambda by w = (1 - lambda) / lambda and back again."""
    assert Objective.from_exchange(exchange_w).exchange_w == pytest.approx(exchange_w, rel=1e-9, abs=1e-9)


@given(st.floats(0.01, 1), st.floats(0.1, 10), st.floats(0.1, 10))
@settings(deadline=None, max_examples=50)
def test_u_orders_queries_as_energy_plus_w_runtime(lam: float, energy_ref_j: float, runtime_ref_s: float) -> None:
    """U = lambda / E_ref (E + w R): the reference scales only change w."""
    objective = Objective(lam, energy_ref_j, runtime_ref_s)
    energy_j, runtime_s = np.array([3.0, 5.0]), np.array([7.0, 2.0])

    cost = objective.cost(energy_j, runtime_s)

    assert cost == pytest.approx(lam / energy_ref_j * (energy_j + objective.exchange_w * runtime_s))


def test_speed_alone_has_an_infinite_exchange_rate() -> None:
    """At lambda 0 a second is worth any energy."""
    assert Objective(0.0).exchange_w == math.inf
    assert Objective.from_exchange(math.inf) == Objective(0.0)


@pytest.mark.parametrize("lam", [-0.1, 1.1, math.nan])
def test_lambda_lies_between_0_and_1(lam: float) -> None:
    """Equation 1 weighs two costs."""
    with pytest.raises(ValueError, match="lambda lies in"):
        Objective(lam)


def test_a_cost_table_is_finite() -> None:
    """What cannot run is infeasible, not infinitely dear: baselines still add it up."""
    yes = np.ones((1, 2), np.bool_)
    with pytest.raises(ValueError, match="finite"):
        CostTable(np.array([[1.0, math.inf]]), np.ones((1, 2)), yes, ~yes)


def test_an_interval_holds_the_middle_of_its_replicates() -> None:
    """The 2.5 and 97.5 percentiles of what the bootstrap found."""
    interval = Interval.of(0.5, np.linspace(0, 1, 1001))

    assert (interval.lower, interval.upper) == pytest.approx((0.025, 0.975))
