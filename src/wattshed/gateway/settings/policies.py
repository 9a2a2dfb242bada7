"""The policies of gateway.yaml, by `kind`: which keys each has, and the planner's own object that it becomes."""

import json
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field
from pydantic import model_validator as validator

from wattshed.domain.cost import Objective
from wattshed.gateway.placing.slot_prices import Tuning
from wattshed.gateway.settings.parts import Duration, FilePath, Name, Part
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo, Random, RoundRobin
from wattshed.policies.policy import Policy
from wattshed.policies.priced import Priced
from wattshed.policies.threshold import Pair, ProductThreshold, Reading, Threshold, TwoThresholds

_MOST_SHOWN: Final = 200
"""Characters of what stands in the file that a message repeats."""


class ArgminPart(Part):
    """Each request to the system where it costs least."""

    kind: Literal["argmin"]

    def policy(self, _: list[str], objective: Objective) -> Policy:
        """The policy."""
        return Argmin(objective)


class AllToPart(Part):
    """Everything to one system."""

    kind: Literal["all_to"]
    system: Name

    def policy(self, names: list[str], _: Objective) -> Policy:
        """The policy; KeyError names a system that is not in `names`, here and below."""
        return AllTo(_position(names, self.system), self.system)


class RandomPart(Part):
    """By lot."""

    kind: Literal["random"]

    def policy(self, _: list[str], __: Objective) -> Policy:
        """The policy."""
        return Random()


class RoundRobinPart(Part):
    """By turns."""

    kind: Literal["round_robin"]

    def policy(self, _: list[str], __: Objective) -> Policy:
        """The policy."""
        return RoundRobin()


class _PairPart(Part):
    below: Name
    above: Name

    def pair(self, names: list[str]) -> Pair:
        """The two systems."""
        return Pair.of(names, _position(names, self.below), _position(names, self.above))


class ThresholdPart(_PairPart):
    """By m, n or a weighted sum of them."""

    kind: Literal["threshold"]
    most_tokens: float
    input_weight: float = 1.0
    output_weight: float = 0.0

    def policy(self, names: list[str], _: Objective) -> Policy:
        """The policy."""
        return Threshold(self.pair(names), self.most_tokens, self.input_weight, self.output_weight)


class ProductThresholdPart(_PairPart):
    """By the product m n."""

    kind: Literal["product_threshold"]
    most_product: float

    def policy(self, names: list[str], _: Objective) -> Policy:
        """The policy."""
        return ProductThreshold(self.pair(names), self.most_product)


class TwoThresholdsPart(_PairPart):
    """By both lengths."""

    kind: Literal["two_thresholds"]
    most_input_tokens: float
    most_output_tokens: float
    reading: Reading = "and"

    def policy(self, names: list[str], _: Objective) -> Policy:
        """The policy."""
        return TwoThresholds(self.pair(names), self.most_input_tokens, self.most_output_tokens, self.reading)


def _file_of_prices(given: object) -> object:
    """The same, unless it is the prices themselves."""
    if isinstance(given, dict):
        shown = json.dumps({"prices": given}, default=str)
        raise ValueError(f"expected a file that holds the prices: name one in which stands {shown[:_MOST_SHOWN]}")
    return given


class PricedPart(Part):
    """By the prices of slots: a plan's, or such as find themselves."""

    kind: Literal["priced"]
    prices: Annotated[FilePath | None, BeforeValidator(_file_of_prices)] = None
    self_tuned: bool = False
    target_utilisation: float = Field(default=Tuning().target_utilisation, gt=0, le=1)
    every_s: Duration = Tuning().every_s

    @validator(mode="after")
    def _some_prices(self) -> Self:
        if self.prices is None and not self.self_tuned:
            raise ValueError("expected prices, a file of wattshed plan, or self_tuned: true")
        idle = sorted(self.model_fields_set & {"target_utilisation", "every_s"})
        if idle and not self.self_tuned:
            raise ValueError(f"{idle[0]} means nothing without self_tuned: true: expected both or neither")
        return self

    @property
    def tuning(self) -> Tuning | None:
        """How the prices find themselves, if they do."""
        return Tuning(self.target_utilisation, self.every_s) if self.self_tuned else None

    def policy(self, names: list[str], objective: Objective) -> Policy:
        """The policy without prices; those of a file are read where files are."""
        return Priced(objective, (0.0,) * len(names), names=tuple(names))


PolicyPart = Annotated[
    ArgminPart
    | AllToPart
    | RandomPart
    | RoundRobinPart
    | ThresholdPart
    | ProductThresholdPart
    | TwoThresholdsPart
    | PricedPart,
    Field(discriminator="kind"),
]


def _position(names: list[str], name: str) -> int:
    if name not in names:
        raise KeyError(name)
    return names.index(name)
