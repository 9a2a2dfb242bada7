"""Thresholds: small queries to one system of a pair, the others to the other.

What counts as small is m, n or any w_m m + w_n n (`Threshold`), the product m n (`ProductThreshold`), or both lengths
at once (`TwoThresholds`). The preferred system scores 0, the other of the pair 1, anyone else 2, so a query that the
preferred system cannot run goes to the other one, and to a third only if that fails too.
Source: T_in and T_out of Equations 9 and 10; products from the authors' thesis; m + n/2 from METHOD.md section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wattshed.policies.policy import Candidate, Number, Score

Reading = Literal["and", "or"]
"""How the two thresholds of the paper go together, which it leaves undefined."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems of a fleet: small queries go `below` the threshold, the others `above` (positions, and names)."""

    below: int
    above: int
    below_system: str
    above_system: str

    def __post_init__(self) -> None:
        if self.below == self.above:
            raise ValueError(f"a threshold tells two systems apart, got {self.below_system!r} twice")

    @classmethod
    def of(cls, names: Sequence[str], below: int, above: int) -> "Pair":
        """The pair at two positions of the fleet whose systems are called `names`."""
        return cls(below, above, names[below], names[above])

    def rule(self, small: str) -> str:
        """The rule in words: what is small goes below."""
        return f"{small} to {self.below_system}, else {self.above_system}"


@dataclass(frozen=True, slots=True)
class Threshold:
    """`input_weight` m + `output_weight` n <= `most_tokens` goes below; by default the paper's threshold on m."""

    pair: Pair
    most_tokens: float
    input_weight: float = 1.0
    output_weight: float = 0.0

    def __post_init__(self) -> None:
        if min(self.input_weight, self.output_weight) < 0 or self.input_weight == self.output_weight == 0:
            raise ValueError("the weights of a threshold are at least 0, and one of them is positive")

    @property
    def name(self) -> str:
        """The rule with its numbers."""
        weights = ((self.input_weight, "m"), (self.output_weight, "n"))
        terms = [letter if weight == 1 else f"{weight:g} {letter}" for weight, letter in weights if weight]
        return self.pair.rule(f"{' + '.join(terms)} <= {self.most_tokens:.12g}")

    @property
    def parameters(self) -> tuple[float, ...]:
        """Below, above, the most tokens and the two weights."""
        return (
            float(self.pair.below),
            float(self.pair.above),
            float(self.most_tokens),
            float(self.input_weight),
            float(self.output_weight),
        )

    @property
    def score(self) -> Score:
        """`by_sum`."""
        return by_sum

    @property
    def rotates(self) -> bool:
        """No: a shape always goes to the same system."""
        return False


@dataclass(frozen=True, slots=True)
class ProductThreshold:
    """m n <= `most_product` goes below."""

    pair: Pair
    most_product: float

    @property
    def name(self) -> str:
        """The rule with its number."""
        return self.pair.rule(f"m n <= {self.most_product:.12g}")

    @property
    def parameters(self) -> tuple[float, ...]:
        """Below, above and the largest product."""
        return float(self.pair.below), float(self.pair.above), float(self.most_product)

    @property
    def score(self) -> Score:
        """`by_product`."""
        return by_product

    @property
    def rotates(self) -> bool:
        """No: a shape always goes to the same system."""
        return False


@dataclass(frozen=True, slots=True)
class TwoThresholds:
    """m <= `most_input_tokens` and (or) n <= `most_output_tokens` goes below."""

    pair: Pair
    most_input_tokens: float
    most_output_tokens: float
    reading: Reading = "and"

    @property
    def name(self) -> str:
        """The rule with its numbers."""
        most_input, most_output = (f"{most:.12g}" for most in (self.most_input_tokens, self.most_output_tokens))
        return self.pair.rule(f"m <= {most_input} {self.reading} n <= {most_output}")

    @property
    def parameters(self) -> tuple[float, ...]:
        """Below, above, both thresholds, and how many of them a small query keeps."""
        kept = 2.0 if self.reading == "and" else 1.0
        positions = float(self.pair.below), float(self.pair.above)
        return *positions, float(self.most_input_tokens), float(self.most_output_tokens), kept

    @property
    def score(self) -> Score:
        """`by_both`."""
        return by_both

    @property
    def rotates(self) -> bool:
        """No: a shape always goes to the same system."""
        return False


# Each score ends in the same line because numba cannot call a plain function from a compiled one. `small` is 1.0 or
# 0.0 and never a boolean: on arrays `+` and `*` of two booleans are `or` and `and`.


def by_sum(candidate: Candidate, parameters: tuple[float, ...]) -> Number:
    """0 on the preferred system, 1 on the other of the pair, 2 elsewhere; small is w_m m + w_n n <= T."""
    below, above, most, input_weight, output_weight = parameters
    small = 1.0 * (input_weight * candidate.input_tokens + output_weight * candidate.output_tokens <= most)
    return 2 - (candidate.position == below) * (1 + small) - (candidate.position == above) * (2 - small)


def by_product(candidate: Candidate, parameters: tuple[float, ...]) -> Number:
    """0 on the preferred system, 1 on the other of the pair, 2 elsewhere; small is m n <= T."""
    below, above, most = parameters
    small = 1.0 * (candidate.input_tokens * candidate.output_tokens <= most)
    return 2 - (candidate.position == below) * (1 + small) - (candidate.position == above) * (2 - small)


def by_both(candidate: Candidate, parameters: tuple[float, ...]) -> Number:
    """0 on the preferred system, 1 on the other of the pair, 2 elsewhere; small keeps `kept` of T_in and T_out."""
    below, above, most_input, most_output, kept = parameters
    keeps = 1.0 * (candidate.input_tokens <= most_input) + 1.0 * (candidate.output_tokens <= most_output)
    small = 1.0 * (keeps >= kept)
    return 2 - (candidate.position == below) * (1 + small) - (candidate.position == above) * (2 - small)
