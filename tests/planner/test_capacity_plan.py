"""The planning job under capacity: whole queries, its baseline, its limits, and what would change its mind."""

from dataclasses import replace

import numpy as np
import pytest

from tests.planner.capacity_cases import bundled, lab
from wattshed.domain.cost import Objective
from wattshed.errors import InfeasibleError, UsageError
from wattshed.planner.capacity import optimum
from wattshed.planner.capacity_changes import lambda_range, replica_changes
from wattshed.planner.capacity_lengths import prices_of_not_knowing
from wattshed.planner.capacity_plan import CapacityPlanning, horizon_of, plan_capacity, within
from wattshed.planner.capacity_regret import UNLIMITED, regrets
from wattshed.planner.evaluate import Evaluator
from wattshed.planner.planning import plan

DAY_S = 86_400.0


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    """Four Macs and an A100 under Alpaca."""
    return bundled(lab())


@pytest.fixture(scope="module")
def found(evaluator: Evaluator) -> CapacityPlanning:
    """The same, to be done in a day, for the least energy."""
    return plan_capacity(plan(evaluator, Objective(1.0)), horizon_s=DAY_S)


def test_whole_queries_keep_every_capacity(found: CapacityPlanning, evaluator: Evaluator) -> None:
    """Every query is placed once, no slot-second is spent twice, and rounding costs next to nothing."""
    whole = found.whole

    assert (whole.amounts.sum(axis=1) == evaluator.workload.queries).all()
    assert (found.utilisation <= 1 + 1e-9).all()
    assert 0 <= whole.dearer < 1e-5
    assert found.plan.queries == 52_002
    assert found.plan.energy_j.value == pytest.approx(found.assignment.certificate.primal, rel=1e-5)


def test_capacity_costs_and_still_saves(found: CapacityPlanning) -> None:
    """It uses more than the unlimited optimum and less than the evenly busy fleet, whose systems are equally busy."""
    saving = found.even.saving

    assert found.capacity_energy_j > 0
    assert 0 < saving.energy.lower < saving.energy.value < saving.energy.upper
    assert found.even.bill.energy_j > found.plan.energy_j.value
    assert 0.8 < found.even.utilisation < 1


def test_ample_time_is_the_unlimited_plan(evaluator: Evaluator) -> None:
    """With a horizon that nothing fills, the plan is the one without capacity and slots are worth nothing."""
    planning = plan(evaluator, Objective(1.0))

    ample = plan_capacity(planning, horizon_s=1000 * DAY_S)

    assert ample.plan.energy_j == planning.chosen.energy_j
    assert set(ample.prices.values()) == {0.0}


def test_more_slots_are_more_capacity(found: CapacityPlanning) -> None:
    """Two slots on two Macs hold as much as one slot on four."""
    two = plan_capacity(plan(bundled(lab(slots=2, macs=2)), Objective(1.0)), horizon_s=DAY_S)

    assert two.plan.energy_j.value == pytest.approx(found.plan.energy_j.value)
    assert two.replica_slot_s.tolist() == [2 * DAY_S, DAY_S]


def test_a_replica_more_or_fewer_is_solved_anew(found: CapacityPlanning) -> None:
    """One more Mac saves no more than its price says, one fewer costs no less; without the A100 nothing fits."""
    price_w, replica_slot_s = found.prices["mac"], found.replica_slot_s[0]

    changes = {(change.system, change.added): change.energy_j for change in replica_changes(found)}

    assert -price_w * replica_slot_s <= changes["mac", 1] < 0
    assert changes["mac", -1] >= price_w * replica_slot_s
    assert changes["a100", 1] == pytest.approx(0.0, abs=1.0)
    assert changes["a100", -1] is None


def test_the_plan_holds_within_its_range_of_lambda_and_not_beyond(found: CapacityPlanning) -> None:
    """Just inside the range the optimum is the same assignment; just beyond, it is another."""
    evaluator, problem = found.planning.evaluator, found.assignment.problem
    lambdas = lambda_range(found)

    def moved(lam: float) -> float:
        cost = Objective(lam).cost(evaluator.costs.energy_j, evaluator.costs.runtime_s)
        return float(np.abs(optimum(replace(problem, cost=cost)).amounts - found.assignment.amounts).sum())

    assert 0 < lambdas.lower < lambdas.upper == 1.0
    assert moved(lambdas.lower + 1e-4) < 1e-6
    assert moved(lambdas.lower - 1e-4) > 1


def test_rules_that_break_capacity_are_marked(found: CapacityPlanning) -> None:
    """No rule that holds the capacities costs less than the optimum; those that cost less break them."""
    table = {regret.family: regret for regret in regrets(found)}

    assert all(regret.cost >= -1e-6 for regret in table.values() if regret.overload == 0)
    assert table[UNLIMITED].cost < 0 < table[UNLIMITED].overload
    assert table["best threshold on m + n/2"].overload == 0
    assert 0 < table["best threshold on m + n/2"].share < table["best threshold on m"].share
    assert {kind for kind in table if "threshold" in kind} >= {"best threshold on m and n", "best threshold on m or n"}


def test_knowing_less_costs_more(found: CapacityPlanning) -> None:
    """The price of not knowing lengths is at least 0 and rises as less is known."""
    costs = [price.cost for price in prices_of_not_knowing(found)]

    assert all(cost is not None and cost >= 0 for cost in costs)
    assert costs == sorted(costs, key=lambda cost: cost or 0.0)


def test_a_longest_runtime_rules_cells_out_and_says_where(evaluator: Evaluator) -> None:
    """Queries that take longer on a system go elsewhere; a limit that nobody keeps is refused with one that all do."""
    quick, ruled_out = within(evaluator, 79.0)
    slow = evaluator.costs.feasible & (evaluator.costs.runtime_s > 79.0)

    assert not (quick.costs.feasible & slow).any()
    assert [one.queries for one in ruled_out] == (evaluator.workload.queries @ slow).tolist()
    assert ruled_out[0].queries > 0
    with pytest.raises(InfeasibleError, match=r"queries take more than 1 s on every system; --max-runtime-s 78\.\d+"):
        within(evaluator, 1.0)


def test_a_workload_without_arrivals_has_no_horizon(evaluator: Evaluator) -> None:
    """It takes arrivals to know how long they came."""
    with pytest.raises(UsageError, match="--horizon-s 86400"):
        horizon_of(evaluator.workload)


def test_a_fleet_that_is_too_small_says_how_many_more_would_do(evaluator: Evaluator) -> None:
    """Replicas that it names do suffice, and one fewer does not."""
    with pytest.raises(InfeasibleError, match=r"add (\d+) more of mac, or 2 more of a100") as refused:
        plan_capacity(plan(evaluator, Objective(1.0)), horizon_s=40_000.0)

    more = int(str(refused.value).split("add ")[1].split()[0])
    assert plan_capacity(plan(bundled(lab(macs=4 + more)), Objective(1.0)), horizon_s=40_000.0)
    with pytest.raises(InfeasibleError):
        plan_capacity(plan(bundled(lab(macs=3 + more)), Objective(1.0)), horizon_s=40_000.0)
