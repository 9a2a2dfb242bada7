"""All thresholds at once: the T_in x T_out surface, and the best threshold of each kind.

A threshold moves shapes from a pair's system above to its system below, and what that changes in the total (cost when
small less cost when large, over all queries of the shape) does not hang on any other shape. So the total at a threshold
is the total with everything large plus a running sum of changes: along one axis for a threshold on a size, over both
for the two of the paper.

    n     |  C  |            "and": A is small
    T_out +-----+-----       "or":  A, B and C are small = all with m <= T_in + all with n <= T_out - A
          |  A  |  B
          +-----+----- m     so one array of corner sums, A for every corner, answers both readings.
               T_in

What the preferred system cannot run goes where `policies.policy.place` sends it, whatever the threshold.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import Final, Literal, NamedTuple

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.query import Workload
from wattshed.planner.costs import require_served
from wattshed.policies.policy import Policy, place
from wattshed.policies.threshold import Pair, ProductThreshold, Reading, Threshold, TwoThresholds

Kind = Literal["m", "n", "m + n/2", "m + n", "m n", "m and n", "m or n"]
"""What a threshold compares: a length, a weighted sum, the product, or both lengths."""

_TWICE_WEIGHTS: Final[Mapping[Kind, tuple[int, int]]] = {"m": (2, 0), "n": (0, 2), "m + n/2": (2, 1), "m + n": (2, 2)}
"""Twice the weights of m and n, so that every size is a whole number."""

_COUNTED_RANGE: Final = 8
"""Sizes up to this many times the number of shapes are ranked by counting; a wider range is sorted faster."""


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Totals of a workload for every (T_in, T_out) from 0 to T tokens; entry [i, j] has T_in = i and T_out = j.

    The corner sums have shape (T + 2, T + 2): their last row and column include what lies beyond T tokens.
    """

    pair: Pair
    large_energy_j: float
    large_runtime_s: float
    corner_energy_j: Floats
    corner_runtime_s: Floats

    def energy_j(self, reading: Reading) -> Floats:
        """Energy of the workload at every pair of thresholds, shape (T + 1, T + 1)."""
        return _read(self.corner_energy_j, self.large_energy_j, reading)

    def runtime_s(self, reading: Reading) -> Floats:
        """Runtime summed over the workload at every pair of thresholds, shape (T + 1, T + 1)."""
        return _read(self.corner_runtime_s, self.large_runtime_s, reading)


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best policy of its kind, and U summed over the workload under it."""

    policy: Policy
    cost: float


def surface(workload: Workload, costs: CostTable, *, pair: Pair, most_tokens: int = 2048) -> Surface:
    """The surface of one pair of systems up to `most_tokens` = T; O(B + T^2) time and memory."""
    require_served(workload, costs)
    moves = _Moves.of(workload, costs, pair)
    side = most_tokens + 2
    m, n = np.minimum(workload.input_tokens, side - 1), np.minimum(workload.output_tokens, side - 1)
    large_energy_j, energy_change_j = moves.split(costs.energy_j)
    large_runtime_s, runtime_change_s = moves.split(costs.runtime_s)
    corners = [_corner_sums(m * side + n, change, side) for change in (energy_change_j, runtime_change_s)]
    return Surface(pair, large_energy_j, large_runtime_s, *corners)


def ordered_pairs(names: Sequence[str]) -> list[Pair]:
    """Every ordered pair of the S systems called `names`: S (S - 1) of them."""
    return [Pair.of(names, below, above) for below, above in permutations(range(len(names)), 2)]


def best_thresholds(
    workload: Workload, costs: CostTable, *, pairs: Sequence[Pair], objective: Objective
) -> dict[Kind, Optimum]:
    """The threshold of each kind that costs least, over all thresholds and all `pairs`; empty without pairs.

    Exact: every distinct size in the workload is tried, and 0, where nothing is small. O(B log B) a kind, and for the
    two thresholds together the product of the numbers of distinct lengths.
    """
    require_served(workload, costs)
    cost = objective.cost(costs.energy_j, costs.runtime_s)
    ranked = {kind: _Ranked.of(sizes) for kind, sizes in _sizes(workload)}
    best: dict[Kind, Optimum] = {}
    for pair in pairs:
        large_cost, change = _Moves.of(workload, costs, pair).split(cost)
        for kind, policy, least in (*_on_one_size(pair, ranked, change), *_on_both_lengths(pair, ranked, change)):
            if kind not in best or large_cost + least < best[kind].cost:
                best[kind] = Optimum(policy, large_cost + least)
    return best


class _Found(NamedTuple):
    """A best threshold of its kind for one pair, and what it changes in the total; never above 0."""

    kind: Kind
    policy: Policy
    change: float


@dataclass(frozen=True, slots=True, eq=False)
class _Moves:
    """Who serves each of B shapes when it is `small` and when it is `large`, positions of shape (B,)."""

    queries: Integers
    small: Integers
    large: Integers

    @classmethod
    def of(cls, workload: Workload, costs: CostTable, pair: Pair) -> "_Moves":
        """The moves of a pair, asked of the policy itself: everything is small below infinity, nothing below 0."""
        m, n = workload.input_tokens, workload.output_tokens
        small, large = (place(Threshold(pair, most), m, n, costs) for most in (np.inf, 0.0))
        return cls(workload.queries, small, large)

    def split(self, cost: Floats) -> tuple[float, Floats]:
        """Total of `cost` (B, S) with everything large, and the change (B,) each shape brings when it is small."""
        shapes = np.arange(self.queries.size)
        large = cost[shapes, self.large] * self.queries
        return float(large.sum()), cost[shapes, self.small] * self.queries - large


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """The distinct sizes, rising, and the `rank` of each of B shapes among them, shape (B,)."""

    distinct: Integers
    rank: Integers

    @classmethod
    def of(cls, sizes: Integers) -> "_Ranked":
        """Sizes (B,) ranked: by counting where they lie close, which takes a tenth of a sort."""
        if sizes.max() > _COUNTED_RANGE * sizes.size:
            return cls(*np.unique(sizes, return_inverse=True))
        present = np.bincount(sizes) > 0
        return cls(np.flatnonzero(present), (np.cumsum(present) - 1)[sizes])

    def up_to(self, count: int) -> int:
        """The threshold that lets the `count` lowest distinct sizes pass; 0 for none."""
        return int(self.distinct[count - 1]) if count else 0


def _sizes(workload: Workload) -> Iterator[tuple[Kind, Integers]]:
    m, n = workload.input_tokens, workload.output_tokens
    for kind, (input_weight, output_weight) in _TWICE_WEIGHTS.items():
        yield kind, input_weight * m + output_weight * n
    yield "m n", m * n


def _on_one_size(pair: Pair, ranked: Mapping[Kind, _Ranked], change: Floats) -> Iterator[_Found]:
    for kind, sizes in ranked.items():
        running = np.concatenate(([0.0], np.cumsum(np.bincount(sizes.rank, weights=change))))
        count = int(running.argmin())
        most = sizes.up_to(count)
        if kind in _TWICE_WEIGHTS:
            input_weight, output_weight = _TWICE_WEIGHTS[kind]
            policy: Policy = Threshold(pair, most / 2, input_weight / 2, output_weight / 2)
        else:
            policy = ProductThreshold(pair, most)
        yield _Found(kind, policy, float(running[count]))


def _on_both_lengths(pair: Pair, ranked: Mapping[Kind, _Ranked], change: Floats) -> Iterator[_Found]:
    """Both readings. What "or" leaves large is a corner too, seen from the far end: flip the ranks and the sign."""
    m, n = ranked["m"], ranked["n"]
    rows, columns = m.distinct.size, n.distinct.size

    near = _least_corner(m.rank, n.rank, change)
    policy = TwoThresholds(pair, m.up_to(near.rows) / 2, n.up_to(near.columns) / 2, "and")
    yield _Found("m and n", policy, near.change)

    far = _least_corner(rows - 1 - m.rank[::-1], columns - 1 - n.rank[::-1], -change[::-1])
    policy = TwoThresholds(pair, m.up_to(rows - far.rows) / 2, n.up_to(columns - far.columns) / 2, "or")
    yield _Found("m or n", policy, float(change.sum()) + far.change)


class _Corner(NamedTuple):
    """The `rows` lowest ranks of m with the `columns` lowest of n, and the sum of changes there."""

    change: float
    rows: int
    columns: int


def _least_corner(row: Integers, column: Integers, change: Floats) -> _Corner:
    """The corner of least sum; B shapes in order of `row`, all distinct. O(rows x columns) time, O(columns) memory."""
    starts = np.searchsorted(row, np.arange(row[-1] + 2))
    sums = np.zeros(int(column.max()) + 1)
    best = _Corner(0.0, 0, 0)
    for taken, (start, stop) in enumerate(pairwise(starts), start=1):
        sums[column[start:stop]] += change[start:stop]  # shapes are distinct, so no column comes twice in a row
        running = np.cumsum(sums)
        last = int(running.argmin())
        if running[last] < best.change:
            best = _Corner(float(running[last]), taken, last + 1)
    return best


def _corner_sums(cells: Integers, change: Floats, side: int) -> Floats:
    """Sums over all cells at most as far out in both directions, shape (side, side)."""
    sums = np.bincount(cells, weights=change, minlength=side * side).astype(np.float64, copy=False).reshape(side, side)
    np.cumsum(sums, axis=1, out=sums)
    for row in range(1, side):  # in place and row by row, four times as fast as cumsum along the first axis
        sums[row] += sums[row - 1]
    return sums


def _read(corner: Floats, large: float, reading: Reading) -> Floats:
    inside = corner[:-1, :-1]
    if reading == "and":
        return large + inside
    return large + corner[:-1, -1:] + corner[-1:, :-1] - inside
