"""The per-query optimum."""

import numpy as np
import pytest

from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.system import FleetState
from wattshed.policies.argmin import Argmin
from wattshed.policies.policy import place

ONE = np.array([10])
FRUGAL, FAST = 0, 1
COSTS = CostTable(np.array([[100.0, 130.0]]), np.array([[8.0, 2.0]]), np.ones((1, 2), bool), np.zeros((1, 2), bool))
"""The fast system takes 30 J more and 6 s less: it is worth it above 5 W."""


def placed(objective: Objective, wait_s: tuple[float, float] = (0.0, 0.0)) -> int:
    """Position that serves the one query."""
    state = FleetState(np.array(wait_s), np.zeros(2, np.int64), np.ones(2, np.bool_))
    return int(place(Argmin(objective), ONE, ONE, COSTS, state=state)[0])


@pytest.mark.parametrize(("exchange_w", "position"), [(0, FRUGAL), (4.9, FRUGAL), (5.1, FAST), (np.inf, FAST)])
def test_speed_is_bought_up_to_its_price(exchange_w: float, position: int) -> None:
    """A second is saved exactly when it costs fewer joules than `exchange_w`."""
    assert placed(Objective.from_exchange(exchange_w)) == position


def test_waiting_counts_as_runtime() -> None:
    """A fast system that keeps the query waiting is as slow as the two together."""
    assert placed(Objective.from_exchange(10), wait_s=(0.0, 6.0)) == FRUGAL


def test_scales_shift_the_balance() -> None:
    """Energy counted in units of 100 J weighs a hundredth."""
    assert placed(Objective(lam=0.9)) == FRUGAL
    assert placed(Objective(lam=0.9, energy_ref_j=100)) == FAST


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        (Objective(lam=0.25), "least cost at lambda 0.25"),
        (Objective(lam=1, runtime_ref_s=2), "least cost at lambda 1, E in 1 J, R in 2 s"),
    ],
)
def test_the_name_holds_the_objective(objective: Objective, name: str) -> None:
    """Lambda always, the scales where they are not the paper's."""
    assert Argmin(objective).name == name
