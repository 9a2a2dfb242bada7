"""The lambda front with capacity: energy against runtime, where every point is an exact optimum.

Under capacity shapes no longer move one by one, so the hulls of `pareto.py` do not add up. But the front is still the
lower left hull of all assignments' totals (R, E), and optima at a rate w touch it with slope -w. Between two of its
vertices the next rate to ask is that of the line through them: either the optimum there lies below the line and is a
new vertex, or it does not and the line is an edge of the front, exactly (Aneja and Nair, Management Science 25, 1979).
The gap that may hide most is asked first, each from the prices of its neighbours. A workload of many shapes has more
vertices than anyone wants; after so many `points` it stops, and says how far below the drawn line the front can lie.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.cost import CostTable
from wattshed.planner.capacity import Assignment, CapacityProblem, optimum

_ROUNDING: Final = 1e-10
"""Relative improvement below which an optimum lies on the line."""


@dataclass(frozen=True, slots=True, eq=False)
class CapacityFront:
    """F vertices from least energy to least runtime, totals, and at which rate each was found, shape (F,).

    `edges` of the F - 1 lines between them are proven to be the front itself. On the others it lies lower by at most
    the fraction `most_below` of its energy.
    """

    exchange_w: Floats
    energy_j: Floats
    runtime_s: Floats
    edges: int
    most_below: float


@dataclass(frozen=True, slots=True)
class _Vertex:
    """An optimum: rate, totals, and the prices in joules per slot-second to go on from."""

    exchange_w: float
    energy_j: float
    runtime_s: float
    prices_w: tuple[float, ...]

    def at(self, exchange_w: float) -> float:
        """E + w R."""
        return self.energy_j + exchange_w * self.runtime_s


def capacity_front(problem: CapacityProblem, costs: CostTable, *, points: int = 33) -> CapacityFront:
    """The front of a workload under the capacities of `problem`, whose own costs play no part."""
    first, last = _solved(problem, costs, 0.0, None), _solved(problem, costs, np.inf, None)
    vertices, proven = [first, last], set[tuple[_Vertex, _Vertex]]()
    for _ in range(max(0, points - 2)):
        gaps = [pair for pair in pairwise(vertices) if pair not in proven and _rate(*pair) > 0]
        if not gaps:
            break
        one, other = max(gaps, key=lambda pair: _depth_j(*pair))
        rate_w = _rate(one, other)
        found = _solved(problem, costs, rate_w, one)
        if found.at(rate_w) >= one.at(rate_w) * (1 - _ROUNDING):
            proven.add((one, other))
        else:
            vertices.insert(vertices.index(other), found)
    return _front([vertex for vertex in vertices if vertex is not last or last.runtime_s < first.runtime_s], proven)


def _front(vertices: list[_Vertex], proven: set[tuple[_Vertex, _Vertex]]) -> CapacityFront:
    open_gaps = [pair for pair in pairwise(vertices) if pair not in proven]
    return CapacityFront(
        np.array([vertex.exchange_w for vertex in vertices]),
        np.array([vertex.energy_j for vertex in vertices]),
        np.array([vertex.runtime_s for vertex in vertices]),
        len(vertices) - 1 - len(open_gaps),
        max((_depth_j(*pair) / pair[0].energy_j for pair in open_gaps if pair[0].energy_j > 0), default=0.0),
    )


def _solved(problem: CapacityProblem, costs: CostTable, exchange_w: float, near: _Vertex | None) -> _Vertex:
    """The optimum of E + w R, in joules; of R alone at an infinite rate."""
    in_joules = exchange_w < np.inf
    cost = costs.energy_j + exchange_w * costs.runtime_s if in_joules else costs.runtime_s
    start = None if near is None else np.array(near.prices_w)
    found: Assignment = optimum(_costing(problem, cost), start=start)
    prices = tuple(map(float, found.shadow_prices))
    return _Vertex(exchange_w, found.total(costs.energy_j), found.total(costs.runtime_s), prices)


def _costing(problem: CapacityProblem, cost: Floats) -> CapacityProblem:
    return CapacityProblem(
        problem.names,
        problem.queries,
        cost,
        problem.runtime_s,
        problem.feasible,
        problem.capacity_slot_s,
        problem.replica_slot_s,
    )


def _rate(one: _Vertex, other: _Vertex) -> float:
    """Joules more over seconds less from one vertex to a faster one; 0 where the second is no faster."""
    less_s = one.runtime_s - other.runtime_s
    return max(0.0, (other.energy_j - one.energy_j) / less_s) if less_s > _ROUNDING * one.runtime_s else 0.0


def _depth_j(one: _Vertex, other: _Vertex) -> float:
    """How far below the line between two vertices the front can lie: where their tangents meet, in joules."""
    rate_w = _rate(one, other)
    if rate_w <= one.exchange_w or rate_w >= other.exchange_w:
        return 0.0
    less_s = one.runtime_s - other.runtime_s
    steeper = 1.0 if other.exchange_w == np.inf else (other.exchange_w - rate_w) / (other.exchange_w - one.exchange_w)
    return (rate_w - one.exchange_w) * less_s * steeper
