"""Prices found online: from nothing, they come within half a per cent of the offline optimum."""

from typing import NamedTuple

import numpy as np
import pytest

from tests.planner.capacity_cases import Replay, bundled, drawn, lab
from wattshed.domain.arrays import Floats
from wattshed.domain.cost import CostTable, Objective
from wattshed.planner.capacity import CapacityProblem, optimum
from wattshed.policies.policy import place
from wattshed.policies.price_loop import PriceLoop
from wattshed.policies.priced import Priced

ENERGY = Objective(1.0)
CHUNK = 100
"""Queries between two looks."""


class Outcome(NamedTuple):
    """U of a replayed trace over the optimum's, use of each capacity (S,), and the prices at the end."""

    cost: float
    utilisation: Floats
    policy: Priced


def tuned(problem: CapacityProblem, *, first_step: float = 1.0, seed: int = 0, times: int = 1) -> Outcome:
    """A trace that comes evenly over 1,000 s, replayed by prices that start from nothing."""
    replay = Replay.of(problem, np.random.default_rng(seed), times)
    count, systems = replay.bucket.size, len(problem.names)
    slots, between_s = times * problem.capacity_slot_s / 1000.0, 1000.0 * CHUNK / count
    loop = PriceLoop(Priced.free(ENERGY, systems), drain_s=30 * between_s, first_step=first_step)
    cost, used_slot_s = 0.0, np.zeros(systems)
    for start in range(0, count, CHUNK):
        spent, seconds = served(loop.policy, replay.costs, slice(start, start + CHUNK))
        cost, used_slot_s = cost + spent, used_slot_s + seconds
        loop.observe(between_s * (1 + start / CHUNK), seconds / (slots * between_s))
    utilisation = used_slot_s / (times * problem.capacity_slot_s)
    return Outcome(cost / times / optimum(problem).certificate.primal, utilisation, loop.policy)


def served(policy: Priced, costs: CostTable, rows: slice) -> tuple[float, Floats]:
    """U of some queries, and their seconds on each system."""
    part = CostTable(costs.energy_j[rows], costs.runtime_s[rows], costs.feasible[rows], costs.extrapolated[rows])
    ones = np.ones(part.energy_j.shape[0], np.int64)
    position, every = place(policy, ones, ones, part), np.arange(ones.size)
    seconds = np.bincount(position, weights=part.runtime_s[every, position], minlength=len(policy.prices))
    return float(part.energy_j[every, position].sum()), seconds


@pytest.mark.parametrize("seed", range(3))
def test_alpaca_is_served_within_half_a_per_cent_from_nothing(seed: int) -> None:
    """52,002 queries once: cost within 0.5 % of the offline optimum, every capacity kept to 0.5 %."""
    evaluator = bundled(lab())
    capacity_slot_s = 86_400.0 * np.array([4.0, 1.0])
    problem = CapacityProblem.of(
        evaluator.workload,
        evaluator.costs,
        objective=ENERGY,
        names=evaluator.fleet.names,
        capacity_slot_s=capacity_slot_s,
    )

    outcome = tuned(problem, seed=seed)

    assert outcome.cost == pytest.approx(1.0, abs=5e-3)
    assert (outcome.utilisation <= 1.005).all()


@pytest.mark.parametrize("first_step", [0.01, 1.0, 100.0])
def test_prices_of_any_size_are_found(first_step: float) -> None:
    """A first guess that is off a hundredfold either way still ends at the shadow prices."""
    problem = drawn(np.random.default_rng(2), 1000, 4)
    wanted = optimum(problem).shadow_prices

    outcome = tuned(problem, first_step=first_step, times=4)

    assert np.array(outcome.policy.prices) == pytest.approx(wanted, rel=0.2, abs=0.05 * wanted.max())
    assert outcome.cost == pytest.approx(1.0, abs=2e-2)


def test_prices_stay_finite_where_all_are_full() -> None:
    """A fleet asked for more than it has for days has prices, and finds its way back once there is room."""
    loop = PriceLoop(Priced.free(ENERGY, 2), drain_s=30)

    for at_s in range(5000):
        full = loop.observe(float(at_s), (1.5, 1.2))
    for at_s in range(5000, 15000):
        roomy = loop.observe(float(at_s), (0.2, 0.2))

    assert np.isfinite(full.prices).all()
    assert roomy.prices == pytest.approx((0.0, 0.0), abs=1e-3)


@pytest.mark.parametrize("utilisation", [(1.5,), (1.5, 1.5), (1.2, 1.2, 1.2)])
def test_what_all_have_too_much_of_costs_nothing(utilisation: tuple[float, ...]) -> None:
    """Overload that every system shares is cured by no price, and so it makes none."""
    loop = PriceLoop(Priced.free(ENERGY, len(utilisation)), drain_s=10.0)

    for at_s in range(50):
        loop.observe(float(at_s), utilisation)

    assert loop.policy.prices == (0.0,) * len(utilisation)


def test_the_least_overloaded_stays_free() -> None:
    """Where all have too much, those with more than the least of it grow dear."""
    loop = PriceLoop(Priced.free(ENERGY, 3), drain_s=10.0)

    for at_s in range(5):
        loop.observe(float(at_s), (1.5, 1.2, 1.3))

    first, least, last = loop.policy.prices
    assert first > 0 == least < last


def test_idle_systems_stay_free() -> None:
    """A price never falls below 0 and does not wind up while there is room."""
    loop = PriceLoop(Priced.free(ENERGY, 2), drain_s=10.0)

    for at_s in range(50):
        loop.observe(float(at_s), (0.2, 0.0))

    assert loop.policy.prices == (0.0, 0.0)
    assert loop.observe(50.0, (1.5, 0.2)).prices[0] > 0


def test_the_loop_is_a_pure_state_machine() -> None:
    """The same observations give the same prices."""
    seen = [(float(at_s), (1.0 + 0.5 * (at_s % 3 - 1), 0.9)) for at_s in range(40)]
    one, other = (PriceLoop(Priced(ENERGY, (3.0, 0.0)), drain_s=10.0, target=0.8) for _ in range(2))

    assert [one.observe(*look).prices for look in seen] == [other.observe(*look).prices for look in seen]


def test_observations_that_cannot_be_are_refused() -> None:
    """Time does not run back, and every system has a utilisation."""
    loop = PriceLoop(Priced.free(ENERGY, 2), drain_s=10.0)
    loop.observe(5.0, (0.0, 0.0))

    with pytest.raises(ValueError, match="time runs back by 1 s"):
        loop.observe(4.0, (0.0, 0.0))
    with pytest.raises(ValueError, match="2 systems have as many utilisations, got 1"):
        loop.observe(6.0, (0.0,))
    with pytest.raises(ValueError, match="are positive"):
        PriceLoop(Priced.free(ENERGY, 2), drain_s=0.0)
