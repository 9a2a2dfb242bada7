"""Equations 2-4 with capacity: the exact optimum, its certificate, and what a slot of each system is worth.

B shapes go to S systems that have so many slot-seconds each over the horizon. With x the queries of a shape that a
system serves, U their cost and R their seconds in a slot:

    primal   min sum x U       with  sum_s x = queries,  sum_b x R <= capacity,  x >= 0,  x = 0 where infeasible
    dual     max sum_b queries min_s (U + price R) - sum_s price capacity       over prices >= 0

The dual has S unknowns and a value that costs O(B S), so it is solved first (`capacity_dual.py`). It leaves most shapes
one best system, and a few that two systems would serve for the same; a linear program of these alone splits them
(`capacity_ties.py`), and its prices are asked of all shapes again. Primal and dual then bound the optimum from both
sides, whatever the way there: that is the certificate.
"""

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from wattshed.domain.arrays import Booleans, Floats, Integers
from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.query import Workload
from wattshed.planner.capacity_dual import ScaledProblem, near_optimal_prices, scaled
from wattshed.planner.capacity_shortage import Load, explain
from wattshed.planner.capacity_ties import Solved, split_ties


@dataclass(frozen=True, slots=True, eq=False)
class CapacityProblem:
    """B shapes and S systems: `queries` (B,), `cost` U, `runtime_s` and `feasible` (B, S), `capacity_slot_s` (S,).

    A capacity is in slot-seconds over the horizon, 0 for a system that serves nobody and infinite for one without end.
    `names` of the systems, and what one replica of each adds to its capacity (S,), are for messages.
    """

    names: tuple[str, ...]
    queries: Floats
    cost: Floats
    runtime_s: Floats
    feasible: Booleans
    capacity_slot_s: Floats
    replica_slot_s: Floats | None = None

    def __post_init__(self) -> None:
        shape = (self.queries.size, len(self.names))
        if not shape == self.cost.shape == self.runtime_s.shape == self.feasible.shape:
            raise ValueError(f"cost, runtime and feasible need shape {shape}")
        if self.capacity_slot_s.shape != shape[1:] or not (self.capacity_slot_s >= 0).all():
            raise ValueError(f"{shape[1]} systems have as many capacities of at least 0, got {self.capacity_slot_s}")
        if (self.runtime_s[self.feasible] < 0).any():
            raise ValueError("a query holds a slot for at least 0 s")
        if not (self.queries > 0).all():
            raise ValueError("every shape has some queries")

    @classmethod
    def of(
        cls,
        workload: Workload,
        costs: CostTable,
        *,
        objective: Objective,
        names: tuple[str, ...],
        capacity_slot_s: Floats,
    ) -> "CapacityProblem":
        """The problem of a workload on a fleet."""
        cost = objective.cost(costs.energy_j, costs.runtime_s)
        queries = workload.queries.astype(np.float64)
        return cls(names, queries, cost, costs.runtime_s, costs.feasible, np.asarray(capacity_slot_s, np.float64))

    def with_capacity(self, capacity_slot_s: Floats) -> "CapacityProblem":
        """The same load on other capacities."""
        return replace(self, capacity_slot_s=capacity_slot_s)

    @property
    def open(self) -> Booleans:
        """Cells (B, S) that may be used: feasible, and not on a system without capacity."""
        cells: Booleans = self.feasible & ((self.capacity_slot_s > 0) | (self.runtime_s == 0))
        return cells


@dataclass(frozen=True, slots=True)
class Proof:
    """The certificate: no assignment costs less than `dual`, ours costs `primal`.

    `most_overload` is the largest fraction by which a system's capacity is exceeded; rounding of the last digit.
    """

    primal: float
    dual: float
    most_overload: float

    @property
    def gap(self) -> float:
        """How far the cost may be from the least, as a fraction of it."""
        return (self.primal - self.dual) / max(abs(self.primal), abs(self.dual), np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """The optimum: `amounts` (B, S) of queries, fractions of them in at most S shapes, and its certificate.

    `shadow_prices` (S,) are in U per slot-second: by so much the cost falls with one more slot-second there, for a
    little way. With lambda 1 and a reference of 1 J these are joules per slot-second, watts.
    """

    problem: CapacityProblem
    amounts: Floats
    shadow_prices: Floats
    certificate: Proof

    @property
    def used_slot_s(self) -> Floats:
        """Slot-seconds taken on each system, shape (S,)."""
        used: Floats = np.einsum("bs,bs->s", self.amounts, self.problem.runtime_s)
        return used

    @property
    def utilisation(self) -> Floats:
        """Used over available slot-seconds, shape (S,); 0 where there are none."""
        capacity_slot_s = self.problem.capacity_slot_s
        return np.divide(
            self.used_slot_s, capacity_slot_s, out=np.zeros_like(capacity_slot_s), where=capacity_slot_s > 0
        )

    @property
    def split(self) -> Integers:
        """The shapes that several systems share."""
        return np.flatnonzero((self.amounts > 0).sum(axis=1) > 1)

    def total(self, quantity: Floats) -> float:
        """Sum of a quantity (B, S) a query, energy say, over the whole assignment."""
        used = self.amounts > 0
        return float(self.amounts[used] @ quantity[used])


def optimum(problem: CapacityProblem, *, start: Floats | None = None) -> Assignment:
    """The optimum; `start` (S,) are prices to begin from, those of a problem much like it.

    Raises `InfeasibleError`, with the load, the system and what is missing, where the fleet cannot hold the load.
    """
    found = optimum_if_any(problem, start=start)
    if found is None:
        load = Load(
            problem.names,
            problem.queries,
            problem.runtime_s,
            problem.open,
            problem.capacity_slot_s,
            problem.replica_slot_s,
        )
        raise explain(load, lambda capacity_slot_s: optimum_if_any(problem.with_capacity(capacity_slot_s)) is not None)
    return found


def optimum_if_any(problem: CapacityProblem, *, start: Floats | None = None) -> Assignment | None:
    """The same, and `None` where the fleet cannot hold the load, without asking why."""
    if not problem.open.any(axis=1).all():
        return None
    small = scaled(problem.queries, problem.cost, problem.runtime_s, problem.open, problem.capacity_slot_s)
    first = None if start is None else np.minimum(start * small.price_unit, small.most_price)
    solved = split_ties(small, near_optimal_prices(small, first))
    if solved is None:
        return None
    amounts = np.ascontiguousarray((solved.amounts * (problem.queries / solved.amounts.sum(axis=0))).T)
    prices = _prices(problem, small, solved)
    return Assignment(problem, amounts, prices, _proof(problem, amounts, prices))


def _prices(problem: CapacityProblem, small: ScaledProblem, solved: Solved) -> Floats:
    """Prices in the problem's units; that of a system without capacity just keeps everyone away."""
    prices: Floats = solved.prices / small.price_unit
    for position in np.flatnonzero(problem.capacity_slot_s == 0):
        kept_out = problem.feasible[:, position] & ~problem.open[:, position]
        worth = _least(problem, prices)[kept_out] - problem.cost[kept_out, position]
        prices[position] = max(0.0, float((worth / problem.runtime_s[kept_out, position]).max(initial=0.0)))
    return prices


def _least(problem: CapacityProblem, prices: Floats) -> Floats:
    """What a query of each shape costs at these prices where that is least, shape (B,)."""
    least: Floats = np.where(problem.open, problem.cost + prices * problem.runtime_s, inf).min(axis=1)
    return least


def _proof(problem: CapacityProblem, amounts: Floats, prices: Floats) -> Proof:
    used = amounts > 0
    primal = float(amounts[used] @ problem.cost[used])
    paid = np.where(prices > 0, prices * np.where(np.isfinite(problem.capacity_slot_s), problem.capacity_slot_s, 0), 0)
    dual = float(problem.queries @ _least(problem, prices)) - float(paid.sum())
    used_slot_s = np.einsum("bs,bs->s", amounts, problem.runtime_s)
    bounded = problem.capacity_slot_s > 0
    excess = used_slot_s[bounded] / problem.capacity_slot_s[bounded] - 1
    return Proof(primal, dual, float(excess.max(initial=0.0)))
