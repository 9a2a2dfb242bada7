"""The planning job under capacity: the optimum in whole queries, what it saves, and against what.

No single system need be able to hold the load, so savings against those alone flatter nobody: the baseline to beat is
the *evenly busy* fleet, which is where a load balancer that knows queues and no lengths leads. There every system takes
the same share of every shape that it can run, and the shares are such that all are equally utilised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.plan import Interval, Plan, Saving
from wattshed.domain.query import Workload
from wattshed.errors import InfeasibleError, UsageError
from wattshed.planner.capacity import Assignment, CapacityProblem, optimum
from wattshed.planner.capacity_policy import priced_policy
from wattshed.planner.capacity_whole import Whole, whole_queries
from wattshed.planner.evaluate import Bill, Evaluator
from wattshed.planner.planning import Planning
from wattshed.policies.priced import Priced

EVENLY_BUSY: Final = "evenly busy"
"""Short name of the baseline."""

_PARTS: Final = 1000
"""Shares of the baseline are rounded to thousandths."""


@dataclass(frozen=True, slots=True, eq=False)
class Even:
    """The evenly busy fleet: its bill, the utilisation of its busiest system, and what the optimum saves against it."""

    bill: Bill
    utilisation: float
    saving: Saving


@dataclass(frozen=True, slots=True, eq=False)
class CapacityPlanning:
    """What planning under capacity found; `planning` is the same without, whose optimum no capacity can beat.

    `replica_slot_s` (S,) is what one replica of each system has over the horizon: its slots times `horizon_s`.
    """

    planning: Planning
    horizon_s: float
    replica_slot_s: Floats
    assignment: Assignment
    whole: Whole
    plan: Plan
    policy: Priced
    even: Even

    @property
    def utilisation(self) -> Floats:
        """Of each system by the plan's whole queries, shape (S,)."""
        used_slot_s: Floats = (self.whole.amounts * self.planning.evaluator.costs.runtime_s).sum(axis=0)
        return used_slot_s / self.assignment.problem.capacity_slot_s

    @property
    def capacity_energy_j(self) -> float:
        """Joules that the optimum without capacity would save."""
        return self.plan.energy_j.value - self.planning.chosen.energy_j.value

    @property
    def prices(self) -> Mapping[str, float]:
        """Shadow price of a slot-second of each system, in U."""
        names = self.planning.evaluator.fleet.names
        return dict(zip(names, map(float, self.assignment.shadow_prices), strict=True))


def plan_capacity(planning: Planning, *, horizon_s: float) -> CapacityPlanning:
    """The plan of least cost that no system is asked for more slot-seconds by than it has in `horizon_s`.

    Raises `InfeasibleError`, with what is missing, where the fleet cannot hold the workload.
    """
    evaluator, objective = planning.evaluator, planning.objective
    replica_slot_s = horizon_s * np.array([float(pool.operation.slots) for pool in evaluator.fleet.pools])
    capacity_slot_s = replica_slot_s * [pool.count for pool in evaluator.fleet.pools]
    problem = CapacityProblem.of(
        evaluator.workload,
        evaluator.costs,
        objective=objective,
        names=evaluator.fleet.names,
        capacity_slot_s=capacity_slot_s,
    )
    assignment = optimum(replace(problem, replica_slot_s=replica_slot_s))
    whole, policy = whole_queries(assignment), priced_policy(assignment, objective)
    placed, bill = evaluator.placed(policy.name, whole.amounts), evaluator.bill(whole.amounts)
    even = _even(evaluator, problem, bill)
    return CapacityPlanning(planning, horizon_s, replica_slot_s, assignment, whole, placed, policy, even)


def horizon_of(workload: Workload) -> float:
    """Seconds from the first arrival to the last; `UsageError` where the workload has none to tell."""
    spanned_s = 0.0 if workload.arrivals is None else float(np.ptp(workload.arrivals.arrival_s))
    if spanned_s <= 0:
        problem = "does not say when its queries come" if workload.arrivals is None else "has them all come at once"
        raise UsageError(
            f"workload {workload.name!r} {problem}; give the time in which they are to be served, like "
            f"--horizon-s 86400"
        )
    return spanned_s


@dataclass(frozen=True, slots=True)
class RuledOut:
    """Queries that a system must not serve because they would take longer than allowed."""

    system: str
    queries: int


def within(evaluator: Evaluator, max_runtime_s: float) -> tuple[Evaluator, tuple[RuledOut, ...]]:
    """The evaluator where a query runs only on systems with a predicted runtime of at most `max_runtime_s`.

    Raises `InfeasibleError` where some query is too slow everywhere.
    """
    costs, workload = evaluator.costs, evaluator.workload
    slow = costs.feasible & (costs.runtime_s > max_runtime_s)
    quick = costs.feasible & ~slow
    lost = ~quick.any(axis=1)
    if lost.any():
        least_s = 1.0005 * float(np.where(costs.feasible, costs.runtime_s, np.inf).min(axis=1).max())
        raise InfeasibleError(
            f"{workload.queries[lost].sum():,} of {workload.total_queries:,} queries take more than {max_runtime_s:g} "
            f"s on every system; --max-runtime-s {least_s:.4g} would let all run, or add a faster system"
        )
    ruled_out = (int(count) for count in workload.queries @ slow)
    table = tuple(RuledOut(name, count) for name, count in zip(evaluator.fleet.names, ruled_out, strict=True))
    return replace(evaluator, costs=replace(costs, feasible=quick)), table


def _even(evaluator: Evaluator, problem: CapacityProblem, bill: Bill) -> Even:
    parts = _even_parts(problem)
    served = evaluator.workload.queries[:, None] * parts
    baseline = evaluator.bill(served, phases=_PARTS)
    used_slot_s = (served * problem.runtime_s).sum(axis=0) / _PARTS
    saving = Saving(
        EVENLY_BUSY,
        _less(bill.energy_j, baseline.energy_j, bill.replicates.energy_j, baseline.replicates.energy_j),
        _less(bill.runtime_s, baseline.runtime_s, bill.replicates.runtime_s, baseline.replicates.runtime_s),
    )
    return Even(baseline, float((used_slot_s / problem.capacity_slot_s).max()), saving)


def _even_parts(problem: CapacityProblem) -> Integers:
    """How many of a thousand queries of each shape each system takes, shape (B, S), all equally utilised."""
    weights = problem.capacity_slot_s / np.maximum(problem.queries @ problem.runtime_s, 1e-300)
    for _ in range(100):  # a multiplicative fixed point: who is busier than the mean takes less
        shares = problem.open * weights
        shares /= shares.sum(axis=1, keepdims=True)
        used = np.einsum("b,bs,bs->s", problem.queries, shares, problem.runtime_s) / problem.capacity_slot_s
        weights = weights * (used.mean() / np.maximum(used, 1e-300)) ** 0.5
        weights /= weights.sum()
    up_to = np.rint(_PARTS * np.cumsum(shares, axis=1)).astype(np.int64)
    return np.diff(up_to, axis=1, prepend=0)


def _less(value: float, baseline: float, replicates: Floats, baseline_replicates: Floats) -> Interval:
    return Interval.of(1 - value / baseline, 1 - replicates / baseline_replicates)
