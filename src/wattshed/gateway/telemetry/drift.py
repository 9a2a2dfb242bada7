"""Whether machines still cost what their predictors say: an alarm when live values leave the 95 % interval too often.

    Solo --ten of one system and model--> one check of R       inside, below or above the interval
      `--> Settlement (its joules) --ten--> one check of E
                                             the last 100 checks --binomial test--> alarm, until it is over

A predictor's interval is that of a *cell's mean*: one request by itself scatters more, and so ten are added up and held
against the sum of their predictions, whose errors go the same way. Only requests that had the machine to themselves,
inside the measured range and with nothing cached, are compared: with others in flight, what a request took is a matter
of how joules are split. Where the predictor is right, at most one check in twenty is outside. The alarm begins when so
many are that this would happen by chance with a probability below `BEGINS`, and ends when it has become likelier than
`ENDS`. Once all checks are outside, the fourth of them begins it: after forty requests.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from math import comb
from typing import Final, Literal, NamedTuple

import numpy as np

from wattshed.gateway.events import Drift, DriftState, Solo
from wattshed.gateway.ledger.ledger import Settlement
from wattshed.predictors.curve import Z_95, CurvePredictor

log = logging.getLogger(__name__)

OUTSIDE: Final = 0.05
"""Share of checks that lie outside a 95 % interval which is right."""

TOGETHER: Final = 10
"""Requests of one check."""

WINDOW: Final = 100
"""Checks that are looked back on."""

BEGINS: Final = 1e-5
ENDS: Final = 0.05

MOST_AWAITED: Final = 1000
"""Requests whose joules are awaited."""

Side = Literal["below", "inside", "above"]
Quantity = Literal["energy", "runtime"]


class Check(NamedTuple):
    """One comparison of live values with the interval of their prediction."""

    system: str
    quantity: Quantity
    side: Side


@dataclass(slots=True)
class _Watched:
    """One quantity of one model on one system, under one predictor."""

    predictor: CurvePredictor
    requests: list[tuple[int, int, float]] = field(default_factory=list)
    sides: deque[Side] = field(default_factory=lambda: deque(maxlen=WINDOW))
    alarmed: bool = False


class DriftWatch:
    """Watches all systems; owned by the event loop."""

    def __init__(self) -> None:
        self._watched: dict[tuple[str, str, Quantity], _Watched] = {}
        self._awaited: OrderedDict[str, Solo] = OrderedDict()

    @property
    def alarms(self) -> tuple[Drift, ...]:
        """What has drifted."""
        return tuple(
            Drift(*key, sum(side != "inside" for side in one.sides), len(one.sides))
            for key, one in self._watched.items()
            if one.alarmed
        )

    @property
    def states(self) -> tuple[DriftState, ...]:
        """How all that is watched stands."""
        return tuple(
            DriftState(*key, len(one.sides), one.sides.count("below"), one.sides.count("above"), one.alarmed)
            for key, one in self._watched.items()
        )

    @property
    def watched(self) -> tuple[tuple[str, str, Quantity], ...]:
        """System, model and quantity of all that is watched."""
        return tuple(self._watched)

    def ran(self, solo: Solo) -> Check | None:
        """A request has ended; the check of runtime that it completes."""
        if not solo.predictor.support.holds(solo.input_tokens, solo.output_tokens, 1):
            return None
        if solo.metered:
            self._awaited[solo.request] = solo
            if len(self._awaited) > MOST_AWAITED:
                self._awaited.popitem(last=False)
        return self._seen(solo, "runtime", solo.runtime_s)

    def counted(self, settlement: Settlement) -> Check | None:
        """The joules of a request have come, or will not; the check of energy that they complete."""
        solo = self._awaited.pop(settlement.request, None)
        if solo is None or settlement.energy_j is None:
            return None
        return self._seen(solo, "energy", settlement.energy_j)

    def _seen(self, solo: Solo, quantity: Quantity, live: float) -> Check | None:
        key = (solo.system, solo.model, quantity)
        watched = self._watched.get(key)
        if watched is None or watched.predictor is not solo.predictor:  # a new one starts with a clean sheet
            watched = self._watched[key] = _Watched(solo.predictor)
        watched.requests.append((solo.input_tokens, solo.output_tokens, live))
        if len(watched.requests) < TOGETHER:
            return None
        side = _side(watched.predictor, watched.requests, quantity)
        watched.requests.clear()
        watched.sides.append(side)
        self._judge(key, watched)
        return Check(solo.system, quantity, side)

    def _judge(self, key: tuple[str, str, Quantity], watched: _Watched) -> None:
        """Begin or end the alarm, and say so once."""
        outside = sum(side != "inside" for side in watched.sides)
        chance = by_chance(outside, len(watched.sides))
        fields = dict(zip(("system", "model", "quantity"), key, strict=True))
        fields |= {"outside": str(outside), "checks": str(len(watched.sides))}
        if not watched.alarmed and chance < BEGINS:
            watched.alarmed = True
            log.warning("a system has drifted from its predictor; measure it again, or fit the ledger", extra=fields)
        elif watched.alarmed and chance > ENDS:
            watched.alarmed = False
            log.info("a system agrees with its predictor again", extra=fields)


@cache
def by_chance(outside: int, checks: int) -> float:
    """The probability that so many or more of the checks lie outside intervals that are right; binomial."""
    return sum(
        comb(checks, count) * OUTSIDE**count * (1 - OUTSIDE) ** (checks - count) for count in range(outside, checks + 1)
    )


def _side(predictor: CurvePredictor, requests: Sequence[tuple[int, int, float]], quantity: Quantity) -> Side:
    """Where the sum of live values lies; the standard deviations are added, since one predictor errs one way."""
    m, n = (np.array(tokens, np.int64) for tokens in zip(*[request[:2] for request in requests], strict=True))
    predicted = (predictor.energy if quantity == "energy" else predictor.runtime).estimate(m, n)
    off = sum(request[2] for request in requests) - float(predicted.mean.sum())
    half_width = Z_95 * float(predicted.sd.sum())
    return "inside" if abs(off) <= half_width else "below" if off < 0 else "above"
