"""What would change a plan's mind: another replica, one fewer, another lambda.

The optimum's *basis* is which cells are used. As lambda moves, costs and with them the prices that keep the used cells
tied move on straight lines, and the basis stays optimal until some unused cell costs no more than a used one or a price
falls to 0. All cells at once, that is one ratio test. A replica more or fewer is solved anew from the old prices.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.cost import Objective
from wattshed.planner.capacity import Assignment, optimum_if_any
from wattshed.planner.capacity_plan import CapacityPlanning

_ROUNDING: Final = 1e-9
"""Relative size of differences that count as none."""


@dataclass(frozen=True, slots=True)
class ReplicaChange:
    """What changes over the horizon with `added` replicas (1 or -1): cost U, joules and seconds; negative is saved.

    `None` everywhere: the fleet could not hold the load.
    """

    system: str
    added: int
    cost: float | None
    energy_j: float | None
    runtime_s: float | None


@dataclass(frozen=True, slots=True)
class LambdaRange:
    """The plan stays optimal, query for query, for lambda from `lower` to `upper`."""

    lower: float
    upper: float


def replica_changes(found: CapacityPlanning) -> list[ReplicaChange]:
    """One more and one fewer replica of each system, by position; their idle power is not counted."""
    pools = found.planning.evaluator.fleet.pools
    return [
        _with_replicas(found, position, added)
        for position, pool in enumerate(pools)
        for added in (1, -1)
        if pool.count + added >= 0
    ]


def _with_replicas(found: CapacityPlanning, position: int, added: int) -> ReplicaChange:
    problem, costs = found.assignment.problem, found.planning.evaluator.costs
    name, capacity_slot_s = problem.names[position], problem.capacity_slot_s.copy()
    capacity_slot_s[position] = max(0.0, capacity_slot_s[position] + added * found.replica_slot_s[position])
    after = optimum_if_any(problem.with_capacity(capacity_slot_s), start=found.assignment.shadow_prices)
    if after is None:
        return ReplicaChange(name, added, None, None, None)
    before = found.assignment
    return ReplicaChange(
        name,
        added,
        after.certificate.primal - before.certificate.primal,
        after.total(costs.energy_j) - before.total(costs.energy_j),
        after.total(costs.runtime_s) - before.total(costs.runtime_s),
    )


def lambda_range(found: CapacityPlanning) -> LambdaRange:
    """The lambdas around the plan's own that have the same optimum; that one alone where the optimum is degenerate."""
    objective, costs, assignment = found.planning.objective, found.planning.evaluator.costs, found.assignment
    ends = [
        _reduced(assignment, Objective(lam, objective.energy_ref_j, objective.runtime_ref_s).cost(*pair))
        for lam in (0.0, 1.0)
        for pair in [(costs.energy_j, costs.runtime_s)]
    ]
    at = (1 - objective.lam) * ends[0] + objective.lam * ends[1]
    slope = ends[1] - ends[0]
    size = float(np.abs(assignment.problem.cost).mean()) or 1.0
    if at.min(initial=0.0) < -_ROUNDING * size:
        return LambdaRange(objective.lam, objective.lam)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(np.abs(slope) > _ROUNDING * _ROUNDING * size, -at / slope, np.nan)
    up = float(np.min(distance, where=distance >= 0, initial=np.inf))
    down = float(np.max(distance, where=distance <= 0, initial=-np.inf))
    return LambdaRange(max(0.0, objective.lam + down), min(1.0, objective.lam + up))


def _reduced(assignment: Assignment, cost: Floats) -> Floats:
    """What has to stay at least 0: what unused cells cost beyond used ones at the basis's prices, and those prices."""
    problem, amounts = assignment.problem, assignment.amounts
    prices = _basis_prices(assignment, cost)
    priced = cost + prices * problem.runtime_s
    used = amounts.argmax(axis=1)
    beyond = priced - priced[np.arange(used.size), used][:, None]
    unused = problem.open & ~(amounts > 0)
    return np.concatenate((beyond[unused], prices[assignment.shadow_prices > 0]))


def _basis_prices(assignment: Assignment, cost: Floats) -> Floats:
    """Prices (S,) at which the systems that share a shape cost the same; 0 on those with room."""
    problem, amounts = assignment.problem, assignment.amounts
    rows, sides = [], []
    for shape in assignment.split:
        systems = np.flatnonzero(amounts[shape] > 0)
        for one, after in pairwise(systems):
            row = np.zeros(len(problem.names))
            row[[one, after]] = -problem.runtime_s[shape, one], problem.runtime_s[shape, after]
            rows.append(row)
            sides.append(cost[shape, one] - cost[shape, after])
    prices, bound = np.zeros(len(problem.names)), assignment.shadow_prices > 0
    if rows and bound.any():
        prices[bound] = np.linalg.lstsq(np.array(rows)[:, bound], np.array(sides), rcond=None)[0]
    return prices
