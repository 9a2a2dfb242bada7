"""The policy of an assignment: its shadow prices, tilted by the lot so that shapes are split as in the optimum.

A split shape costs the same on the systems that share it, U + price R. Let the price of each system move by a line in
the query's lot u, so little that only ties notice, and let what the shape pays on one system and on the next differ by

    e (F - u)          F: shares of the shape up to the first of the two, added up

Then the first is cheaper while u < F and the next one after that: the share of lots is the share of the shape. These
equations fix the lines: a vertex of the linear program has as many of them as systems without room (a system with room
keeps its price of 0). Where many shapes tie by equal costs, all of them follow the lines: near, and not exact.
"""

from typing import Final

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.cost import Objective
from wattshed.planner.capacity import Assignment
from wattshed.policies.priced import Priced

_TILT: Final = 1e-7
"""Size of e as a fraction of the shape's cost: far above rounding, far below what separates shapes that do not tie."""


def priced_policy(assignment: Assignment, objective: Objective) -> Priced:
    """The policy that places a stream of the workload's queries as the assignment does.

    A system without capacity is priced beyond its shadow price, where the first query would be tied to come.
    """
    problem = assignment.problem
    intercepts, slopes = _lines(assignment)
    prices = np.maximum(assignment.shadow_prices + intercepts, 0.0)
    prices[problem.capacity_slot_s == 0] = 2 * prices.max() + problem.cost.max() / (problem.runtime_s.mean() or 1.0)
    tilts = tuple(float(slope) for slope in slopes) if slopes.any() else ()
    return Priced(objective, tuple(float(price) for price in prices), tilts, problem.names)


def _lines(assignment: Assignment) -> Floats:
    """Intercepts and slopes (2, S) that are added to the prices; the least that solve the equations."""
    problem, amounts = assignment.problem, assignment.amounts
    rows, sides = [], []
    for shape in assignment.split:
        systems = np.flatnonzero(amounts[shape] > 0)
        up_to = np.cumsum(amounts[shape, systems])[:-1] / problem.queries[shape]
        size = _TILT * float(problem.cost[shape, systems].max())
        for one, after, share in zip(systems[:-1], systems[1:], up_to, strict=True):
            row = np.zeros(len(problem.names))
            row[[one, after]] = -problem.runtime_s[shape, one], problem.runtime_s[shape, after]
            rows.append(row)
            sides.append((size * share, -size))
    lines = np.zeros((2, len(problem.names)))
    bound = assignment.shadow_prices > 0
    if rows and bound.any():
        lines[:, bound] = np.linalg.lstsq(np.array(rows)[:, bound], np.array(sides), rcond=None)[0].T
    return lines
