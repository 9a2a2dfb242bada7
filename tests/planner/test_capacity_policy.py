"""A plan's prices as a policy: a replayed trace ends where the optimum is."""

import numpy as np
import pytest

from tests.planner.capacity_cases import Replay, bundled, drawn, lab
from wattshed.domain.cost import Objective
from wattshed.planner.capacity import optimum, optimum_if_any
from wattshed.planner.capacity_plan import plan_capacity
from wattshed.planner.capacity_policy import priced_policy
from wattshed.planner.planning import plan
from wattshed.policies.policy import place
from wattshed.policies.priced import Priced

ENERGY = Objective(1.0)


def replayed(policy: Priced, replay: Replay, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """U of a replayed trace under a policy with a lot for each query, and the slot-seconds it takes."""
    count = replay.bucket.size
    draw = rng.permutation((np.arange(count) + 0.5) / count)
    ones = np.ones(count, np.int64)
    position = place(policy, ones, ones, replay.costs, draw=draw)  # type: ignore[arg-type]  # one lot a query
    rows = np.arange(count)
    seconds = np.bincount(position, weights=replay.costs.runtime_s[rows, position], minlength=len(policy.prices))
    return float(replay.costs.energy_j[rows, position].sum()), seconds


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("shapes", "systems", "times"), [(20, 4, 2000), (400, 6, 40)])
def test_a_replayed_trace_costs_what_the_optimum_does(seed: int, shapes: int, systems: int, times: int) -> None:
    """Within 0.1 % in cost and 1 % in every capacity, though few shapes make every split weigh."""
    rng = np.random.default_rng(seed)
    found = optimum_if_any(drawn(rng, shapes, systems))
    if found is None:
        return

    cost, used_slot_s = replayed(priced_policy(found, ENERGY), Replay.of(found.problem, rng, times), rng)

    assert cost / times == pytest.approx(found.certificate.primal, rel=1e-3)
    assert (used_slot_s / times <= 1.01 * found.problem.capacity_slot_s).all()


def test_alpaca_replayed_by_its_prices_is_within_a_thousandth() -> None:
    """The bundled workload on the bundled fleet: 0.1 % in cost and in every capacity."""
    rng = np.random.default_rng(0)
    found = plan_capacity(plan(bundled(lab()), ENERGY), horizon_s=86_400.0)
    problem = found.assignment.problem

    cost, used_slot_s = replayed(found.policy, Replay.of(problem, rng), rng)

    assert cost == pytest.approx(found.assignment.certificate.primal, rel=1e-3)
    assert (used_slot_s <= 1.001 * problem.capacity_slot_s).all()


def test_ample_capacity_needs_no_lot() -> None:
    """Without a split shape the prices are not tilted, and the policy does not rotate."""
    problem = drawn(np.random.default_rng(1), 20, 3)

    policy = priced_policy(optimum(problem.with_capacity(np.full(3, np.inf))), ENERGY)

    assert policy == Priced.free(ENERGY, 3)
    assert not policy.rotates
