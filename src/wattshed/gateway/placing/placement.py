"""One placement: the decision, all that it hung on, and what can be told about it afterwards.

Only the decision itself is made while the request waits. Every candidate's price, the baseline, the shadow and the
sentence for people are worked out when somebody asks, from what was known then: their answers do not change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from wattshed.domain.cost import Objective
from wattshed.domain.plan import Decision
from wattshed.gateway.fleet.live import Look
from wattshed.gateway.fleet.served import ServedSystem
from wattshed.gateway.placing.asking import BAR_WORDS, NO_WISHES, Ask, Bar, barred
from wattshed.gateway.placing.pricing import Moment, Price, Pricing
from wattshed.gateway.placing.scoring import Bound, Scene
from wattshed.gateway.placing.tariff import Cost


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """What every placement of a gateway is judged by."""

    systems: Sequence[ServedSystem]
    names: tuple[str, ...]
    pricing: Pricing
    baseline: Bound
    shadow: Bound | None

    def price(self, ask: Ask, scene: Scene, position: int) -> Price:
        """What the request costs on one system, as things stand."""
        moment = self.moment(scene.look, position)
        expected, cached_tokens = scene.expected, ask.cached_tokens.get(position, 0)
        mean = Cost(expected.energy_j[position] - moment.wake_energy_j, expected.runtime_s[position])
        return self.pricing.price(
            position, ask.input_tokens, ask.forecast, moment, cached_tokens=cached_tokens, mean=mean
        )

    def ttft_s(self, ask: Ask, scene: Scene, position: int) -> float | None:
        """Seconds to the first token there, where the predictor can tell."""
        cached_tokens = ask.cached_tokens.get(position, 0)
        return self.pricing.ttft_s(
            position, ask.input_tokens, self.moment(scene.look, position), cached_tokens=cached_tokens
        )

    def moment(self, look: Look, position: int) -> Moment:
        """What one system was doing."""
        wake_energy_j = self.systems[position].wake_energy_j if position in look.asleep else 0.0
        return Moment(look.in_flight[position], look.wait_s[position], wake_energy_j)


class Placement(msgspec.Struct, frozen=True, eq=False):
    """Where a request goes.

    `position` is the chosen system's. `objective` is what was minimised, `None` where the policy minimises nothing.
    `decision.runtime_s` is the time in a slot; a `Price` adds the wait.
    """

    number: int
    position: int
    decision: Decision
    objective: Objective | None
    ask: Ask
    scene: Scene
    desk: Desk

    @property
    def price(self) -> Price:
        """What it costs where it goes."""
        return self.desk.price(self.ask, self.scene, self.position)

    @property
    def prices(self) -> tuple[Price | None, ...]:
        """What it would cost on every system that serves the model; `None` elsewhere."""
        serving = set(self.ask.serving)
        return tuple(
            self.desk.price(self.ask, self.scene, position) if position in serving else None
            for position in range(len(self.desk.names))
        )

    @property
    def bars(self) -> dict[int, Bar]:
        """Why the other systems could not be chosen, by position; one that failed the request may be well otherwise."""
        bars = barred(self.scene.stages, len(self.desk.names))
        return {position: "all_tried" if position in self.ask.tried else bar for position, bar in bars}

    @property
    def baseline(self) -> int:
        """Where the baseline policy would have sent it, had nothing failed yet, nor been wished for."""
        return self.desk.baseline.best(self.scene, self.scene.stages[2].left)

    @property
    def baseline_price(self) -> Price:
        """What it would have cost there, as things stand under our own policy."""
        return self.desk.price(self.ask, self.scene, self.baseline)

    @property
    def shadow(self) -> int | None:
        """Where the policy on trial would have sent it."""
        shadow = self.desk.shadow
        return None if shadow is None else shadow.best(self.scene, self.scene.stages[-1].left)

    @property
    def kept(self) -> bool:
        """Whether it keeps all that the request wishes for."""
        wishes = self.ask.wishes
        return wishes is NO_WISHES or not wishes or wishes.excess(self.price) <= 1

    @property
    def reason(self) -> str:
        """Why it goes there, in a sentence."""
        scene, choice = self.scene, self._choice()
        if (
            self.ask.wishes is NO_WISHES
            and not scene.look.asleep
            and len(scene.stages[-1].left) == len(self.desk.names)
        ):
            return choice  # mostly there is no more to it
        return "; ".join([choice, *self._surprises(), *self._absences()])

    def _choice(self) -> str:
        decision, left, here = self.decision, self.scene.stages[-1].left, self.position
        second = min([at for at in left if at != here], key=decision.scores.__getitem__, default=None)
        against = "" if second is None else f", against {self._costs(second)} on {self.desk.names[second]}"
        return f"{decision.policy}: {decision.system} is predicted to take {self._costs(here)}{against}"

    def _costs(self, position: int) -> str:
        expected = self.scene.expected
        energy_j, runtime_s = expected.energy_j[position], expected.runtime_s[position]
        wait_s = self.scene.look.wait_s[position]
        waiting = f" ({_rounded(wait_s)} s of it waiting)" if wait_s else ""
        return f"{_rounded(energy_j)} J and {_rounded(runtime_s + wait_s)} s{waiting}"

    def _surprises(self) -> list[str]:
        system = self.desk.systems[self.position]
        asleep = self.position in self.scene.look.asleep
        woken = [f"it sleeps, and waking it takes {_rounded(system.wake_energy_j)} J of this"] if asleep else []
        nearest = [] if self.kept else [f"nobody keeps {self.ask.wishes}, and it comes nearest"]
        return [*woken, *nearest]

    def _absences(self) -> list[str]:
        serving = set(self.ask.serving)
        return [f"{self.desk.names[at]} {BAR_WORDS[bar]}" for at, bar in self.bars.items() if at in serving]


def _rounded(quantity: float) -> str:
    """Three digits, or all before the point."""
    return f"{quantity:,.0f}" if quantity >= 100 else f"{quantity:.3g}"
