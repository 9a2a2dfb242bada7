"""What rules cost beyond the optimum under capacity, and which of them break it.

For every family of thresholds the best one is sought among those that hold all capacities; where none does, the best of
all stands there, marked with its overload. A threshold moves shapes from one system to another, so totals over all
thresholds of a size are running sums (see `sweep.py`), of the cost and of the seconds on each system alike. For the two
thresholds of the paper the sums run over a grid of at most 64 input by 64 output lengths.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Final, NamedTuple

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.planner.capacity import CapacityProblem
from wattshed.planner.capacity_plan import CapacityPlanning
from wattshed.planner.planning import OPTIMUM
from wattshed.planner.sweep import Kind
from wattshed.policies.policy import Policy, place
from wattshed.policies.threshold import Pair, ProductThreshold, Threshold, TwoThresholds

_GRID: Final = 64
"""Lengths a side that the two thresholds of the paper are sought among, even in rank."""

UNLIMITED: Final = "optimum at infinite capacity"
"""Short name of the plan that knows no capacity."""

_HOLDS: Final = 1e-9
"""Relative overload that is rounding."""

_WEIGHTS: Final[dict[Kind, tuple[float, float]]] = {"m": (1, 0), "n": (0, 1), "m + n/2": (1, 0.5), "m + n": (1, 1)}


@dataclass(frozen=True, slots=True)
class Regret:
    """What a rule costs beyond the optimum: U, joules, and joules as a fraction of the optimum's; negative is less.

    `overload` is by what fraction it asks more of the busiest system than that has; 0 where the rule keeps capacity.
    """

    family: str
    rule: str
    cost: float
    energy_j: float
    share: float
    overload: float


def regrets(found: CapacityPlanning) -> list[Regret]:
    """The best rule of each family, then the policies that are no threshold, in the order of the plan's."""
    best = {f"best threshold on {kind}": rule.policy for kind, rule in _best_rules(found).items()}
    others = {name: policy for name, policy in found.planning.policies.items() if "threshold" not in name}
    others = {UNLIMITED if name == OPTIMUM else name: policy for name, policy in others.items()}
    return [_regret(found, family, policy) for family, policy in (best | others).items()]


def _regret(found: CapacityPlanning, family: str, policy: Policy) -> Regret:
    """The regret of one policy; of one that rotates, the mean over as many phases as there are systems."""
    least, costs = found.assignment, found.planning.evaluator.costs
    amounts = _amounts(found, policy)
    used = amounts > 0
    energy_j, least_j = float(amounts[used] @ costs.energy_j[used]), least.total(costs.energy_j)
    cost = float(amounts[used] @ least.problem.cost[used]) - least.certificate.primal
    used_slot_s = np.einsum("bs,bs->s", amounts, costs.runtime_s)
    overload = float(_overload(used_slot_s, least.problem.capacity_slot_s))
    return Regret(family, policy.name, cost, energy_j - least_j, (energy_j - least_j) / least_j, overload)


def _amounts(found: CapacityPlanning, policy: Policy) -> Floats:
    """Mean queries of each shape on each system, shape (B, S)."""
    evaluator, problem = found.planning.evaluator, found.assignment.problem
    m, n, systems = evaluator.workload.input_tokens, evaluator.workload.output_tokens, len(problem.names)
    phases = systems if policy.rotates else 1
    amounts = np.zeros(problem.cost.shape)
    for phase in range(phases):
        position = place(policy, m, n, evaluator.costs, serial=phase, draw=(phase + 0.5) / phases)
        amounts[np.arange(position.size), position] += problem.queries / phases
    return amounts


class _Rule(NamedTuple):
    """A rule found: U of the workload under it, and its overload."""

    policy: Policy
    cost: float
    overload: float

    def beats(self, other: "_Rule | None") -> bool:
        """A rule that holds beats one that does not; then the cheaper."""
        return other is None or (self.overload > 0, self.cost) < (other.overload > 0, other.cost)


def _best_rules(found: CapacityPlanning) -> dict[Kind, _Rule]:
    best: dict[Kind, _Rule] = {}
    names = found.assignment.problem.names
    for below, above in permutations(range(len(names)), 2):
        for kind, rule in _of_pair(found, Pair.of(names, below, above)):
            if rule.beats(best.get(kind)):
                best[kind] = rule
    return best


def _of_pair(found: CapacityPlanning, pair: Pair) -> Iterator[tuple[Kind, _Rule]]:
    m, n = found.planning.evaluator.workload.input_tokens, found.planning.evaluator.workload.output_tokens
    sums = _Sums.of(found, pair)
    for kind, (input_weight, output_weight) in _WEIGHTS.items():
        most, cost, overload = sums.by_size(input_weight * m + output_weight * n)
        yield kind, _Rule(Threshold(pair, most, input_weight, output_weight), cost, overload)
    most, cost, overload = sums.by_size((m * n).astype(np.float64))
    yield "m n", _Rule(ProductThreshold(pair, most), cost, overload)
    for kind, most_m, most_n, cost, overload in sums.by_both(m, n):
        yield kind, _Rule(TwoThresholds(pair, most_m, most_n, "and" if kind == "m and n" else "or"), cost, overload)


class _Sums(NamedTuple):
    """Totals of a pair with every shape large, and what each shape changes when it is small.

    `large` (1 + S,) and `change` (B, 1 + S) hold U first, then the seconds on each system; `capacity_slot_s` is (S,).
    """

    large: Floats
    change: Floats
    capacity_slot_s: Floats

    @classmethod
    def of(cls, found: CapacityPlanning, pair: Pair) -> "_Sums":
        """Asked of the policy itself: everything is small below infinity, nothing below 0."""
        workload, problem = found.planning.evaluator.workload, found.assignment.problem
        m, n = workload.input_tokens, workload.output_tokens
        small, large = (
            _terms(problem, place(Threshold(pair, most), m, n, found.planning.evaluator.costs))
            for most in (np.inf, 0.0)
        )
        return cls(large.sum(axis=0), small - large, problem.capacity_slot_s)

    def by_size(self, size: Floats) -> tuple[float, float, float]:
        """The best threshold on a size (B,), U under it, and its overload."""
        distinct, rank = np.unique(size, return_inverse=True)
        steps = np.stack([np.bincount(rank, weights=column) for column in self.change.T], axis=1)
        at, cost, overload = self._best(np.cumsum(np.concatenate((self.large[None], steps)), axis=0))
        return (float(distinct[at - 1]) if at else 0.0), cost, overload

    def by_both(self, m: Integers, n: Integers) -> Iterator[tuple[Kind, float, float, float, float]]:
        """The best two thresholds on a grid, by either reading; then U under them, and their overload."""
        most_m, most_n = _grid(m), _grid(n)
        row, column = np.searchsorted(most_m, m), np.searchsorted(most_n, n)
        shape = (most_m.size + 1, most_n.size + 1)
        cell = row * shape[1] + column
        counted = [np.bincount(cell, weights=part, minlength=shape[0] * shape[1]) for part in self.change.T]
        corner = np.stack([part.reshape(shape).cumsum(axis=0).cumsum(axis=1) for part in counted], axis=2)
        inside = corner[:-1, :-1]
        either = corner[:-1, -1:] + corner[-1:, :-1] - inside
        readings: tuple[tuple[Kind, Floats], ...] = (("m and n", inside), ("m or n", either))
        for kind, changes in readings:
            at, cost, overload = self._best((self.large + changes).reshape(-1, self.large.size))
            yield kind, float(most_m[at // most_n.size]), float(most_n[at % most_n.size]), cost, overload

    def _best(self, totals: Floats) -> tuple[int, float, float]:
        """Which of K totals (K, 1 + S) is best: the cheapest that holds, else the cheapest; its U and its overload."""
        overload = _overload(totals[:, 1:], self.capacity_slot_s)
        cost = totals[:, 0]
        at = int(np.where(overload > 0, np.inf, cost).argmin() if (overload == 0).any() else cost.argmin())
        return at, float(cost[at]), float(overload[at])


def _terms(problem: CapacityProblem, position: Integers) -> Floats:
    """U of all queries of each shape where it goes, and their seconds on each system, shape (B, 1 + S)."""
    shapes = np.arange(position.size)
    terms = np.zeros((position.size, 1 + len(problem.names)))
    terms[:, 0] = problem.queries * problem.cost[shapes, position]
    terms[shapes, 1 + position] = problem.queries * problem.runtime_s[shapes, position]
    return terms


def _grid(tokens: Integers) -> Floats:
    """0 and at most 64 of the distinct lengths, even in rank, the last included."""
    distinct = np.unique(tokens)
    chosen = np.unique(np.linspace(0, distinct.size - 1, min(_GRID, distinct.size)).round().astype(np.int64))
    return np.concatenate(([0.0], distinct[chosen].astype(np.float64)))


def _overload(used_slot_s: Floats, capacity_slot_s: Floats) -> Floats:
    """By what fraction the busiest system is asked for more than it has; shape (..., S) to (...); 0 within rounding."""
    with np.errstate(divide="ignore", invalid="ignore"):
        over = np.where(used_slot_s > 0, used_slot_s / capacity_slot_s - 1, 0.0).max(axis=-1)
    return np.where(over > _HOLDS, over, 0.0)
