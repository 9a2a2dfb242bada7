"""What has happened to one request so far, and what is told of it in the end: a receipt, and a row of the ledger.

Nothing here waits or decides. Joules are three: *predicted* before the answer, over the forecast of its length; in
*hindsight*, for the tokens that there were; and *attributed* by a meter, which come later and go to the ledger alone.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec
import numpy as np

from wattshed.gateway.api.body import Call
from wattshed.gateway.api.receipt import Method, Receipt
from wattshed.gateway.api.usage import Usage
from wattshed.gateway.ledger.ledger import CandidateCost, Row
from wattshed.gateway.placing.asking import Ask
from wattshed.gateway.placing.placement import Placement
from wattshed.gateway.placing.pricing import Price
from wattshed.gateway.settings.keys import ANYBODY, Key
from wattshed.gateway.settings.settings import Serving
from wattshed.gateway.wire.http import Request
from wattshed.gateway.wire.refusals import Refusal
from wattshed.predictors.length import LengthKey
from wattshed.units import S_PER_MS

MOST_NAME: Final = 128
"""Characters of a client's own name for its request, beyond which it gets ours, and the ledger no more of it."""

_CHANCE_BYTES, _NAMES_AT_ONCE = 10, 256


def fresh_names(rng: np.random.Generator, *, utc: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[str]:
    """Names for requests without end, 128 bits each, in hex; no secrets.

    48 bits are the millisecond at which they were drawn, the others chance, as in UUIDs of version 7 (RFC 9562, section
    5.7), and names that were drawn together rise. So the ledger's index grows at its end, and a batch of rows changes a
    few of its pages and not one a row. They are drawn by the hundred: asking the system for each lets the ledger's
    thread in, and takes 20 us under load.
    """
    digits = 2 * _CHANCE_BYTES
    while True:
        began = f"{round(utc().timestamp() / S_PER_MS):012x}"
        drawn = rng.bytes(_CHANCE_BYTES * _NAMES_AT_ONCE).hex()
        yield from sorted([began + drawn[at : at + digits] for at in range(0, len(drawn), digits)])


class Foreseen(msgspec.Struct, frozen=True, eq=False):
    """What a placement says: the price, and why; and where the baseline and the shadow would have sent it."""

    price: Price
    baseline: int
    reason: str
    shadow: int | None


class Hindsight(msgspec.Struct, frozen=True, eq=False):
    """Prices for the tokens that there were: where the request went, and where the baseline would have sent it."""

    price: Price | None
    baseline: Price | None


NOT_KNOWN: Final = Hindsight(None, None)
_UNKNOWN: Final = (None, None, None)


class Story(msgspec.Struct):
    """One request; the fields after the first line are filled in as things happen."""

    request: str
    arrived_at_s: float
    route: str
    client_request: str | None = None
    arrived_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    key: Key | None = None
    call: Call | None = None
    model: str = ""
    length_key: LengthKey | None = None
    ask: Ask | None = None
    placement: Placement | None = None
    serving: Serving | None = None
    outcome: str = "failed"
    status: int | None = None
    failure: str | None = None
    attempts: int = 0
    wait_s: float | None = None
    first_token_at_s: float | None = None
    usage: Usage | None = None
    wasted_energy_j: float | None = None
    metered: bool = False
    _foreseen: Foreseen | None = None
    _hindsight: Hindsight | None = None

    @classmethod
    def of(cls, request: Request, name: str, at_s: float) -> "Story":
        """A request that has just arrived."""
        return cls(name, at_s, "", request.header("x-request-id"))

    @property
    def name(self) -> str:
        """What the request is called in the answer: as its client calls it, where that is fit to be printed."""
        said = self.client_request
        fit = said and len(said) <= MOST_NAME and said.isascii() and said.isprintable()
        return said if said and fit else self.request

    @property
    def key_name(self) -> str:
        """Whose request it is."""
        return ANYBODY if self.key is None else self.key.name

    def wasted(self, placement: Placement, *, reached: bool) -> None:
        """An attempt was for nothing: at most what was predicted for it, and nothing where no engine was reached."""
        if reached:
            self.wasted_energy_j = (self.wasted_energy_j or 0.0) + placement.price.energy_j

    def refused(self, refusal: Refusal, *, begun: bool) -> None:
        """The gateway said no; `begun` after an answer had begun."""
        self.failure = refusal.kind
        if begun:
            self.outcome = "broken"
        elif refusal.kind == "overloaded":
            self.outcome, self.status = "overloaded", refusal.status
        else:
            self.outcome, self.status = ("failed" if self.attempts else "refused"), refusal.status

    def placed(self, placement: Placement, serving: Serving) -> None:
        """It goes there; what is foreseen is worked out once, and by nobody before it is needed."""
        self.placement, self.serving = placement, serving
        self._foreseen = self._hindsight = None

    @property
    def foreseen(self) -> Foreseen:
        """What the placement says about itself; there is one by now."""
        placement = self.placement
        assert placement is not None  # nobody asks before
        if self._foreseen is None:
            self._foreseen = Foreseen(placement.price, placement.baseline, placement.reason, placement.shadow)
        return self._foreseen

    @property
    def hindsight(self) -> Hindsight:
        """What the request costs here, and where the baseline would have sent it, now that its tokens are known."""
        if self.placement is None or self.usage is None:
            return NOT_KNOWN
        if self._hindsight is None:
            here, there = self.placement.position, self.foreseen.baseline
            price = _known(self.placement, self.usage, here)
            self._hindsight = Hindsight(price, price if here == there else _known(self.placement, self.usage, there))
        return self._hindsight

    def receipt(self, *, at_s: float, ended: bool) -> Receipt:
        """The receipt as it can be given now; before the end it holds no joules but the predicted ones."""
        placement, serving, foreseen = self.placement, self.serving, self.foreseen
        assert placement is not None  # nobody is given a receipt before their request was placed
        assert serving is not None
        method: Method = "predicted" if serving.joules == "metered" else "assumed"
        hindsight = self.hindsight if ended else NOT_KNOWN
        known, baseline = hindsight.price, hindsight.baseline
        reasons = {} if known else {"energy_joules": "no_usage" if ended else "not_ended"}
        if known is None and serving.carbon_g_per_j is not None:
            reasons["carbon_g_co2eq"] = reasons["energy_joules"]
        return Receipt(
            system=placement.decision.system,
            model=serving.upstream_model,
            choice=foreseen.reason,
            energy_j=None if known is None else known.energy_j,
            method=None if known is None else method,
            predicted_by=method,
            energy_lower_j=None if known is None else known.energy_lower_j,
            energy_upper_j=None if known is None else known.energy_upper_j,
            runtime_s=at_s - self.arrived_at_s if ended else None,
            carbon_g=self._carbon_g(known),
            predicted_energy_j=foreseen.price.energy_j,
            baseline_energy_j=None if baseline is None else baseline.energy_j,
            wasted_energy_j=self.wasted_energy_j,
            baseline=placement.desk.names[foreseen.baseline],
            profile=serving.measured.file.name,
            lam=None if placement.objective is None else placement.objective.lam,
            predicted_output_tokens=placement.ask.forecast.mean,
            reasons=reasons,
        )

    def row(self, at_s: float) -> Row:
        """The ledger's row."""
        return self._unplaced(at_s) if self.placement is None else self._placed(self.placement, at_s)

    def _unplaced(self, at_s: float) -> Row:
        """The row of a request that went nowhere."""
        return Row(
            self.request,
            self.arrived_at,
            self._client_request,
            None if self.key is None else self.key.name,
            self.route,
            self.model,
            streamed=self.call is not None and self.call.stream,
            outcome=self.outcome,
            status=self.status,
            failure=self.failure,
            runtime_s=at_s - self.arrived_at_s,
            most_output_tokens=None if self.call is None else self.call.most_output_tokens,
            energy_reason="not_placed",
        )

    def _placed(self, placement: Placement, at_s: float) -> Row:
        """The row with what the router foresaw, and what it says now.

        In the order of the columns, and made of one tuple: to name fifty takes thrice as long, and to pass them one by
        one half as long again.
        """
        call, usage, decision, ask = self.call, self.usage, placement.decision, placement.ask
        foreseen, hindsight, names, scene = self.foreseen, self.hindsight, placement.desk.names, placement.scene
        price, shadow, known, baseline = foreseen.price, foreseen.shadow, hindsight.price, hindsight.baseline
        return Row._make(
            (
                # who asked for what
                self.request,
                self.arrived_at,
                self._client_request,
                None if self.key is None else self.key.name,
                self.route,
                self.model,
                None if self.serving is None else self.serving.upstream_model,
                call is not None and call.stream,
                # how it ended; no engine's reason is read
                *(self.outcome, self.status, self.failure, None),
                # where it went, and why
                *(decision.system, decision.policy, foreseen.reason),
                None if placement.objective is None else placement.objective.lam,
                _candidates(placement),
                names[foreseen.baseline],
                None if shadow is None else names[shadow],
                self.attempts,
                scene.look.in_flight[placement.position],
                # seconds and tokens
                self.wait_s,
                None if self.first_token_at_s is None else self.first_token_at_s - self.arrived_at_s,
                at_s - self.arrived_at_s,
                *(_UNKNOWN if usage is None else (usage.input_tokens, usage.cached_tokens, usage.output_tokens)),
                *(ask.input_tokens, ask.forecast.mean, None if call is None else call.most_output_tokens),
                # joules as it was placed, in hindsight, elsewhere, and as a meter counts them, which comes later
                *(price.energy_j, price.energy_lower_j, price.energy_upper_j),
                *(price.runtime_s, price.runtime_p95_s, price.extrapolated),
                *(_UNKNOWN if known is None else (known.energy_j, known.energy_lower_j, known.energy_upper_j)),
                *(_UNKNOWN if known is None else known.service_s),
                *(
                    _UNKNOWN
                    if baseline is None
                    else (baseline.energy_j, baseline.energy_lower_j, baseline.energy_upper_j)
                ),
                None if shadow is None else scene.expected.energy_j[shadow],
                *(None, None, "pending" if self.metered else "no_agent"),
                *(self.wasted_energy_j, self._carbon_g(known)),
            )
        )

    @property
    def _client_request(self) -> str | None:
        return None if self.client_request is None else self.client_request[:MOST_NAME]

    def _carbon_g(self, known: Price | None) -> float | None:
        """What those joules emitted, where the settings say what the grid does."""
        carbon_g_per_j = None if self.serving is None else self.serving.carbon_g_per_j
        return None if known is None or carbon_g_per_j is None else known.energy_j * carbon_g_per_j


def _candidates(placement: Placement) -> tuple[CandidateCost, ...]:
    """What every system that serves the model was predicted to take."""
    names, expected, serving = placement.desk.names, placement.scene.expected, placement.ask.serving
    costs = tuple(map(CandidateCost, names, expected.energy_j, expected.runtime_s))
    return costs if len(serving) == len(costs) else tuple([costs[at] for at in serving])


def _known(placement: Placement, usage: Usage, position: int) -> Price:
    """The price there, had the tokens been known; what was cached is known of the chosen system alone."""
    desk, input_tokens = placement.desk, max(usage.input_tokens, 1)
    cached_tokens = placement.ask.cached_tokens.get(position, 0)
    if usage.cached_tokens is not None and position == placement.position:
        cached_tokens = min(usage.cached_tokens, usage.input_tokens)
    return desk.pricing.price_of(
        position,
        input_tokens,
        max(usage.output_tokens, 1),
        desk.moment(placement.scene.look, position),
        cached_tokens=cached_tokens,
    )
