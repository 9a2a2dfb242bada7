"""The form of a policy, and the two ways to ask one.

A policy is a name, a tuple of numbers and one *score*: a pure function of a `Candidate` (one query on one system) and
those numbers, lower is better. A score is written in arithmetic only (`+ - * / <= == %`, no `if`, no NumPy), and so one
function serves three drivers unchanged:

    gateway      plain numbers, once a candidate system           choose(...)  -> Decision
    planner      arrays of shape (B,), once a candidate system    place(...)   -> positions
    simulator    plain numbers, compiled by numba                 numba.njit(policy.score)

What a system cannot run is no business of the policy: the drivers give it an infinite score, so the next best serves.
Ties go to the lower position. Chance and turn-taking come in as numbers (`draw`, `serial`), so scores stay pure.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from wattshed.domain.arrays import Integers
from wattshed.domain.cost import CostTable
from wattshed.domain.plan import Decision
from wattshed.domain.query import Query
from wattshed.domain.system import FleetState
from wattshed.errors import InfeasibleError

Number = Any  # a float, or an array of shape (B,): scores are written once for both (see the module docstring)


class Candidate(NamedTuple):
    """One query on one system, as a score sees it: plain numbers, or arrays of shape (B,).

    `position` is the system's index in the fleet and `systems` their number; `serial` counts queries from 0 and `draw`
    is uniform in [0, 1), one each per query. Scores read the fields by name, and drivers may give them anything that
    has these.
    """

    input_tokens: Number
    output_tokens: Number
    energy_j: Number
    runtime_s: Number
    wait_s: Number
    in_flight: Number
    position: Number
    systems: Number
    serial: Number
    draw: Number


Score = Callable[[Candidate, tuple[float, ...]], Number]


class Policy(Protocol):
    """Says where a query goes. Implementations are frozen dataclasses in this package, or anyone's."""

    @property
    def name(self) -> str:
        """Name with its parameters, as reports show it."""
        ...

    @property
    def parameters(self) -> tuple[float, ...]:
        """The numbers the score needs."""
        ...

    @property
    def score(self) -> Score:
        """The scoring function, the same object for every instance of a class."""
        ...

    @property
    def rotates(self) -> bool:
        """Whether the choice hangs on `serial` or `draw`, so that one shape is spread over several systems."""
        ...


def place(
    policy: Policy,
    input_tokens: Integers,
    output_tokens: Integers,
    costs: CostTable,
    *,
    state: FleetState | None = None,
    serial: Integers | int = 0,
    draw: float = 0.0,
) -> Integers:
    """Positions of the best feasible system for B shapes, shape (B,); -1 where no system can serve.

    `serial` is one number for all or of shape (B,). This is the planner's driver.
    """
    shapes, systems = costs.energy_j.shape
    state = FleetState.idle(systems) if state is None else state
    best, least = np.full(shapes, -1), np.full(shapes, np.inf)
    for position in range(systems):
        if state.available[position]:
            candidate = Candidate(
                input_tokens,
                output_tokens,
                costs.energy_j[:, position],
                costs.runtime_s[:, position],
                float(state.wait_s[position]),
                int(state.in_flight[position]),
                position,
                systems,
                serial,
                draw,
            )
            score = np.broadcast_to(policy.score(candidate, policy.parameters), shapes)
            better = (score < least) & costs.feasible[:, position]
            best[better] = position
            least = np.where(better, score, least)
    return best


def choose(
    policy: Policy,
    query: Query,
    names: Sequence[str],
    energy_j: Sequence[float],
    runtime_s: Sequence[float],
    feasible: Sequence[bool],
    *,
    state: FleetState | None = None,
    serial: int = 0,
    draw: float = 0.0,
) -> Decision:
    """The decision for one query; all sequences have one entry a system. This is the gateway's driver.

    Raises `InfeasibleError` where no system can serve the query.
    """
    systems = len(names)
    state = FleetState.idle(systems) if state is None else state
    scores = [np.inf] * systems
    for position in range(systems):
        if feasible[position] and state.available[position]:
            candidate = Candidate(
                query.input_tokens,
                query.output_tokens,
                energy_j[position],
                runtime_s[position],
                float(state.wait_s[position]),
                int(state.in_flight[position]),
                position,
                systems,
                serial,
                draw,
            )
            scores[position] = float(policy.score(candidate, policy.parameters))
    best = min(range(systems), key=scores.__getitem__)
    if scores[best] == np.inf:
        raise InfeasibleError(
            f"no system can serve a query of {query.input_tokens} input and {query.output_tokens} output tokens; "
            f"asked {', '.join(names)}; add a system with higher limits"
        )
    turned_away = sum(score == np.inf for score in scores)
    reason = policy.name + (f"; {turned_away} of {systems} systems cannot serve it" if turned_away else "")
    return Decision(
        names[best], best, policy.name, reason, tuple(scores), float(energy_j[best]), float(runtime_s[best])
    )
