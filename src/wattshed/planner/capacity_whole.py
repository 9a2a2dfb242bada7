"""Whole queries from an assignment with fractions, within the capacities, and what that costs.

At most S shapes are split. Their amounts are rounded down, which frees slots, and the few queries left over go one by
one where they cost least among the systems with room. Where no room is left for one, an integer program of the split
shapes and those nearest to a tie decides (HiGHS); where that finds no way either, there is hardly one.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.errors import InfeasibleError
from wattshed.planner.capacity import Assignment

_EXACT: Final = 1e-9
"""Amounts this near to a whole number are whole: the rounding of the linear program."""

_FREED: Final = 30
"""Shapes that the integer program may move: the split ones and those nearest to a tie."""

_MOST_S: Final = 2.0
"""Seconds the integer program may take."""


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """`amounts` (B, S) of whole queries, and by what fraction they cost more than the optimum with fractions."""

    amounts: Integers
    dearer: float


def whole_queries(assignment: Assignment) -> Whole:
    """The assignment in whole queries; `InfeasibleError` where the load fits in fractions of queries alone."""
    down = np.floor(assignment.amounts + _EXACT)
    amounts = _greedy(assignment, down)
    if amounts is None:
        amounts = _by_integer_program(assignment)
    whole = np.rint(amounts).astype(np.int64)
    least = assignment.certificate.primal
    return Whole(whole, (float((whole * assignment.problem.cost)[whole > 0].sum()) - least) / abs(least or 1.0))


def _greedy(assignment: Assignment, amounts: Floats) -> Floats | None:
    """The queries left over where they cost least among systems with room; `None` where one finds none."""
    problem = assignment.problem
    room_s = problem.capacity_slot_s * (1 + _EXACT) - np.einsum("bs,bs->s", amounts, problem.runtime_s)
    for shape, count in _left_over(problem.queries - amounts.sum(axis=1)):
        cost = np.where(problem.open[shape], problem.cost[shape], np.inf)
        for _ in range(count):
            fits = np.where(problem.runtime_s[shape] <= room_s, cost, np.inf)
            position = int(fits.argmin())
            if fits[position] == np.inf:
                return None
            amounts[shape, position] += 1
            room_s[position] -= problem.runtime_s[shape, position]
    return amounts


def _left_over(queries: Floats) -> list[tuple[int, int]]:
    """Shapes with queries that are not placed, and how many."""
    count = np.rint(queries).astype(np.int64)
    return [(int(shape), int(count[shape])) for shape in np.flatnonzero(count)]


def _by_integer_program(assignment: Assignment) -> Floats:
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    problem = assignment.problem
    freed = _freed(assignment)
    fixed = assignment.amounts.copy()
    fixed[freed] = 0.0
    row, position = np.nonzero(problem.open[freed])
    shape, cells = freed[row], np.arange(row.size)
    room_s = problem.capacity_slot_s * (1 + _EXACT) - np.einsum("bs,bs->s", fixed, problem.runtime_s)
    load = csr_array((problem.runtime_s[shape, position], (position, cells)), shape=(room_s.size, cells.size))
    once = csr_array((np.ones(cells.size), (row, cells)), shape=(freed.size, cells.size))
    queries = problem.queries[freed]
    solved = milp(
        problem.cost[shape, position],
        constraints=[LinearConstraint(load, -np.inf, room_s), LinearConstraint(once, queries, queries)],
        integrality=np.ones(cells.size, np.int64),
        bounds=Bounds(0, queries[row]),
        options={"time_limit": _MOST_S, "mip_rel_gap": 3e-4},
    )
    if solved.x is None:
        raise InfeasibleError(
            f"the load fits {', '.join(problem.names)} only to the last fraction of a query, and no way was found for "
            f"whole ones; add a replica, or send a few queries fewer"
        )
    fixed[shape, position] = solved.x
    return fixed


def _freed(assignment: Assignment) -> Integers:
    """The split shapes, and those whose second system is nearest in cost at the shadow prices."""
    problem = assignment.problem
    priced = np.where(problem.open, problem.cost + assignment.shadow_prices * problem.runtime_s, np.inf)
    second = np.sort(priced, axis=1)[:, min(1, len(problem.names) - 1)] - priced.min(axis=1)
    second[assignment.split] = -np.inf
    return np.argsort(second, kind="stable")[:_FREED]
