"""What the router is asked, and which systems may serve it at all.

Systems drop out stage by stage; whoever is left goes to the policy:

    serving    has the model                                          nobody left: no_such_model
    healthy    may be asked, says `fleet/health.py`                                      unavailable
    fitting    takes the input and 19 of 20 forecast outputs, or else the input    too_long
    untried    has not failed this very request                                    all_tried
    prompt     would take it up soon enough                                        busy
    wishes     keeps what the request asks for                                     (the least violation serves)
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

import msgspec

from wattshed.domain.cost import Objective
from wattshed.errors import InfeasibleError
from wattshed.gateway.placing.pricing import Price
from wattshed.predictors.length import Forecast

Bar = Literal["no_such_model", "unavailable", "too_long", "all_tried", "busy", "beyond_wishes"]
"""Why a system cannot serve a request."""

BAR_WORDS: Final[Mapping[Bar, str]] = MappingProxyType(
    {
        "no_such_model": "has not the model",
        "unavailable": "is unavailable",
        "too_long": "is too small for it",
        "all_tried": "failed this request",
        "busy": "is full",
        "beyond_wishes": "is beyond what was asked for",
    }
)
"""The same in words, after the name of a system."""


class Wishes(msgspec.Struct, frozen=True):
    """Limits that one request sets; `None` where it sets none."""

    max_p95_runtime_s: float | None = None
    max_energy_j: float | None = None

    def __post_init__(self) -> None:
        for most in (self.max_p95_runtime_s, self.max_energy_j):
            if most is not None and not most > 0:
                raise ValueError("limits on runtime and energy are positive")

    def __bool__(self) -> bool:
        return self.max_p95_runtime_s is not None or self.max_energy_j is not None

    @property
    def objective(self) -> Objective | None:
        """What is least under the one limit that is set: energy under one on time, time under one on energy."""
        if (self.max_p95_runtime_s is None) == (self.max_energy_j is None):
            return None
        return Objective(lam=1.0 if self.max_energy_j is None else 0.0)

    def excess(self, price: Price) -> float:
        """How far a price goes beyond the limits, the worse of both: up to 1 it keeps them."""
        return max(
            (
                value / most
                for value, most in ((price.runtime_p95_s, self.max_p95_runtime_s), (price.energy_j, self.max_energy_j))
                if most is not None
            ),
            default=0.0,
        )

    def __str__(self) -> str:
        p95 = [] if self.max_p95_runtime_s is None else [f"19 of 20 within {self.max_p95_runtime_s:.3g} s"]
        energy = [] if self.max_energy_j is None else [f"{self.max_energy_j:.3g} J at most"]
        return " and ".join((*p95, *energy))


NO_WISHES: Final = Wishes()


class Ask(msgspec.Struct, frozen=True, eq=False):
    """One request, as the router needs it.

    `serving` holds the positions that serve its model, `available` has one flag a system of the gateway, `tried` the
    positions that have failed it, and `cached_tokens` what each remembers of its input. `objective` is what `Argmin`
    minimises for it; `None` leaves the policy its own.
    """

    serving: tuple[int, ...]
    input_tokens: int
    forecast: Forecast
    available: tuple[bool, ...]
    cached_tokens: Mapping[int, int] = MappingProxyType({})
    objective: Objective | None = None
    wishes: Wishes = NO_WISHES
    tried: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.input_tokens < 1:
            raise ValueError(f"a request has at least one input token, got {self.input_tokens}")


class Stage(NamedTuple):
    """Who is left after one reason to drop out; several are made a request, hence a bare tuple."""

    bar: Bar
    left: list[int]


class NoSystemError(InfeasibleError):
    """No system can serve a request; `reason` says at which stage the last dropped out.

    `retry_after_s` is when to ask again, `None` where that would not help.
    """

    def __init__(self, reason: Bar, problem: str, retry_after_s: float | None = None) -> None:
        self.reason: Bar = reason
        self.retry_after_s = retry_after_s
        super().__init__(problem)


def barred(stages: Sequence[Stage], systems: int) -> Iterator[tuple[int, Bar]]:
    """Each system that dropped out, and why."""
    inside = set(range(systems))
    for stage in stages:
        left = set(stage.left)
        yield from ((position, stage.bar) for position in sorted(inside - left))
        inside = left
