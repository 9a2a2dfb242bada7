"""A system as the gateway serves from it: one model on one machine, with what its requests cost and how many it takes.

A system's *position* is its index among those of the gateway. A machine that serves two models stands there twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from wattshed.domain.system import Limits
from wattshed.predictors.batch import BatchPredictor
from wattshed.predictors.curve import CurvePredictor

_ENDLESS = 2**62


class Room(NamedTuple):
    """The longest request that fits, in tokens."""

    input_tokens: int
    output_tokens: int
    total_tokens: int

    def fits(self, input_tokens: int, output_tokens: int) -> bool:
        """Whether a request of these lengths fits."""
        return (
            input_tokens <= self.input_tokens
            and output_tokens <= self.output_tokens
            and input_tokens + output_tokens <= self.total_tokens
        )


@dataclass(frozen=True, slots=True, eq=False)
class ServedSystem:
    """One system of the gateway.

    `slots` requests run at a time and the others queue. `variants` says what each model that it serves is called there,
    and so in which precision. A sleeping system costs `wake_energy_j` and `wake_s` once,
    and one that nobody has asked for `sleeps_after_s` sleeps. `host_power_w` is power that
    the meters did not see; it is charged for the seconds that the node is kept busy, as in a plan.
    """

    name: str
    predictor: CurvePredictor | BatchPredictor
    slots: int
    context_tokens: int
    limits: Limits = field(default_factory=Limits)
    variants: Mapping[str, str] = field(default_factory=dict)
    wake_energy_j: float = 0.0
    wake_s: float = 0.0
    sleeps_after_s: float | None = None
    host_power_w: float = 0.0

    def __post_init__(self) -> None:
        if self.slots < 1 or self.context_tokens < 2:
            raise ValueError(f"system {self.name!r} needs a slot and a context of 2 tokens at least")
        if not min(self.wake_energy_j, self.wake_s, self.host_power_w) >= 0:
            raise ValueError(f"system {self.name!r}: waking and the host cost at least 0 J, 0 s and 0 W")

    @property
    def curves(self) -> CurvePredictor:
        """The fitted curves, with one request in flight."""
        return self.predictor.fitted if isinstance(self.predictor, BatchPredictor) else self.predictor

    @property
    def batch(self) -> BatchPredictor | None:
        """The predictor that knows of company, if it is one."""
        return BatchPredictor(self.curves) if self.curves.kind == "batch" else None

    @property
    def room(self) -> Room:
        """What its context and its limits leave."""
        limits, context = self.limits, self.context_tokens
        return Room(
            limits.max_input_tokens or _ENDLESS,
            limits.max_output_tokens or _ENDLESS,
            min(limits.max_total_tokens or _ENDLESS, context),
        )

    def occupancy(self, in_flight: int) -> int:
        """Requests that a new one will run among: when all slots are taken, one of them has ended first."""
        return min(in_flight, self.slots - 1)
