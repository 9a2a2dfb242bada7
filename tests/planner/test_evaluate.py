"""What a policy costs, and what it saves against every single system."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.planner.cases import PROPERTY, LinearPredictor, evaluators
from wattshed.domain.cost import Objective
from wattshed.domain.query import Workload
from wattshed.domain.system import Fleet, Limits, Pool
from wattshed.errors import InfeasibleError
from wattshed.planner.evaluate import Evaluator, best_baseline, boundary, p95
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo, Random, RoundRobin
from wattshed.policies.policy import Policy
from wattshed.policies.threshold import Pair, Threshold

WORKLOAD = Workload.of("three", np.array([10, 10, 400]), np.array([10, 600, 100]), queries=np.array([6, 1, 3]))
FRUGAL_WHEN_SHORT = LinearPredictor(0.0, 2.0, power_w=10.0, spread=0.1)
FRUGAL_WHEN_LONG = LinearPredictor(200.0, 1.0, power_w=100.0, spread=0.1, measured_tokens=512)
PAIR = Pair(0, 1, "M1", "A100")


def evaluator(*, host_power_w: float = 0.0) -> Evaluator:
    """The M1, limited to 512 output tokens, and an A100 that pays from 200 tokens on."""
    pools = Pool("M1", "M1"), Pool("A100", "A100", host_power_w=host_power_w)
    limits = [Limits(max_output_tokens=512), Limits()]
    fleet = Fleet("fleet", "profile", "llm", pools)
    return Evaluator.of(fleet, WORKLOAD, limits=limits, predictors=[FRUGAL_WHEN_SHORT, FRUGAL_WHEN_LONG])


def test_a_plan_adds_up_by_hand() -> None:
    """Small queries on the M1, the others on the A100: counts, joules and seconds as on paper."""
    plan = evaluator().evaluate(Threshold(PAIR, 20, input_weight=1, output_weight=1))

    small, large = plan.shares
    assert plan.assignment.tolist() == [0, 1, 1]
    assert (small.queries, small.energy_j, small.runtime_s) == (6, 6 * 40, 6 * 4)
    assert (large.queries, large.energy_j, large.runtime_s) == (4, 810 + 3 * 700, 8.1 + 3 * 7)
    assert (small.extrapolated_queries, large.extrapolated_queries) == (0, 1)
    assert plan.energy_j.value == 240 + 2910
    assert plan.mean_runtime_s == pytest.approx((24 + 29.1) / 10)
    assert plan.p95_runtime_s == 8.1


def test_every_baseline_is_named_and_answers_for_all_queries() -> None:
    """The M1 is continued past its limit for the one query it cannot run, and that query is counted."""
    plan = evaluator().evaluate(AllTo(1, "A100"))

    against_m1 = plan.saving("M1")
    assert against_m1.infeasible_queries == 1
    assert against_m1.energy.value == pytest.approx(1 - (6 * 220 + 810 + 2100) / (6 * 40 + 1220 + 3000))
    assert against_m1.runtime.value == pytest.approx(1 - 42.3 / 446)
    assert plan.saving("A100").infeasible_queries == 0


def test_host_power_is_in_the_interval_too() -> None:
    """Value and bounds lie on one boundary: a host of 100 W doubles both on a device of 100 W."""
    bare, hosted = (evaluator(host_power_w=host_w).evaluate(AllTo(1, "A100")).energy_j for host_w in (0.0, 100.0))

    assert hosted.value == pytest.approx(2 * bare.value)
    assert (hosted.lower, hosted.upper) == pytest.approx((2 * bare.lower, 2 * bare.upper))


def test_the_interval_is_the_middle_95_percent_of_the_replicates() -> None:
    """Replicates spread evenly from -10 % to +10 % give bounds of -9.5 % and +9.5 %."""
    energy_j = evaluator().evaluate(AllTo(1, "A100")).energy_j

    assert (energy_j.lower, energy_j.upper) == pytest.approx((0.905 * energy_j.value, 1.095 * energy_j.value))


def test_common_error_cancels_in_a_saving() -> None:
    """Both systems are off by the same factor in each replicate, so the saving is certain and the energy is not."""
    saving = evaluator().evaluate(Argmin(Objective())).saving("A100").energy

    assert saving.upper - saving.lower == pytest.approx(0, abs=1e-12)
    assert saving.value == pytest.approx(saving.lower)


def test_what_nobody_can_serve_stops_the_plan() -> None:
    """A workload is planned whole or not at all."""
    fleet = Fleet("fleet", "profile", "llm", (Pool("M1", "M1"),))

    with pytest.raises(InfeasibleError, match="1 of 10 queries"):
        Evaluator.of(fleet, WORKLOAD, limits=[Limits(max_output_tokens=512)], predictors=[FRUGAL_WHEN_SHORT])


@pytest.mark.parametrize("policy", [Random(), RoundRobin()])
def test_rotation_is_the_mean_over_its_phases(policy: Policy) -> None:
    """Half of what both can run goes to each; what only the A100 can run stays there in every phase."""
    plan = evaluator().evaluate(policy)

    small, large = plan.shares
    assert plan.assignment.tolist() == [-1, 1, -1]
    assert (small.queries + large.queries, plan.queries) == (10, 10)
    assert small.energy_j == (6 * 40 + 3 * 1000) / 2
    assert large.energy_j == (6 * 220 + 3 * 700) / 2 + 810
    assert plan.energy_j.value == small.energy_j + large.energy_j
    assert plan.energy_j.lower < plan.energy_j.value < plan.energy_j.upper


def test_the_best_baseline_is_the_hardest_to_beat() -> None:
    """It is the single system of least energy, also where some of its queries are continued past its limits."""
    cheap, costly = (evaluator(host_power_w=host_w).evaluate(AllTo(1, "A100")) for host_w in (0.0, 900.0))

    assert best_baseline(cheap).baseline == "A100"
    assert (best_baseline(costly).baseline, best_baseline(costly).infeasible_queries) == ("M1", 1)


def test_the_boundary_names_what_is_counted() -> None:
    """Host power that no meter saw is stated wherever it is charged."""
    pools = Pool("M1", "M1"), Pool("A100", "A100", host_power_w=40)

    assert boundary(Fleet("fleet", "profile", "llm", pools, channel="gpu")) == "GPU + 40 W host power on A100"
    assert boundary(Fleet("fleet", "profile", "llm", pools[:1])) == "GPU + CPU as billed"


@PROPERTY
@given(evaluators())
def test_every_query_is_placed_once(evaluator: Evaluator) -> None:
    """Shares add up to the workload, and their energies to the plan's (Equations 3 and 4)."""
    pair = Pair.of(evaluator.fleet.names, 0, 1)
    for policy in (AllTo(0, "s0"), Random(), RoundRobin(), Threshold(pair, 100), Argmin(Objective(lam=0.5))):
        plan = evaluator.evaluate(policy)

        assert plan.queries == evaluator.workload.total_queries
        assert sum(share.energy_j for share in plan.shares) == pytest.approx(plan.energy_j.value)
        assert sum(share.runtime_s for share in plan.shares) == pytest.approx(plan.runtime_s.value)


@PROPERTY
@given(evaluators())
def test_a_system_saves_nothing_against_itself(evaluator: Evaluator) -> None:
    """All to one unlimited system, against that system alone: exactly zero, with no width."""
    last = evaluator.fleet.names[-1]

    saving = evaluator.evaluate(AllTo(len(evaluator.fleet.names) - 1, last)).saving(last)

    assert saving.energy.value == saving.energy.lower == saving.energy.upper == 0
    assert saving.runtime.value == saving.runtime.lower == saving.runtime.upper == 0


@PROPERTY
@given(evaluators())
def test_the_optimum_loses_to_no_system_that_can_serve_all(evaluator: Evaluator) -> None:
    """The per-query optimum saves at least nothing against every baseline without infeasible queries."""
    plan = evaluator.evaluate(Argmin(Objective()))

    assert all(saving.energy.value >= -1e-12 for saving in plan.savings if saving.infeasible_queries == 0)


@PROPERTY
@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.integers(1, 50)), min_size=1, max_size=40),
    st.sampled_from([1.0, 1e-300, 1e290]),
)
def test_p95_equals_counting_out(weighted: list[tuple[float, int]], scale: float) -> None:
    """The quantile of a histogram is that of its queries listed one by one: the least that 95 % do not exceed."""
    values = np.array([value * scale for value, _ in weighted])
    weights = np.array([count for _, count in weighted])
    listed = np.sort(np.repeat(values, weights))

    assert p95(values, weights) == listed[-(-19 * listed.size // 20) - 1]
