"""The optimum under capacity: each query to the system where it costs least, its seconds there paid for.

A slot of a busy system is worth something to every query, so taking it for R seconds costs R times its price. At the
shadow prices of the planner's optimum (`planner/capacity.py`) this sends every query where the optimum has it, except
those that two systems would serve for the same: of them the optimum has at most S shapes split, and a price alone is
the same for all queries of a shape. So prices may be *tilted* by the query's lot, by so little that only such ties
notice: the share of the lots on either side of the tie is the share of the shape on either system.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite

from wattshed.domain.cost import Objective
from wattshed.policies.policy import Candidate, Number, Score


@dataclass(frozen=True, slots=True)
class Priced:
    """Each query to the system of least U + price x R, the wait for a slot counted in U as `Argmin` does.

    `prices` and `tilts` have one entry a system, in its units of U per slot-second (watts at lambda 1 and a reference
    of 1 J): a query of lot `draw` pays `prices` + `tilts` x `draw`. Without `tilts` the lot plays no part.
    """

    objective: Objective
    prices: tuple[float, ...]
    tilts: tuple[float, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.prices or not all(isfinite(price) and price >= 0 for price in self.prices):
            raise ValueError(f"prices are finite and at least 0, one a system, got {self.prices}")
        if self.tilts and (len(self.tilts) != len(self.prices) or not all(map(isfinite, self.tilts))):
            raise ValueError(f"{len(self.prices)} prices take as many finite tilts, got {self.tilts}")

    @classmethod
    def free(cls, objective: Objective, systems: int) -> "Priced":
        """Slots for nothing: the same decisions as `Argmin`."""
        return cls(objective, (0.0,) * systems)

    @property
    def name(self) -> str:
        """Name with lambda and the prices, in U per slot-second."""
        return f"least cost at lambda {self.objective.lam:g} and {_listed(self.prices)} a slot-second"

    @property
    def parameters(self) -> tuple[float, ...]:
        """What a joule and a second cost, then S prices, then S tilts."""
        objective = self.objective
        weights = objective.lam / objective.energy_ref_j, (1 - objective.lam) / objective.runtime_ref_s
        tilts = self.tilts or (0.0,) * len(self.prices)
        return *map(float, weights), *map(float, self.prices), *map(float, tilts)

    @property
    def score(self) -> Score:
        """`by_price`."""
        return by_price

    @property
    def rotates(self) -> bool:
        """Only where prices are tilted: then `draw` decides ties."""
        return any(self.tilts)


def by_price(candidate: Candidate, parameters: tuple[float, ...]) -> Number:
    """U of the query on the system and the price of its slot for as long as it runs; the wait holds no slot.

    Looks prices up by `position`, which is therefore one number and no array.
    """
    price = parameters[2 + candidate.position]
    tilt = parameters[2 + candidate.systems + candidate.position]
    cost = parameters[0] * candidate.energy_j + parameters[1] * (candidate.runtime_s + candidate.wait_s)
    return cost + (price + tilt * candidate.draw) * candidate.runtime_s


def _listed(prices: Sequence[float]) -> str:
    return "(" + ", ".join(f"{price:.4g}" for price in prices) + ")"
