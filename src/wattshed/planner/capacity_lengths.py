"""The price of not knowing how long answers will be: the optimum by what is known before, against that by hindsight.

Before an answer only m is known, and of n a distribution. All queries of one *class*, those alike in what is known,
must then be placed alike: by their expected cost and expected seconds in a slot, at the same capacities. The
distribution is the workload's own in the class, so no forecast by the same knowledge does better, and what a real one
learns as it goes costs more (`predictors/length.py`). Queries that some system cannot run are taken to be known as
such, as a client's cap tells: they are classes of their own.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.query import Workload
from wattshed.planner.capacity import CapacityProblem, optimum_if_any
from wattshed.planner.capacity_plan import CapacityPlanning

Knowledge = Literal["the prompt's length to 4 %", "the prompt's length to a power of two", "nothing"]
"""What is known of a query when it is placed."""

_STEPS: dict[Knowledge, float] = {
    "the prompt's length to 4 %": 16.0,
    "the prompt's length to a power of two": 1.0,
    "nothing": 0.0,
}
"""Classes an octave of m: 16 are the finest places of `predictors/length.py`."""


@dataclass(frozen=True, slots=True)
class NotKnowing:
    """What `knowledge` instead of the answer's length costs: U, joules, and joules as a fraction of the optimum's.

    `None`: placed by so little, the load does not fit.
    """

    knowledge: Knowledge
    cost: float | None
    energy_j: float | None
    share: float | None


def prices_of_not_knowing(found: CapacityPlanning) -> list[NotKnowing]:
    """From the most that can be known to the least."""
    return [_price(found, knowledge, steps) for knowledge, steps in _STEPS.items()]


def _price(found: CapacityPlanning, knowledge: Knowledge, steps: float) -> NotKnowing:
    evaluator, known = found.planning.evaluator, found.assignment
    classes = _classes(evaluator.workload, known.problem, steps)
    coarse = _averaged(known.problem, classes)
    blind = optimum_if_any(coarse, start=known.shadow_prices)
    if blind is None:
        return NotKnowing(knowledge, None, None, None)
    energy_j, least_j = (
        blind.total(_mean(evaluator.costs.energy_j, known.problem, classes)),
        known.total(evaluator.costs.energy_j),
    )
    cost = blind.certificate.primal - known.certificate.primal
    return NotKnowing(knowledge, cost, energy_j - least_j, (energy_j - least_j) / least_j)


def _classes(workload: Workload, problem: CapacityProblem, steps: float) -> Integers:
    """The class of each shape, shape (B,), counted from 0."""
    step = np.floor(steps * np.log2(workload.input_tokens)).astype(np.int64)
    own = np.where(problem.feasible.all(axis=1), -1, np.arange(step.size))
    classes: Integers = np.unique(np.stack((step, own)), axis=1, return_inverse=True)[1].reshape(-1)
    return classes


def _averaged(problem: CapacityProblem, classes: Integers) -> CapacityProblem:
    first = np.unique(classes, return_index=True)[1]
    return CapacityProblem(
        problem.names,
        np.bincount(classes, weights=problem.queries).astype(np.float64),
        _mean(problem.cost, problem, classes),
        _mean(problem.runtime_s, problem, classes),
        problem.feasible[first],
        problem.capacity_slot_s,
        problem.replica_slot_s,
    )


def _mean(quantity: Floats, problem: CapacityProblem, classes: Integers) -> Floats:
    """Mean of a quantity (B, S) over the queries of each of C classes, shape (C, S)."""
    weighted = (quantity * problem.queries[:, None]).T
    sums = np.stack([np.bincount(classes, weights=row) for row in weighted], axis=1)
    return sums / np.bincount(classes, weights=problem.queries)[:, None]
