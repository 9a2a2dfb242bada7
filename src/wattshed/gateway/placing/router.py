"""Places each request on the system where the policy scores it lowest, and keeps count of who is where.

    place(ask) -> Placement        looks and decides; changes nothing, so a dry run is the same call
    begin(placement) -> Ticket     takes a slot, or a place in the queue
    first_token(ticket)            the answer has begun
    finished(ticket, outcome)      gives the slot back, the first time that it is called and never again

Nothing here awaits: between `place` and `begin` nobody else decides. Policies are the planner's own objects, asked by
`choose`; a threshold on n sees the mean of the forecast, rounded to a whole token. `Argmin` and `Priced` minimise the
objective of the request where it has one; a wish for one thing alone turns it into "least energy within X seconds" or
"least time within Y joules". Other policies choose in their way among the systems that keep the wishes. Where none
keeps them, the one that goes least beyond, by ratio, serves.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Final

import numpy as np

from wattshed.domain.cost import Objective
from wattshed.gateway.fleet.live import Finished, LiveFleet, Look, Outcome, SystemState, Ticket
from wattshed.gateway.fleet.part import FleetPart, Shared
from wattshed.gateway.fleet.served import Room, ServedSystem
from wattshed.gateway.placing.asking import BAR_WORDS, NO_WISHES, Ask, Bar, NoSystemError, Stage
from wattshed.gateway.placing.placement import Desk, Placement
from wattshed.gateway.placing.pricing import Pricing
from wattshed.gateway.placing.scoring import Bound, Scene
from wattshed.gateway.placing.tariff import Expected
from wattshed.policies.argmin import Argmin
from wattshed.policies.policy import Policy
from wattshed.policies.priced import Priced
from wattshed.predictors.length import Forecast

_LIKELY: Final = 0.95
"""A request fits where so much of its forecast fits."""

_RETRY_S: Final = 1.0
"""Least seconds after which to ask again: `Retry-After` counts whole ones (RFC 9110, 10.2.3)."""

_MOST_OBJECTIVES: Final = 1024
"""Objectives whose policies are kept; clients may invent any number of them."""


class Router:
    """Owns the state of the fleet and the order of turns.

    `baseline` is what requests are compared with, `shadow` a policy on trial. A system whose predicted wait is above
    `most_wait_s` is full. The systems are the machines of a fleet of their own, or of one `shared` with other routers.
    """

    def __init__(
        self,
        systems: Sequence[ServedSystem],
        policy: Policy,
        *,
        baseline: Policy,
        now_s: Callable[[], float],
        rng: np.random.Generator,
        shadow: Policy | None = None,
        most_wait_s: float = inf,
        shared: Shared | None = None,
    ) -> None:
        names = tuple(system.name for system in systems)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a gateway has systems, each with a name of its own, got {names}")
        pricing, shadowing = Pricing(systems), None if shadow is None else Bound.of(shadow, len(systems))
        self._desk = Desk(tuple(systems), names, pricing, Bound.of(baseline, len(systems)), shadowing)
        self._bound, self._own = Bound.of(policy, len(systems)), _objective_of(policy)
        self._priced = policy if isinstance(policy, Priced) else None
        self._by_objective: dict[Objective, Bound] = {}
        self._draws = any(
            bound is not None and bound.rotates for bound in (self._bound, self._desk.baseline, shadowing)
        )
        self.everyone = tuple(range(len(systems)))
        left = list(self.everyone)
        self._unbarred = Stage("no_such_model", left), Stage("unavailable", left), Stage("too_long", left)
        self._rooms = [system.room for system in systems]
        self._least_room = Room(*map(min, zip(*self._rooms, strict=True)))
        self._most_wait_s = most_wait_s
        self._now_s, self._rng = now_s, rng
        self._begun = 0
        here = shared or Shared(LiveFleet(systems, now_s()), range(len(systems)))
        self._live = FleetPart(*here)
        self._fleet = here.fleet
        self._seen: Look | None = None

    def adopt(self, policy: Priced) -> None:
        """Decide by these prices from now on, where prices decided before."""
        self._bound, self._own = replace(self._bound, name=policy.name, parameters=policy.parameters), policy.objective
        self._priced = policy
        self._by_objective.clear()

    def place(self, ask: Ask) -> Placement:
        """Where the request goes, decided on what is known now; `NoSystemError` where nobody can serve it."""
        look = self._live.look(self._now_s())
        stages = self._stages(ask, look)
        if look is not self._seen:
            self._seen = look
            self._desk.pricing.tariff.occupied(look.in_flight)
        expected = self._desk.pricing.tariff.expected(ask.input_tokens, ask.forecast, ask.cached_tokens)
        if look.asleep:
            expected = self._woken(expected, look)
        output_tokens = max(1, round(expected.output_tokens))
        draw = float(self._rng.random()) if self._draws else 0.0
        scene = Scene(ask.input_tokens, output_tokens, expected, look, stages, self._begun, draw)
        if ask.wishes is not NO_WISHES and ask.wishes:
            scene.stages = (*stages, self._wished(ask, scene, stages[-1].left))
        objective = self._objective(ask)
        decision = self._policy_for(objective).decide(self._desk.names, scene, scene.stages[-1].left)
        return Placement(next(self._fleet.numbers), decision.position, decision, objective, ask, scene, self._desk)

    def begin(self, placement: Placement) -> Ticket:
        """Count the request where it goes; ValueError where this placement has begun already."""
        at_s, decision, expected = self._now_s(), placement.decision, placement.scene.expected
        tokens = placement.ask.input_tokens + expected.output_tokens
        position = placement.position
        machine = self._live.machines[position]
        ticket = Ticket(placement.number, position, machine, at_s, decision.runtime_s, tokens)
        self._fleet.begin(ticket)
        self._begun += 1
        return ticket

    def first_token(self, ticket: Ticket) -> None:
        """The answer has begun; only the first call counts."""
        self._fleet.first_token(ticket, self._now_s())

    def finished(
        self,
        ticket: Ticket,
        outcome: Outcome,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
    ) -> Finished | None:
        """Give back what the request held; `None` where that has been done, so that a `finally` may always call it."""
        at_s = self._now_s()
        first_token_at_s = self._fleet.first_token_at_s(ticket)
        if not self._fleet.finish(ticket, at_s):
            return None
        return Finished(ticket, outcome, first_token_at_s, at_s, input_tokens, output_tokens)

    def slept(self, position: int) -> None:
        """A system has gone to sleep: the next request there pays for its waking."""
        self._live.slept(position, self._now_s())

    def woke(self, position: int) -> None:
        """A system is awake."""
        self._live.woke(position, self._now_s())

    def state(self) -> tuple[SystemState, ...]:
        """What every system is doing, by position."""
        return self._live.states(self._now_s())

    def _stages(self, ask: Ask, look: Look) -> Sequence[Stage]:
        """Who can serve the request, wishes aside; the baseline chooses after the third stage.

        Mostly all can, and then nothing is made that says so.
        """
        available, tried = ask.available, ask.tried
        if (
            ask.serving == self.everyone
            and max(look.wait_s) <= self._most_wait_s
            and not tried
            and all(available)
            and self._least_room.fits(ask.input_tokens, ask.forecast.longest)
        ):
            return self._unbarred
        serving = list(ask.serving)
        healthy = serving if all(available) else [position for position in serving if available[position]]
        fitting = self._fitting(ask.input_tokens, ask.forecast, healthy)
        stages = [Stage("no_such_model", serving), Stage("unavailable", healthy), Stage("too_long", fitting)]
        if tried:
            stages.append(Stage("all_tried", [position for position in fitting if position not in tried]))
        if self._most_wait_s < inf:
            wait_s, most_s = look.wait_s, self._most_wait_s
            stages.append(Stage("busy", [position for position in stages[-1].left if wait_s[position] <= most_s]))
        if not stages[-1].left:
            raise self._refusal(ask, look, next(at for at, stage in enumerate(stages) if not stage.left), stages)
        return stages

    def _fitting(self, input_tokens: int, forecast: Forecast, positions: list[int]) -> list[int]:
        """Those with room for the input and most forecast outputs; mostly all have room for the longest.

        Where nobody has, a guess at the output refuses no request: the input must fit, and the context ends the answer.
        """
        if self._least_room.fits(input_tokens, forecast.longest):
            return positions
        guessed = forecast.output_tokens.size > 1
        for output_tokens in (forecast.quantile(_LIKELY), *([1] if guessed else ())):
            fitting = [position for position in positions if self._rooms[position].fits(input_tokens, output_tokens)]
            if fitting:
                return fitting
        return []

    def _wished(self, ask: Ask, scene: Scene, positions: list[int]) -> Stage:
        """Those that keep the wishes, or else the one that comes nearest."""
        excess = {position: ask.wishes.excess(self._desk.price(ask, scene, position)) for position in positions}
        keeping = [position for position in positions if excess[position] <= 1]
        return Stage("beyond_wishes", keeping or [min(positions, key=excess.__getitem__)])

    def _woken(self, expected: Expected, look: Look) -> Expected:
        """The same with what it costs to wake the sleeping systems."""
        energy_j = list(expected.energy_j)
        for position in look.asleep:
            energy_j[position] += self._desk.systems[position].wake_energy_j
        return Expected(energy_j, expected.runtime_s, expected.output_tokens)

    def _objective(self, ask: Ask) -> Objective | None:
        """What is minimised for a request, if the policy minimises anything."""
        if self._own is None:
            return None
        wished = None if ask.wishes is NO_WISHES else ask.wishes.objective
        return wished or ask.objective or self._own

    def _policy_for(self, objective: Objective | None) -> Bound:
        if objective is None or objective is self._own:
            return self._bound
        bound = self._by_objective.get(objective)
        if bound is None:
            if len(self._by_objective) >= _MOST_OBJECTIVES:
                self._by_objective.clear()
            policy = Argmin(objective) if self._priced is None else self._priced.under(objective)
            bound = self._by_objective[objective] = replace(self._bound, name=policy.name, parameters=policy.parameters)
        return bound

    def _refusal(self, ask: Ask, look: Look, at: int, stages: list[Stage]) -> NoSystemError:
        """Why nobody can serve it, and when to ask again."""
        reason: Bar = stages[at].bar
        before = stages[at - 1].left if at else []
        retry_s: float | None = None
        if reason in {"unavailable", "busy"}:
            waits_s = [look.wait_s[position] - self._most_wait_s for position in before]
            retry_s = max(_RETRY_S, min(waits_s)) if reason == "busy" else _RETRY_S
        names = ", ".join(self._desk.names[position] for position in before)
        problem = f"of {names} each {BAR_WORDS[reason]}" if names else "no system of the gateway has this model"
        return NoSystemError(
            reason, f"no system can serve this request of {ask.input_tokens} input tokens: {problem}", retry_s
        )


def _objective_of(policy: Policy) -> Objective | None:
    """What a policy minimises, if anything."""
    return policy.objective if isinstance(policy, Argmin | Priced) else None
