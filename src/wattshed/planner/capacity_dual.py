"""The dual of the capacity problem: S prices, found by Newton's method on a smoothed value.

The dual's value is piecewise linear in the prices. Its smoothed form takes a soft minimum of width h over the systems,

    value(prices) = sum_b queries (-h log sum_s exp(-(U + price R) / h)) - sum_s price capacity

which is concave and twice differentiable, with the expected load less the capacity for a gradient. h starts at half the
spread of costs and falls fivefold a stage. A shape whose best system leads by many h is *decided*: its load is a
constant, and only the others are computed on; with every stage these are fewer. So the first stages, which have all
shapes undecided and need no precision, see a sample of them, and the last ones a few hundred. Nothing here has to be
exact: `capacity_ties.py` goes on from these prices to the optimum, and proves it.
"""

from dataclasses import dataclass, replace
from itertools import repeat
from typing import Final, NamedTuple

import numpy as np

from wattshed.domain.arrays import Booleans, Floats, Integers

_FIRST_WIDTH, _NARROWER = 0.5, 0.2
"""Width of the first soft minimum, in mean spreads of cost, and by what factor it falls."""

_LAST_WIDTH: Final = 1e-6
"""Where shapes still tie at this width they tie exactly, and no narrower width tells them apart."""

_SAMPLE, _SAMPLED_ABOVE = 1024, 4096
"""Shapes in the sample of the first stages, and the number of shapes above which one is taken."""

_FEW: Final = 300
"""Undecided shapes that are left to the linear program, which takes some 5 ms for them."""

_DECIDED: Final = 16.0
"""Widths by which the best system of a decided shape leads: exp(-16) is 1e-7."""

_BLOCK: Final = 2048
"""Shapes multiplied at a time: larger products start threads, which at ten systems double the processor's time."""

_MOST_STEPS: Final = 30
"""Newton steps a stage; two to four are usual."""

_MOST_PRICE: Final = 1e4
"""Highest price, in mean spreads of cost per mean runtime: who needs more is solved without prices."""


@dataclass(frozen=True, slots=True, eq=False)
class ScaledProblem:
    """The problem in numbers near 1: `queries` (B,), `cost` and `load` (S, B), `capacity` (S,), finite.

    Cost is above that of the shape's best system, infinite where infeasible; load is 0 there. A price of the original
    problem is `price_unit` (S,) times smaller than one of this, and a load `load_unit` (S,) times larger. No price is
    above `most_price` (S,).
    """

    queries: Floats
    cost: Floats
    load: Floats
    capacity: Floats
    price_unit: Floats
    load_unit: Floats
    most_price: Floats

    @property
    def systems(self) -> int:
        """Number of systems."""
        return self.capacity.size

    def priced(self, prices: Floats) -> Floats:
        """Cost and price together, shape (S, B)."""
        paid: Floats = prices[:, None] * self.load
        paid += self.cost
        return paid

    def part(self, shapes: Integers, capacity: Floats, weight: float = 1.0) -> "ScaledProblem":
        """Some of the shapes, weighed, on another capacity."""
        cost, load = self.cost[:, shapes], self.load[:, shapes]
        return replace(self, queries=weight * self.queries[shapes], cost=cost, load=load, capacity=capacity)

    def load_of(self, shapes: Integers, positions: Integers) -> Floats:
        """What each system carries where these shapes go to these positions, shape (S,)."""
        carried = self.queries[shapes] * self.load[positions, shapes]
        return np.bincount(positions, weights=carried, minlength=self.systems).astype(np.float64)


def scaled(
    queries: Floats, cost: Floats, runtime_s: Floats, open_cells: Booleans, capacity_slot_s: Floats
) -> ScaledProblem:
    """The problem in numbers near 1; arrays (B, S) come in, every shape has an open cell."""
    cost, load = np.where(open_cells.T, cost.T, np.inf), np.where(open_cells.T, runtime_s.T, 0.0)
    mean_load = load @ queries / queries.sum()
    mean_load[mean_load == 0] = 1.0
    load /= mean_load[:, None]
    cost -= cost.min(axis=0)
    spread = float(cost[open_cells.T].mean()) or 1.0
    cost /= spread
    load_unit = mean_load * queries.mean()
    queries = queries / queries.mean()
    capacity = np.minimum(capacity_slot_s / load_unit, load @ queries + 1.0)  # nobody can exhaust more than that
    most_price = np.full(capacity.size, _MOST_PRICE)
    return ScaledProblem(queries, cost, load, capacity, mean_load / spread, load_unit, most_price)


def near_optimal_prices(problem: ScaledProblem, start: Floats | None = None) -> Floats:
    """Prices (S,) that leave few shapes undecided; `start` saves the first stages."""
    prices, width = (np.zeros(problem.systems), _FIRST_WIDTH) if start is None else (start, _FIRST_WIDTH / 25)
    if start is None and problem.queries.size > _SAMPLED_ABOVE:
        prices, width = _sampled(problem, prices)
    while width > _LAST_WIDTH:
        undecided, decided_load = _undecided(problem, prices, width)
        if undecided.size <= _FEW:
            break
        rest = problem.part(undecided, problem.capacity - decided_load)
        prices = _maximised(rest, prices, width, tolerance=0.01 * width * problem.queries.size)
        width *= _NARROWER
    return prices


def _sampled(problem: ScaledProblem, prices: Floats) -> tuple[Floats, float]:
    """Prices and the next width after the stages that a sample of the shapes is good for: every k-th of them."""
    shapes = np.linspace(0, problem.queries.size - 1, _SAMPLE).astype(np.int64)
    weight = problem.queries.sum() / problem.queries[shapes].sum()
    few, width = problem.part(shapes, problem.capacity, float(weight)), _FIRST_WIDTH
    for width in _FIRST_WIDTH * _NARROWER ** np.arange(3):
        prices = _maximised(few, prices, width, tolerance=0.01 * problem.queries.size)
    return prices, float(width)


def _undecided(problem: ScaledProblem, prices: Floats, width: float) -> tuple[Integers, Floats]:
    """Shapes with a second system within reach, and the load (S,) of the others."""
    priced = problem.priced(prices)
    best, every = priced.argmin(axis=0), np.arange(problem.queries.size)
    near = priced < priced[best, every] + _DECIDED * width
    undecided = near.sum(axis=0) > 1
    decided = np.flatnonzero(~undecided)
    return np.flatnonzero(undecided), problem.load_of(decided, best[decided])


class _Smoothed(NamedTuple):
    """The smoothed dual at some prices: value, gradient (S,) and the share-weighted loads (S, B) of its curvature."""

    value: float
    gradient: Floats
    shared_load: Floats


def _smoothed(problem: ScaledProblem, prices: Floats, width: float) -> _Smoothed:
    shares = problem.priced(prices)
    least = shares.min(axis=0)
    shares -= least
    shares *= -1 / width
    np.exp(shares, out=shares)
    total = shares.sum(axis=0)
    value = problem.queries @ (least - width * np.log(total)) - prices @ problem.capacity
    shares *= problem.load
    shares /= total
    load = np.einsum("sb,b->s", shares, problem.queries)  # `@` would start threads, which cost more than they save
    return _Smoothed(float(value), load - problem.capacity, shares)


def _maximised(problem: ScaledProblem, prices: Floats, width: float, *, tolerance: float) -> Floats:
    """The prices in [0, most_price] of the largest smoothed value, to a gradient of `tolerance`; projected Newton."""
    at = _smoothed(problem, prices, width)
    for _ in repeat(None, _MOST_STEPS):
        low, high = (prices <= 0) & (at.gradient < 0), (prices >= problem.most_price) & (at.gradient > 0)
        free = np.flatnonzero(~(low | high))
        if np.abs(at.gradient[free]).max(initial=0.0) < tolerance:
            break
        direction = np.zeros_like(prices)
        direction[free] = np.linalg.solve(_curvature(problem, at, width, free), at.gradient[free])
        stepped = _step(problem, prices, at, direction, width)
        if stepped is None:
            break
        prices, at = stepped
    return prices


def _curvature(problem: ScaledProblem, at: _Smoothed, width: float, free: Integers) -> Floats:
    """Minus the second derivatives by the free prices, a little steeper, so that they never are singular."""
    shared, weighted = at.shared_load[free], at.shared_load[free] * problem.queries
    curvature = np.zeros((free.size, free.size))
    for start in range(0, shared.shape[1], _BLOCK):
        part = slice(start, start + _BLOCK)
        curvature -= weighted[:, part] @ shared[:, part].T
    diagonal = np.einsum("sb,sb->s", weighted, problem.load[free])
    curvature[np.diag_indices(free.size)] += diagonal
    curvature /= width
    steeper = 1e-9 * diagonal.max(initial=0.0) / width + 1e-12
    curvature[np.diag_indices(free.size)] += steeper
    return curvature


def _step(
    problem: ScaledProblem, prices: Floats, at: _Smoothed, direction: Floats, width: float
) -> tuple[Floats, _Smoothed] | None:
    """The prices up the direction, halved until the value grows (Armijo); `None` where it does not."""
    for length in 0.5 ** np.arange(20):
        there = np.clip(prices + length * direction, 0.0, problem.most_price)
        found = _smoothed(problem, there, width)
        if found.value > at.value + 1e-4 * max(0.0, float(at.gradient @ (there - prices))):
            return there, found
    return None
