"""From near-optimal prices to the optimum: shapes that are nearly tied share what the others leave.

A linear program of the undecided shapes alone (HiGHS, a few hundred columns) gives exact amounts and prices. Each shape
is then asked at those prices whether a system that the program did not offer it would be cheaper; where one would, it
is offered and the program runs again (column generation: Dantzig and Wolfe, Operations Research 8, 1960). Systems are
only ever added, so it ends, and at its end the prices are optimal for all shapes. Overload is let in at the highest
price; if some remains, the whole program runs without, and says whether there is any assignment at all.
"""

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from wattshed.domain.arrays import Booleans, Floats
from wattshed.planner.capacity_dual import ScaledProblem, near_optimal_prices

_TOLERANCE: Final = 1e-10
"""Feasibility that is asked of HiGHS: the least it offers."""

_OFFERED: Final = 300
"""Shapes offered a choice to begin with, those nearest to a tie; too few of them cost a second program."""

_CHEAPER: Final = 1e-12
"""By how much a system must beat those on offer, against rounding."""


class Solved(NamedTuple):
    """Amounts (S, B) of queries and prices (S,), the prices in the scaled problem's units."""

    amounts: Floats
    prices: Floats


class _Program(NamedTuple):
    """What the program of the offered cells said; `amounts` (S, B) are scaled queries, `overload` (S,) was let in."""

    amounts: Floats
    prices: Floats
    overload: Floats


class LeastOverload(NamedTuple):
    """Slot-seconds by which a load is more than the capacities, and the prices (S,) that prove it, at most 1."""

    slot_s: float
    prices: Floats


def split_ties(problem: ScaledProblem, prices: Floats) -> Solved | None:
    """The optimum, from prices near it; `None` where the capacities cannot hold the load."""
    if _hopeless(problem, prices):
        return None
    found: _Program | None = _generated(problem, prices)
    if found is not None and found.overload.max() > _TOLERANCE * problem.capacity.max():
        found = _program(problem, np.isfinite(problem.cost), hard=True)
    return None if found is None else Solved(found.amounts, found.prices)


def least_overload(problem: ScaledProblem) -> LeastOverload:
    """The least that the load is too much, whatever the costs: the same problem with costs of 0 and prices up to 1."""
    nothing = np.where(np.isfinite(problem.cost), 0.0, np.inf)
    in_slot_s = replace(problem, cost=nothing, most_price=problem.load_unit / problem.load_unit.mean())
    found = _generated(in_slot_s, near_optimal_prices(in_slot_s), until_hopeless=False)
    assert found is not None  # only proofs end it early
    return LeastOverload(float(found.overload @ problem.load_unit), found.prices / in_slot_s.most_price)


def _generated(problem: ScaledProblem, prices: Floats, *, until_hopeless: bool = True) -> _Program | None:
    """The optimum with overload let in, by column generation; `None` once prices prove that there must be some."""
    offered = _offered(problem, prices)
    while True:
        found = _program(problem, offered, hard=False)
        assert found is not None  # with overload let in there is always a way
        if until_hopeless and found.overload.any() and _hopeless(problem, found.prices):
            return None
        priced = problem.priced(found.prices)
        cheaper = priced < np.where(offered, priced, np.inf).min(axis=0) - _CHEAPER
        if not cheaper.any():
            return found
        offered |= cheaper


def _hopeless(problem: ScaledProblem, prices: Floats) -> bool:
    """Whether the prices prove that no assignment exists: the load is worth more than all slots (Farkas's lemma)."""
    worth = np.where(np.isfinite(problem.cost), prices[:, None] * problem.load, np.inf).min(axis=0) @ problem.queries
    return bool(worth > (1 + _TOLERANCE) * float(prices @ problem.capacity))


def _offered(problem: ScaledProblem, prices: Floats) -> Booleans:
    """Cells (S, B) on offer to begin with: every shape's best, and those as good as the second of the last shape."""
    priced = problem.priced(prices)
    best: Booleans = priced.argmin(axis=0) == np.arange(problem.systems)[:, None]
    if problem.systems == 1:
        return best
    priced -= priced.min(axis=0)
    second = np.partition(priced, 1, axis=0)[1]
    last = min(_OFFERED, second.size) - 1
    offered: Booleans = best | ((priced <= np.partition(second, last)[last]) & np.isfinite(problem.cost))
    return offered


def _program(problem: ScaledProblem, offered: Booleans, *, hard: bool) -> _Program | None:
    """The linear program of the shapes with a choice; the others take their only system. `None`: no way, when hard."""
    from scipy.optimize import linprog  # here, because planning at infinite capacity must not need scipy
    from scipy.sparse import csr_array

    choices = offered.sum(axis=0)
    settled, open_shapes = np.flatnonzero(choices == 1), np.flatnonzero(choices > 1)
    if hard and not open_shapes.size:
        return None  # the overload that was found has nowhere to go
    only = offered[:, settled].argmax(axis=0)
    left = problem.capacity - problem.load_of(settled, only)
    position, row = np.nonzero(offered[:, open_shapes])
    shape, cells, extra = open_shapes[row], np.arange(position.size), 0 if hard else problem.systems
    load = np.concatenate((problem.load[position, shape], np.full(extra, -1.0)))
    where = np.concatenate((position, np.arange(extra))), np.arange(cells.size + extra)
    once = csr_array((np.ones(cells.size), (row, cells)), shape=(open_shapes.size, cells.size + extra))
    solved = linprog(  # type: ignore[call-overload]  # the stubs know no sparse matrices
        np.concatenate((problem.cost[position, shape], problem.most_price[:extra])),
        A_ub=csr_array((load, where), shape=(problem.systems, load.size)),
        b_ub=left,
        A_eq=once if open_shapes.size else None,
        b_eq=problem.queries[open_shapes] if open_shapes.size else None,
        method="highs-ds",
        options={"primal_feasibility_tolerance": _TOLERANCE, "dual_feasibility_tolerance": _TOLERANCE},
    )
    if solved.x is None:
        return None
    amounts = np.zeros_like(problem.cost)
    amounts[only, settled] = problem.queries[settled]
    amounts[position, shape] = np.maximum(solved.x[: cells.size], 0.0)
    prices = np.maximum(-solved.ineqlin.marginals, 0.0)
    return _Program(amounts, prices, solved.x[cells.size :] if extra else np.zeros(problem.systems))
