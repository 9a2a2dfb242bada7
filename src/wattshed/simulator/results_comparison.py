"""Policies side by side under the same arrivals: what each came to, and how the first differs from each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from wattshed.simulator.results import Figure, IntervalOf, Summary, Told, differences, summary
from wattshed.simulator.scenario import Run


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A policy under the `name` that the user gave it, what each of its R runs says, and the first run whole."""

    name: str
    told: tuple[Told, ...]
    first: Run


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Summaries and first runs by the names of the policies; `differences` are the first policy less each other.

    `arrivals` says how queries came, and `chancy` whether that hangs on the seed; `boundary` whose joules are counted.
    """

    summaries: Mapping[str, Summary]
    differences: Mapping[str, Mapping[str, Figure]]
    runs: Mapping[str, Run]
    arrivals: str
    chancy: bool
    boundary: str

    @classmethod
    def of(
        cls,
        tried: Sequence[Tried],
        *,
        interval: IntervalOf,
        warm_up_s: float,
        arrivals: tuple[str, bool],
        boundary: str,
    ) -> Self:
        """Of one policy or more, each run with the same seeds."""
        first, *others = tried
        return cls(
            {one.name: summary(one.told, one.first, warm_up_s=warm_up_s, interval=interval) for one in tried},
            {one.name: differences(first.told, one.told, interval=interval) for one in others},
            {one.name: one.first for one in tried},
            *arrivals,
            boundary,
        )

    @property
    def chosen(self) -> str:
        """Name of the first policy."""
        return next(iter(self.summaries))
