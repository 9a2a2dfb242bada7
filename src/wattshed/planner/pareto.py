"""The exact lambda front: every trade of energy for runtime that some lambda makes, cheapest energy first.

For one shape, the systems that minimise E + w R for some exchange rate w >= 0 are the lower left hull of its points
(R, E). As w grows the shape walks along that hull, and each edge is taken at one rate, joules more over seconds less.
So all edges of all shapes, sorted by rate and cumulated, are the front of the whole workload: between two rates no
assignment changes, and the sum (Equation 2) is minimised by the vertex between them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.query import Workload
from wattshed.planner.costs import require_served


@dataclass(frozen=True, slots=True)
class Vertex:
    """One point of the front: totals of the workload, best from `exchange_w` (or `lam` downwards) to the next."""

    exchange_w: float
    lam: float
    energy_j: float
    runtime_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """F vertices from least energy to least runtime; all arrays have shape (F,).

    Vertex k is optimal for exchange rates from `exchange_w[k]` to `exchange_w[k + 1]` (the last one from there on);
    `exchange_w[0]` is 0. Energy never falls and runtime never rises along it. `lam` is the lambda of Equation 1 in its
    own scales, 1 J and 1 s.
    """

    exchange_w: Floats
    energy_j: Floats
    runtime_s: Floats

    @property
    def lam(self) -> Floats:
        """Lambda at which each vertex begins, falling from 1."""
        return 1 / (1 + self.exchange_w)

    def at(self, objective: Objective) -> Vertex:
        """The optimum for one objective; at a rate where two vertices tie, the faster."""
        last = int(np.searchsorted(self.exchange_w, objective.exchange_w, side="right")) - 1
        exchange_w = float(self.exchange_w[last])
        return Vertex(exchange_w, 1 / (1 + exchange_w), float(self.energy_j[last]), float(self.runtime_s[last]))


def front(workload: Workload, costs: CostTable) -> Front:
    """The front of a workload; O(B S^2) for the hulls and a sort of their edges, B (S - 1) at most."""
    require_served(workload, costs)
    energy_j = np.where(costs.feasible, costs.energy_j, np.inf)
    runtime_s = np.where(costs.feasible, costs.runtime_s, np.inf)
    first = _cheapest(energy_j, runtime_s)
    shapes = np.arange(first.size)
    start_energy_j = float(workload.queries @ energy_j[shapes, first])
    start_runtime_s = float(workload.queries @ runtime_s[shapes, first])
    edges = [np.zeros((3, 0)), *_edges(energy_j, runtime_s, first, workload.queries)]
    exchange_w, more_energy_j, less_runtime_s = _merged(np.concatenate(edges, axis=1))
    return Front(
        np.concatenate(([0.0], exchange_w)),
        start_energy_j + np.concatenate(([0.0], np.cumsum(more_energy_j))),
        start_runtime_s - np.concatenate(([0.0], np.cumsum(less_runtime_s))),
    )


def _cheapest(first: Floats, second: Floats) -> Integers:
    """Position (B,) of the least `first` (B, S), ties to the least `second`."""
    ties = np.where(first == first.min(axis=1, keepdims=True), second, np.inf)
    position: Integers = ties.argmin(axis=1)
    return position


def _edges(energy_j: Floats, runtime_s: Floats, at: Integers, queries: Integers) -> Iterator[Floats]:
    """Edges of all hulls, one step of all shapes at a time: rates, joules more and seconds less, shape (3, up to B).

    From where a shape is, the next vertex is the faster system with the least rate, ties to the fastest (Jarvis march,
    Information Processing Letters 2, 1973); a shape with no faster system is done. At most S - 1 steps.
    """
    while at.size:
        here = np.arange(at.size)
        more_j = energy_j - energy_j[here, at][:, None]
        less_s = runtime_s[here, at][:, None] - runtime_s
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rate_w = np.where(less_s > 0, more_j / less_s, np.inf)
        step = _cheapest(rate_w, runtime_s)
        going = np.flatnonzero(np.isfinite(rate_w[here, step]))
        step, count = step[going], queries[going]
        yield np.stack([rate_w[going, step], more_j[going, step] * count, less_s[going, step] * count])
        energy_j, runtime_s, at, queries = energy_j[going], runtime_s[going], step, count


def _merged(edges: Floats) -> Floats:
    """Edges (3, K) by rising rate, those of equal rate made one."""
    edges = edges[:, np.argsort(edges[0], kind="stable")]
    starts = np.flatnonzero(np.diff(edges[0], prepend=-1.0))
    if starts.size == 0:
        return edges
    return np.stack([edges[0, starts], *(np.add.reduceat(part, starts) for part in edges[1:])])
