"""What would change the mind of a plan, by hand and for random fleets."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.planner.cases import PROPERTY, evaluators
from tests.planner.test_evaluate import evaluator
from wattshed.domain.cost import Objective
from wattshed.domain.system import Fleet
from wattshed.planner.changes import LITTLE, IdleChange, host_powers, idle_change, little_trade, power_changes
from wattshed.planner.evaluate import Evaluator
from wattshed.planner.planning import Planning, plan
from wattshed.report.words import plan_changes

FEW = settings(PROPERTY, max_examples=15)
"""Each example plans a fleet by every rule."""


def test_watts_that_nobody_saw_end_a_saving() -> None:
    """3150 J, and 4230 J on the A100 alone: 1080 J more over the M1's 24 s are 45 W. The M1 alone takes 4460 J."""
    changes = power_changes(plan(evaluator(), Objective()))

    assert [(one.system, one.baseline) for one in changes] == [("M1", "A100"), ("A100", "M1")]
    assert [one.power_w for one in changes] == pytest.approx([45, (4460 - 3150) / 29.1])
    assert [one.share for one in changes] == pytest.approx([1080 / 240, (4460 - 3150) / 2910])


@FEW
@given(evaluators())
def test_at_that_power_nothing_is_saved(found: Evaluator) -> None:
    """With the watts added to the system's host, plan and baseline take the same joules; the assignment stands."""
    planning = plan(found, Objective())

    for change in power_changes(planning):
        share = next(one for one in planning.chosen.shares if one.system == change.system)
        with_it_j = planning.chosen.energy_j.value + change.power_w * share.runtime_s

        assert with_it_j == pytest.approx(found.baseline(change.baseline).energy_j)


def test_waiting_ends_a_saving() -> None:
    """The M1 is done after 24 s, the A100 after 29.1 s: 1080 J saved over 5.1 s. A second M1 halves the M1's time."""
    found = evaluator()
    two = (replace(found.fleet.pools[0], count=2), found.fleet.pools[1])
    doubled = replace(found, fleet=replace(found.fleet, pools=two))

    change, more = (idle_change(plan(one, Objective())) for one in (found, doubled))

    assert change == IdleChange(pytest.approx(1080 / 5.1), pytest.approx(5.1), pytest.approx(29.1), "A100", "A100")
    assert more is not None
    assert more.waiting_s == pytest.approx(2 * (29.1 - 12))


def test_nobody_waits_where_one_serves_all() -> None:
    """A fleet of one, and a fleet whose best is one of them, have nobody wait."""
    assert idle_change(alone()) is None


@FEW
@given(evaluators())
def test_hosts_are_planned_anew(found: Evaluator) -> None:
    """No power is the plan itself; more power never makes it cheaper."""
    planning = plan(found, Objective())

    hosted = host_powers(planning, (0.0, 10.0, 100.0))

    energies_j = [one.plan.energy_j.value for one in hosted]
    assert energies_j[0] == pytest.approx(planning.chosen.energy_j.value)
    assert energies_j == sorted(energies_j)
    assert [one.power_w for one in hosted] == [0.0, 10.0, 100.0]


@FEW
@given(evaluators())
def test_a_little_energy_buys_what_the_front_says(found: Evaluator) -> None:
    """No more than the fraction offered, at a worth of a second for which the front has that very vertex."""
    planning = plan(found, Objective())
    trade = little_trade(planning)

    if trade is not None:
        there = planning.front().at(Objective.from_exchange(trade.exchange_w * (1 + 1e-9)))
        now = planning.front().at(planning.objective)
        assert trade.more_energy_j <= LITTLE * now.energy_j * (1 + 1e-12)
        assert there.energy_j - now.energy_j == pytest.approx(trade.more_energy_j)
        assert now.runtime_s - there.runtime_s == pytest.approx(trade.less_runtime_s)


def test_words_say_what_to_type() -> None:
    """A trade names the flag that makes it, and a fleet of one system has nothing that could change."""
    planning = plan(evaluator(), Objective.from_exchange(0.0))

    assert all("watts" in said or " W " in said for said in plan_changes(planning))
    assert plan_changes(alone()) == []


def test_what_is_nothing_is_not_said() -> None:
    """A fleet of two machines that cost the same saves nothing, and no power, meter or second would change that."""
    both = evaluator()
    a100 = both.predictors[1:] * 2, both.limits[1:] * 2
    same = Evaluator.of(both.fleet, both.workload, predictors=a100[0], limits=a100[1])

    assert plan_changes(plan(same, Objective())) == []


def alone() -> Planning:
    """A plan for the A100 and nobody else."""
    both = evaluator()
    fleet = Fleet("one", "profile", "llm", both.fleet.pools[1:])
    return plan(
        Evaluator.of(fleet, both.workload, limits=both.limits[1:], predictors=both.predictors[1:]), replace(Objective())
    )
