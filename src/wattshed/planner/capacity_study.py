"""Everything that is asked of a plan under capacity, worked out once: for the command line, JSON and the page."""

from dataclasses import dataclass

from wattshed.planner.capacity_changes import LambdaRange, ReplicaChange, lambda_range, replica_changes
from wattshed.planner.capacity_front import CapacityFront, capacity_front
from wattshed.planner.capacity_lengths import NotKnowing, prices_of_not_knowing
from wattshed.planner.capacity_plan import CapacityPlanning, RuledOut, plan_capacity
from wattshed.planner.capacity_regret import Regret, regrets
from wattshed.planner.planning import Planning

_FRONT_POINTS = 17
"""Points of the front: the line through them is off by less than a thousandth on the bundled workload."""


@dataclass(frozen=True, slots=True, eq=False)
class CapacityStudy:
    """The plan; what would change its mind; what other rules, and not knowing lengths, cost beyond it.

    `max_runtime_s` is the limit that was asked for, and `ruled_out` what it forbade.
    """

    found: CapacityPlanning
    changes: tuple[ReplicaChange, ...]
    lambdas: LambdaRange
    regrets: tuple[Regret, ...]
    not_knowing: tuple[NotKnowing, ...]
    max_runtime_s: float | None = None
    ruled_out: tuple[RuledOut, ...] = ()

    def front(self) -> CapacityFront:
        """Energy against runtime under the same capacities; worked out at each call."""
        return capacity_front(self.found.assignment.problem, self.found.planning.evaluator.costs, points=_FRONT_POINTS)


def study_capacity(
    planning: Planning, *, horizon_s: float, max_runtime_s: float | None = None, ruled_out: tuple[RuledOut, ...] = ()
) -> CapacityStudy:
    """The study of a workload on a fleet; `planning` is the same without capacity, and already within the limit."""
    found = plan_capacity(planning, horizon_s=horizon_s)
    return CapacityStudy(
        found,
        tuple(replica_changes(found)),
        lambda_range(found),
        tuple(regrets(found)),
        tuple(prices_of_not_knowing(found)),
        max_runtime_s,
        ruled_out,
    )
