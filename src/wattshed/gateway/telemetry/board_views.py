"""The values of the dashboard's JSON, and how each is made of what telemetry, breakers and slots say.

Every view has `reasons`: for each of its numbers that is null, the code of why. Codes are those of
`schema.RECEIPT_REASONS`, and `no_requests` where nothing has ended yet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from wattshed.gateway.events import DriftState, Snapshot, SystemNumbers
from wattshed.gateway.fleet.health import Circuit, Condition
from wattshed.gateway.ledger.ledger import CandidateCost, LedgerState, Row, Settlement

MOST_CHARACTERS: Final = 400
"""Of a model's name or a sentence: clients make names up, and the page is sent every second."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a system stands beside its numbers: its slots, and its breaker."""

    system: str
    slots: int
    condition: Condition


@dataclass(frozen=True, slots=True)
class SystemView:
    """One system. `power_w` is its whole node's; `energy_j` is predicted for the tokens that came.

    `slot_price` is in U per slot-second; null, and no reason, where the policy has no prices.
    """

    name: str
    node: str | None
    available: bool
    asleep: bool
    circuit: Circuit | None
    failure: str | None
    failures: int | None
    retry_in_s: float | None
    in_flight: int
    slots: int | None
    slot_price: float | None
    waiting: int
    power_w: float | None
    requests: int
    input_tokens: int
    output_tokens: int
    energy_j: float | None
    energy_per_token_j: float | None
    attributed_j: float | None
    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TotalsView:
    """Since the gateway started. Tokens are input and output; `saved_j` has a 95 % interval.

    Savings are counterfactual: joules predicted for the same tokens where the baseline policy would have sent them,
    less those predicted where they went. `power_w` is of the `metered_nodes` of all `nodes` whose meter speaks now.
    """

    requests: int
    tokens: int
    energy_j: float | None
    energy_per_token_j: float | None
    baseline_j: float | None
    saved_j: float | None
    saved_lower_j: float | None
    saved_upper_j: float | None
    wasted_j: float
    power_w: float | None
    metered_nodes: int
    nodes: int
    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MinuteView:
    """What ended in the last `window_s`."""

    window_s: float
    requests: int
    tokens: int
    energy_j: float | None
    energy_per_token_j: float | None
    reasons: Mapping[str, str]

    @classmethod
    def of(cls, *, window_s: float, requests: int, tokens: int, energy_j: float | None) -> "MinuteView":
        """The view, with what follows from its numbers."""
        per_token_j = _per_token_j(energy_j, tokens)
        reasons = _reasons(_unpriced(requests), energy_j=energy_j, energy_per_token_j=per_token_j)
        return cls(window_s, requests, tokens, energy_j, per_token_j, reasons)


class DecisionView(msgspec.Struct, frozen=True):
    """One request that has ended, and why it went where it went; fields are those of the ledger's row.

    A Struct and no dataclass: fifty are made at once on the event loop, and making one is several times as fast.
    """

    request: str
    arrived_at: datetime
    route: str
    model: str
    outcome: str
    failure: str | None
    system: str | None
    policy: str | None
    choice: str | None
    lam: float | None
    baseline: str | None
    shadow: str | None
    attempts: int
    wait_s: float | None
    ttft_s: float | None
    runtime_s: float
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    predicted_output_tokens: float | None
    predicted_energy_j: float | None
    predicted_energy_lower_j: float | None
    predicted_energy_upper_j: float | None
    extrapolated: bool | None
    hindsight_energy_j: float | None
    hindsight_energy_lower_j: float | None
    hindsight_energy_upper_j: float | None
    attributed_energy_j: float | None
    baseline_energy_j: float | None
    candidates: Sequence[CandidateCost]
    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LedgerView:
    """How the ledger does; `problem` says what is wrong, in words."""

    waiting: int
    dropped: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class Document:
    """All of it. `plane` holds, for the last answers, the place of the system in `systems`, and m and n."""

    at: datetime
    systems: Sequence[SystemView]
    totals: TotalsView
    minute: MinuteView
    ledger: LedgerView | None
    recent: Sequence[DecisionView]
    plane: Sequence[tuple[int, int, int]]
    drift: Sequence[DriftState]


def system_view(numbers: SystemNumbers, standing: Standing | None, at_s: float) -> SystemView:
    """One system; without a standing (it is just being taken in or out) its slots and breaker are not known."""
    load, condition = numbers.load, None if standing is None else standing.condition
    tokens = numbers.input_tokens + numbers.output_tokens
    energy_j = numbers.hindsight_j if numbers.hindsight_j > 0 else None
    per_token_j = _per_token_j(energy_j, tokens)
    unmetered = "no_agent" if load.node is None else "agent_gone"
    unsettled = "no_agent" if load.node is None else "pending" if numbers.requests else "no_requests"
    return SystemView(
        name=load.system,
        node=load.node,
        available=load.available,
        asleep=load.asleep,
        circuit=None if condition is None else condition.circuit,
        failure=None if condition is None else _short(condition.reason),
        failures=None if condition is None else condition.failures,
        retry_in_s=_until_s(condition, at_s),
        in_flight=load.in_flight,
        slots=None if standing is None else standing.slots,
        slot_price=load.slot_price,
        waiting=load.queued,
        power_w=numbers.power_w,
        requests=numbers.requests,
        input_tokens=numbers.input_tokens,
        output_tokens=numbers.output_tokens,
        energy_j=energy_j,
        energy_per_token_j=per_token_j,
        attributed_j=numbers.attributed_j,
        reasons={
            **_reasons(_unpriced(numbers.requests), energy_j=energy_j, energy_per_token_j=per_token_j),
            **_reasons(unmetered, power_w=numbers.power_w),
            **_reasons(unsettled, attributed_j=numbers.attributed_j),
            **_reasons("not_known", circuit=condition, slots=standing),
        },
    )


def totals_view(snapshot: Snapshot, systems: Sequence[SystemView]) -> TotalsView:
    """The fleet. A node that several systems share counts once; joules and tokens per token are the systems' own."""
    tokens = sum(system.input_tokens + system.output_tokens for system in systems)
    energy_j = snapshot.hindsight_j if snapshot.hindsight_j > 0 else None
    per_token_j = _per_token_j(sum(system.energy_j or 0.0 for system in systems) or None, tokens)
    power_w = {system.node: system.power_w for system in systems if system.node is not None}
    known_w = [node_w for node_w in power_w.values() if node_w is not None]
    fleet_w = sum(known_w) if known_w else None
    saved_j = snapshot.saved_j if snapshot.baseline_j > 0 else None
    baseline_j = snapshot.baseline_j if snapshot.baseline_j > 0 else None
    unpriced = _unpriced(snapshot.requests)
    return TotalsView(
        requests=snapshot.requests,
        tokens=tokens,
        energy_j=energy_j,
        energy_per_token_j=per_token_j,
        baseline_j=baseline_j,
        saved_j=None if saved_j is None else saved_j.value,
        saved_lower_j=None if saved_j is None else saved_j.lower,
        saved_upper_j=None if saved_j is None else saved_j.upper,
        wasted_j=snapshot.wasted_j,
        power_w=fleet_w,
        metered_nodes=len(known_w),
        nodes=len(power_w) + sum(system.node is None for system in systems),
        reasons={
            **_reasons(unpriced, energy_j=energy_j, energy_per_token_j=per_token_j),
            **_reasons(unpriced if energy_j is None else "no_baseline", baseline_j=baseline_j, saved_j=saved_j),
            **_reasons("agent_gone" if power_w else "no_agent", power_w=fleet_w),
        },
    )


def decision_view(row: Row, settlement: Settlement | None) -> DecisionView:
    """One row, with its attributed joules where they have come."""
    attributed_j = row.attributed_energy_j if settlement is None else settlement.energy_j
    why = row.energy_reason if settlement is None else settlement.reason
    return DecisionView(
        request=row.request,
        arrived_at=row.arrived_at,
        route=row.route,
        model=_short(row.model) or "",
        outcome=row.outcome,
        failure=_short(row.failure),
        system=row.system,
        policy=row.policy,
        choice=_short(row.choice),
        lam=row.lam,
        baseline=row.baseline,
        shadow=row.shadow,
        attempts=row.attempts,
        wait_s=row.wait_s,
        ttft_s=row.ttft_s,
        runtime_s=row.runtime_s,
        input_tokens=row.input_tokens,
        cached_tokens=row.cached_tokens,
        output_tokens=row.output_tokens,
        predicted_output_tokens=row.predicted_output_tokens,
        predicted_energy_j=row.predicted_energy_j,
        predicted_energy_lower_j=row.predicted_energy_lower_j,
        predicted_energy_upper_j=row.predicted_energy_upper_j,
        extrapolated=row.extrapolated,
        hindsight_energy_j=row.hindsight_energy_j,
        hindsight_energy_lower_j=row.hindsight_energy_lower_j,
        hindsight_energy_upper_j=row.hindsight_energy_upper_j,
        attributed_energy_j=attributed_j,
        baseline_energy_j=row.baseline_energy_j,
        candidates=row.candidates or (),
        reasons=_decision_reasons(row, attributed_j, why or "pending"),
    )


def ledger_view(state: LedgerState | None) -> LedgerView | None:
    """The ledger, where there is one."""
    if state is None:
        return None
    return LedgerView(state.waiting, state.results.get("dropped", 0), _short(state.problem))


def _until_s(condition: Condition | None, at_s: float) -> float | None:
    """Seconds until an open breaker lets one through; none where it does already."""
    if condition is None or condition.retry_at_s is None or condition.circuit != "open":
        return None
    return max(0.0, condition.retry_at_s - at_s)


def _per_token_j(energy_j: float | None, tokens: int) -> float | None:
    return None if energy_j is None or tokens == 0 else energy_j / tokens


def _unpriced(requests: int) -> str:
    return "no_usage" if requests else "no_requests"


def _decision_reasons(row: Row, attributed_j: float | None, why: str) -> dict[str, str]:
    """What of a row's joules is not known, and why: it went nowhere, its tokens are not known, or as the names say."""
    unplaced = "not_placed" if row.system is None else None
    uncounted = unplaced or ("no_usage" if row.output_tokens is None else None)
    reasons = {}
    if row.predicted_energy_j is None:
        reasons["predicted_energy_j"] = unplaced or "no_prediction"
    if row.hindsight_energy_j is None:
        reasons["hindsight_energy_j"] = uncounted or "no_prediction"
    if row.baseline_energy_j is None:
        reasons["baseline_energy_j"] = uncounted or "no_baseline"
    if attributed_j is None:
        reasons["attributed_energy_j"] = why
    return reasons


def _reasons(code: str, **numbers: object) -> dict[str, str]:
    """The code for each of the numbers that is not known."""
    return {name: code for name, number in numbers.items() if number is None}


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
