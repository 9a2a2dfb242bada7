"""What the gateway tells of itself: events in, numbers for Prometheus and a snapshot for the dashboard out.

    event --tell--> counts ----> page()        at most once a second, written down by a thread
                |-> last rows --> snapshot()
                `-> hooks                      whatever else listens: a tracer, the dashboard's stream, the tests

Events are frozen values: `Row` (a request has ended; also the ledger's row), `Settlement` (its joules have come),
`Attempted`, `Placed` and `NodeWindow`. Gauges are asked for when they are told: `fleet` and `ledger` are callables.
Labels hold names of the configuration only; what is not known there, such as a model that a client made up, is `other`.
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Final

from wattshed.domain.plan import Interval
from wattshed.domain.schema import METRICS, OUTCOMES
from wattshed.gateway.counts import OTHER, Counts, page
from wattshed.gateway.drift import Check, DriftWatch
from wattshed.gateway.events import (
    Attempted,
    Called,
    Event,
    Names,
    NodeWindow,
    Placed,
    Snapshot,
    Solo,
    SystemLoad,
    SystemNumbers,
)
from wattshed.gateway.ledger import LedgerState, Row, Settlement

log = logging.getLogger(__name__)

PAGE_PERIOD_S: Final = 1.0
MOST_RECENT: Final = 50
MOST_UNSETTLED: Final = 10_000
"""Requests whose joules are awaited, to be compared with what was predicted."""


class Telemetry:
    """Counts events; owned by the event loop."""

    def __init__(
        self,
        names: Names,
        *,
        fleet: Callable[[], Iterable[SystemLoad]] = tuple,
        ledger: Callable[[], LedgerState | None] = lambda: None,
        hooks: Sequence[Callable[[Event], None]] = (),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.names = names  # replaced when the configuration is read again
        self.drift = DriftWatch()
        self._fleet, self._ledger, self._hooks, self._now_s = fleet, ledger, tuple(hooks), now_s
        self._counts = Counts(METRICS)
        self._recent: deque[Row] = deque(maxlen=MOST_RECENT)
        self._unsettled: OrderedDict[str, Row] = OrderedDict()
        self._page, self._page_at_s = b"", -inf
        self._turn = asyncio.Lock()

    def tell(self, event: Event) -> None:
        """Count an event and hand it to the hooks; never raises."""
        if isinstance(event, Row):
            self._ended(event)
        elif isinstance(event, Settlement):
            self._settled(event)
        elif isinstance(event, Attempted):
            self._counts.add("wattshed_attempts_total", 1.0, self._system(event.system), event.failure or "none")
        elif isinstance(event, Placed):
            self._counts.observe("wattshed_decision_seconds", event.duration_s)
        elif isinstance(event, Solo):
            self._checked(self.drift.ran(event))
        elif not isinstance(event, Called):  # traces are a hook's business
            self._node(event)
        for hook in self._hooks:
            self._call(hook, event)

    async def page(self) -> bytes:
        """The numbers as Prometheus reads them (`counts.PAGE_TYPE`); the same bytes for a second."""
        async with self._turn:
            if self._now_s() - self._page_at_s >= PAGE_PERIOD_S:
                self._gauge()
                self._page_at_s = self._now_s()
                self._page = await asyncio.to_thread(page, self._counts.copy())
            return self._page

    def snapshot(self) -> Snapshot:
        """Everything at this instant."""
        total = self._counts.total
        return Snapshot(
            tuple(map(self._numbers, self._fleet())),
            round(total("wattshed_requests_total")),
            Interval(
                total("wattshed_saved_joules"),
                total("wattshed_saved_lower_joules"),
                total("wattshed_saved_upper_joules"),
            ),
            total("wattshed_hindsight_joules_total"),
            total("wattshed_baseline_joules_total"),
            total("wattshed_wasted_joules_total"),
            self._ledger(),
            tuple(self._recent),
            self.drift.states,
        )

    def _ended(self, row: Row) -> None:
        add = self._counts.add
        model = row.model if row.model in self.names.models else OTHER
        system = self._system(row.system)
        outcome = row.outcome if row.outcome in OUTCOMES else OTHER
        key = "" if row.key is None else row.key if row.key in self.names.keys else OTHER
        add("wattshed_requests_total", 1.0, model, system, outcome)
        add("wattshed_key_requests_total", 1.0, key, outcome)
        self._recent.append(row)
        self._time(row, model, system)
        for kind, tokens in (("input", row.input_tokens), ("cached", row.cached_tokens), ("output", row.output_tokens)):
            if tokens:
                add("wattshed_tokens_total", tokens, model, system, kind)
        if row.wasted_energy_j:
            add("wattshed_wasted_joules_total", row.wasted_energy_j, system, outcome)
        if row.hindsight_energy_j is not None:
            add("wattshed_key_joules_total", row.hindsight_energy_j, key)
        self._energy(row, model, system)

    def _time(self, row: Row, model: str, system: str) -> None:
        observe = self._counts.observe
        if row.ttft_s is not None:
            observe("wattshed_ttft_seconds", row.ttft_s, model, system)
        if row.wait_s is not None:
            observe("wattshed_wait_seconds", row.wait_s, system)
        if row.outcome == "done":
            observe("wattshed_runtime_seconds", row.runtime_s, model, system)

    def _energy(self, row: Row, model: str, system: str) -> None:
        add = self._counts.add
        for name, energy_j in (
            ("wattshed_predicted_joules_total", row.predicted_energy_j),
            ("wattshed_hindsight_joules_total", row.hindsight_energy_j),
            ("wattshed_baseline_joules_total", row.baseline_energy_j),
            ("wattshed_shadow_joules_total", row.shadow_energy_j),
        ):
            if energy_j is not None:
                add(name, energy_j, model, system)
        if row.shadow is not None and row.shadow != row.system:
            add("wattshed_shadow_disagreements_total", 1.0, system)
        saved_j = _saved_j(row)
        if saved_j is not None:
            value_j, lower_j, upper_j = saved_j
            add("wattshed_saved_joules", value_j, model, system)
            add("wattshed_saved_lower_joules", lower_j, model, system)
            add("wattshed_saved_upper_joules", upper_j, model, system)
        if row.hindsight_energy_j is not None and row.energy_reason in (None, "pending"):
            self._unsettled[row.request] = row
            if len(self._unsettled) > MOST_UNSETTLED:
                self._unsettled.popitem(last=False)

    def _settled(self, settlement: Settlement) -> None:
        row = self._unsettled.pop(settlement.request, None)
        system = self._system(row.system if row else None)
        how = "assumed" if system in self.names.assumed else "attributed"
        self._counts.add("wattshed_energy_receipts_total", 1.0, system, settlement.reason or how)
        if settlement.energy_j is not None:
            self._counts.add_signed("wattshed_attributed_joules_total", settlement.energy_j, system)
        self._checked(self.drift.counted(settlement))

    def _node(self, event: NodeWindow) -> None:
        window, counts = event.window, self._counts
        counts.add("wattshed_energy_windows_total", 1.0, event.node, window.reason or "counted")
        counts.add_signed("wattshed_unattributed_joules_total", event.unattributed_j, event.node)
        counts.add_signed("wattshed_undelivered_joules_total", event.undelivered_j, event.node)
        if window.energy_j is None:
            counts.drop("wattshed_power_watts", event.node)
        else:
            power_w = window.energy_j / (window.stopped_at_s - window.started_at_s)
            counts.set("wattshed_power_watts", power_w, event.node)

    def _checked(self, check: Check | None) -> None:
        if check is not None:
            self._counts.add("wattshed_drift_checks_total", 1.0, self._system(check.system), check.quantity, check.side)

    def _gauge(self) -> None:
        """Ask for what is not counted but is."""
        for load in self._fleet():
            system = self._system(load.system)
            self._counts.set("wattshed_in_flight", load.in_flight, system)
            self._counts.set("wattshed_queued", load.queued, system)
            self._counts.set("wattshed_available", float(load.available), system)
            self._counts.set("wattshed_asleep", float(load.asleep), system)
            if load.slot_price is None:
                self._counts.drop("wattshed_slot_price", system)
            else:
                self._counts.set("wattshed_slot_price", load.slot_price, system)
        alarms = {(one.system, one.model, one.quantity) for one in self.drift.alarms}
        for watched in self.drift.watched:
            self._counts.set("wattshed_drift_alarm", float(watched in alarms), *watched)
        ledger = self._ledger()
        if ledger is not None:
            self._counts.set("wattshed_ledger_waiting", ledger.waiting)
            self._set_all("wattshed_ledger_rows_total", ledger.results)
            self._set_all("wattshed_ledger_failures_total", ledger.failures)

    def _set_all(self, name: str, numbers: Mapping[str, int]) -> None:
        for code, number in numbers.items():
            self._counts.set(name, number, code)

    def _numbers(self, load: SystemLoad) -> SystemNumbers:
        total, system = self._counts.total, load.system
        attributed = self._counts.has("wattshed_attributed_joules_total", system)
        powered = load.node is not None and self._counts.has("wattshed_power_watts", load.node)
        return SystemNumbers(
            load,
            round(total("wattshed_requests_total", system=system)),
            round(total("wattshed_tokens_total", system=system, kind="input")),
            round(total("wattshed_tokens_total", system=system, kind="output")),
            total("wattshed_hindsight_joules_total", system=system),
            self._counts.value("wattshed_attributed_joules_total", system) if attributed else None,
            self._counts.value("wattshed_power_watts", load.node or "") if powered else None,
        )

    def _system(self, name: str | None) -> str:
        return "" if name is None else name if name in self.names.systems else OTHER

    def _call(self, hook: Callable[[Event], None], event: Event) -> None:
        try:
            hook(event)
        except Exception:  # the boundary to code that is not ours: a request must not fail for who listens
            self._counts.add("wattshed_hook_failures_total", 1.0)
            log.warning("a telemetry hook failed", exc_info=True)


def _saved_j(row: Row) -> tuple[float, float, float] | None:
    """What the placement saved against the baseline and the bounds of it, where both are known with theirs."""
    ours_j, theirs_j = row.hindsight_energy_j, row.baseline_energy_j
    lower_j, upper_j = row.hindsight_energy_lower_j, row.hindsight_energy_upper_j
    their_lower_j, their_upper_j = row.baseline_energy_lower_j, row.baseline_energy_upper_j
    if ours_j is None or lower_j is None or upper_j is None:
        return None
    if theirs_j is None or their_lower_j is None or their_upper_j is None:
        return None
    if row.system == row.baseline:
        return 0.0, 0.0, 0.0  # the same prediction on both sides: no doubt that nothing was saved
    return theirs_j - ours_j, their_lower_j - upper_j, their_upper_j - lower_j
