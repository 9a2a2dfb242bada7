"""The optimum under capacity: each query to the system where it costs least, its seconds there paid for.

A slot of a busy system is worth something to every query, so taking it for R seconds costs R times its price. At the
shadow prices of the planner's optimum (`planner/capacity.py`) this sends every query where the optimum has it, except
those that two systems would serve for the same: of them the optimum has at most S shapes split, and a price alone is
the same for all queries of a shape. So prices may be *tilted* by the query's lot, by so little that only such ties
notice: the share of the lots on either side of the tie is the share of the shape on either system.
"""

from dataclasses import dataclass, field, replace
from math import isfinite
from typing import NamedTuple

from wattshed.domain.cost import Objective
from wattshed.policies.policy import Candidate, Number, Score


@dataclass(frozen=True, slots=True)
class Priced:
    """Each query to the system of least U + price x R, the wait for a slot counted in U as `Argmin` does.

    `prices` and `tilts` have one entry a system, in its units of U per slot-second (watts at lambda 1 and a reference
    of 1 J): a query of lot `draw` pays `prices` + `tilts` x `draw`. Without `tilts` the lot plays no part. `names`
    are those of the systems, where the policy is to say whose prices they are.
    """

    objective: Objective
    prices: tuple[float, ...]
    tilts: tuple[float, ...] = field(default=(), repr=False)
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.prices or not all(isfinite(price) and price >= 0 for price in self.prices):
            raise ValueError(f"prices are finite and at least 0, one a system, got {self.prices}")
        if self.tilts and (len(self.tilts) != len(self.prices) or not all(map(isfinite, self.tilts))):
            raise ValueError(f"{len(self.prices)} prices take as many finite tilts, got {self.tilts}")
        if self.names and len(self.names) != len(self.prices):
            raise ValueError(f"{len(self.prices)} prices are of as many systems, got {self.names}")

    @classmethod
    def free(cls, objective: Objective, systems: int) -> "Priced":
        """Slots for nothing: the same decisions as `Argmin`."""
        return cls(objective, (0.0,) * systems)

    @property
    def name(self) -> str:
        """Name with lambda and the prices, in W where U is in joules, else in U per slot-second."""
        unit = "W" if (self.objective.lam, self.objective.energy_ref_j) == (1.0, 1.0) else "U/s"
        places = [f" on {system}" for system in self.names] or [""] * len(self.prices)
        prices = [f"{price:.4g} {unit}{place}" for price, place in zip(self.prices, places, strict=True)]
        return f"least cost at lambda {self.objective.lam:g} with slots at {', '.join(prices)}"

    def under(self, objective: Objective) -> "Priced":
        """The same for a query with an objective of its own: a slot's price is so many joules, whoever pays it.

        In U it is what those joules are worth to the query: nothing to one that asks for speed alone. At lambda 0
        prices are in seconds, and stay as many seconds.
        """
        theirs, ours = _worth(objective), _worth(self.objective)
        scale = theirs.joule / ours.joule if ours.joule > 0 else theirs.second / ours.second
        prices, tilts = (tuple(scale * amount for amount in amounts) for amounts in (self.prices, self.tilts))
        return replace(self, objective=objective, prices=prices, tilts=tilts)

    @property
    def parameters(self) -> tuple[float, ...]:
        """What a joule and a second cost, then S prices, then S tilts."""
        tilts = self.tilts or (0.0,) * len(self.prices)
        return *map(float, _worth(self.objective)), *map(float, self.prices), *map(float, tilts)

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


class _Worth(NamedTuple):
    """What a joule and a second cost, in U."""

    joule: float
    second: float


def _worth(objective: Objective) -> _Worth:
    return _Worth(objective.lam / objective.energy_ref_j, (1 - objective.lam) / objective.runtime_ref_s)
