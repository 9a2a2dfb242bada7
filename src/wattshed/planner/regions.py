"""Where the line runs: which system of a fleet serves which queries for least, all over the (m, n) plane.

No workload comes into it: the map says where each kind of query would go, whoever asks it. Where the two cheapest
systems lie within the interval of their difference, the line is not known there, and the map says that too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from wattshed.domain.arrays import Booleans, Floats, Integers
from wattshed.domain.cost import Objective
from wattshed.domain.query import Workload
from wattshed.domain.system import Fleet
from wattshed.planner.costs import cost_table
from wattshed.planner.evaluate import Evaluator
from wattshed.policies.argmin import Argmin
from wattshed.policies.policy import place
from wattshed.predictors.curve import Z_95

LINE_OUTPUT_TOKENS: Final = (8, 32, 128, 512)
"""Output lengths at which the line is told to the token: those of the grid that the H100 was measured on."""

_LENGTHS: Final = 97
"""Lengths along each side of the map."""


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """The cheapest of S systems for each of M x N shapes; arrays have shape (M, N), `input_tokens` (M,), and so on.

    `position` is -1 where no system can serve. `decided` says whether the second cheapest costs more beyond the 95 %
    interval of the difference, `extrapolated` whether the cheapest was not measured at such lengths.
    """

    fleet: Fleet
    input_tokens: Integers
    output_tokens: Integers
    position: Integers
    decided: Booleans
    extrapolated: Booleans


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run of input lengths that one system serves for least at one output length.

    `decided` is the share of them where that is certain, `extrapolated` where it was not measured.
    """

    output_tokens: int
    system: str
    first_input_tokens: int
    last_input_tokens: int
    decided: float
    extrapolated: float


def regions(evaluator: Evaluator, objective: Objective) -> Regions:
    """The map over all lengths that any system was measured at, evenly spaced in logarithms."""
    least_m, most_m, least_n, most_n = measured_range(evaluator)
    m, n = (np.unique(np.geomspace(*ends, _LENGTHS).round().astype(np.int64)) for ends in
            ((least_m, most_m), (least_n, most_n)))  # fmt: skip
    return regions_at(evaluator, objective, input_tokens=m, output_tokens=n)


def line(evaluator: Evaluator, objective: Objective) -> Iterator[Stretch]:
    """Who serves which input lengths at a few output lengths, to the token; what nobody serves is left out."""
    least_m, most_m, _, _ = measured_range(evaluator)
    m, n = np.arange(least_m, most_m + 1), np.array(LINE_OUTPUT_TOKENS)
    found = regions_at(evaluator, objective, input_tokens=m, output_tokens=n)
    for column in range(n.size):
        served = found.position[:, column]
        for rows in np.split(np.arange(m.size), np.flatnonzero(np.diff(served)) + 1):
            if served[rows[0]] >= 0:
                name, ends = found.fleet.names[served[rows[0]]], (int(m[rows[0]]), int(m[rows[-1]]))
                certain, beyond = found.decided[rows, column].mean(), found.extrapolated[rows, column].mean()
                yield Stretch(int(n[column]), name, *ends, float(certain), float(beyond))


def measured_range(evaluator: Evaluator) -> tuple[int, int, int, int]:
    """Least and most input tokens, least and most output tokens that any system was measured at."""
    supports = [predictor.support for predictor in evaluator.predictors]
    return (
        min(support.min_input_tokens for support in supports),
        max(support.max_input_tokens for support in supports),
        min(support.min_output_tokens for support in supports),
        max(support.max_output_tokens for support in supports),
    )


def regions_at(
    evaluator: Evaluator, objective: Objective, *, input_tokens: Integers, output_tokens: Integers
) -> Regions:
    """The map at M rising input lengths and N rising output lengths."""
    m, n = (side.ravel() for side in np.meshgrid(input_tokens, output_tokens, indexing="ij"))
    once = Workload("map", m, n, np.ones_like(m))
    costs = cost_table(evaluator.fleet, once, limits=evaluator.limits, predictors=evaluator.predictors)
    position = place(Argmin(objective), m, n, costs)
    cost = np.where(costs.feasible, objective.cost(costs.energy_j, costs.runtime_s), np.inf)
    cost_sd = _cost_sd(evaluator, objective, m, n)
    rows, order = np.arange(m.size), np.argsort(cost, axis=1)
    first, second = order[:, 0], order[:, min(1, order.shape[1] - 1)]
    alone = (first == second) | np.isinf(cost[rows, second])
    with np.errstate(invalid="ignore"):  # where nobody serves, infinity less infinity
        lead = np.where(alone, np.inf, cost[rows, second] - cost[rows, first])
    decided = lead > Z_95 * np.hypot(cost_sd[rows, first], cost_sd[rows, second])
    shape = input_tokens.size, output_tokens.size
    return Regions(
        evaluator.fleet,
        input_tokens,
        output_tokens,
        position.reshape(shape),
        decided.reshape(shape),
        costs.extrapolated[rows, first].reshape(shape),
    )


def _cost_sd(evaluator: Evaluator, objective: Objective, m: Integers, n: Integers) -> Floats:
    """Standard deviation of the cost of B shapes on S systems, shape (B, S); errors of E and R go together."""
    columns = []
    for pool, predictor in zip(evaluator.fleet.pools, evaluator.predictors, strict=True):
        said = predictor.predict(m, n)
        energy_sd_j = said.energy_sd_j + pool.host_power_w * said.runtime_sd_s
        columns.append(objective.cost(energy_sd_j, said.runtime_sd_s))
    return np.column_stack(columns)
