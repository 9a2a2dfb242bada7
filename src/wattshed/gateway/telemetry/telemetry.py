"""What the gateway tells of itself: events in, numbers for Prometheus and a snapshot for the dashboard out.

    event --tell--> counts ----> page()        at most once a second, written down by a thread
                |-> last rows --> snapshot()
                |-> records                    what keeps rows and joules: the ledger, the dashboard
                `-> hooks                      whatever else listens, to everything: a tracer, the tests

Events are frozen values: `Row` (a request has ended; also the ledger's row), `Settlement` (its joules have come),
`Attempted`, `Placed` and `NodeWindow`. Gauges are asked for when they are told: `fleet` and `ledger` are callables.
Labels hold names of the configuration only; what is not known there, such as a model that a client made up, is `other`.
"""

import asyncio
import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Final

from wattshed.domain.plan import Interval
from wattshed.domain.schema import METRICS
from wattshed.gateway.events import (
    Attempted,
    Event,
    Names,
    NodeWindow,
    Placed,
    Snapshot,
    Solo,
    SystemLoad,
    SystemNumbers,
)
from wattshed.gateway.ledger.ledger import LedgerState, Row, Settlement
from wattshed.gateway.metrics.counts import Counts, page
from wattshed.gateway.telemetry.drift import Check, DriftWatch
from wattshed.gateway.telemetry.row_counts import count_rows, system_label

log = logging.getLogger(__name__)

PAGE_PERIOD_S: Final = 1.0
MOST_RECENT: Final = 50
MOST_UNSETTLED: Final = 10_000
"""Requests whose joules are awaited, to be compared with what was predicted."""

MOST_TOLD: Final = 256
"""Events that wait to be counted, where nobody asks for the numbers; to count so many takes some 0.3 ms."""

_COUNTED_TOGETHER: Final = frozenset({Row, Placed, Attempted})
"""What every request tells; the rest is rare, and counted as it comes."""

_RECORDS: Final = frozenset({Row, Settlement})
"""What is kept longer than a number, and all that the ledger and the dashboard hear of."""


class Telemetry:
    """Counts events; owned by the event loop."""

    def __init__(
        self,
        names: Names,
        *,
        fleet: Callable[[], Iterable[SystemLoad]] = tuple,
        ledger: Callable[[], LedgerState | None] = lambda: None,
        records: Sequence[Callable[[Event], None]] = (),
        hooks: Sequence[Callable[[Event], None]] = (),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names, self._told = names, list[Event]()
        self.drift = DriftWatch()
        self._fleet, self._ledger, self._now_s = fleet, ledger, now_s
        self._hooks, self._hooks_of_records = tuple(hooks), (*records, *hooks)
        self._counts = Counts(METRICS)
        self._recent: deque[Row] = deque(maxlen=MOST_RECENT)
        self._unsettled: OrderedDict[str, Row] = OrderedDict()
        self._page, self._page_at_s = b"", -inf
        self._turn = asyncio.Lock()

    def tell(self, event: Event) -> None:
        """Count an event and hand it to whoever listens; never raises."""
        kind = type(event)
        if kind in _COUNTED_TOGETHER:
            told = self._told
            told.append(event)
            if len(told) >= MOST_TOLD:
                self._count()
        elif isinstance(event, Settlement):
            self._settled(event)
        elif isinstance(event, Solo):
            self._checked(self.drift.ran(event))
        elif isinstance(event, NodeWindow):  # traces are a hook's business
            self._node(event)
        for hook in self._hooks_of_records if kind in _RECORDS else self._hooks:
            try:
                hook(event)
            except Exception:  # the boundary to code that is not ours: a request must not fail for who listens
                self._counts.add("wattshed_hook_failures_total", 1.0)
                log.warning("a telemetry hook failed", exc_info=True)

    @property
    def names(self) -> Names:
        """Names that labels may have; replaced when the configuration is read again."""
        return self._names

    @names.setter
    def names(self, names: Names) -> None:
        self._count()
        self._names = names

    async def page(self) -> bytes:
        """The numbers as Prometheus reads them (`counts.PAGE_TYPE`); the same bytes for a second."""
        async with self._turn:
            if self._now_s() - self._page_at_s >= PAGE_PERIOD_S:
                self._count()
                self._gauge()
                self._page_at_s = self._now_s()
                self._page = await asyncio.to_thread(page, self._counts.copy())
            return self._page

    def snapshot(self) -> Snapshot:
        """Everything at this instant."""
        self._count()
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

    def _count(self) -> None:
        """Count what was told since; whoever reads a number, or changes what numbers hang on, counts first."""
        told, self._told = self._told, []
        rows = [event for event in told if isinstance(event, Row)]
        count_rows(self._counts, rows, self._names)
        self._recent.extend(rows)
        self._counts.observe("wattshed_decision_seconds", [one.duration_s for one in told if isinstance(one, Placed)])
        for event, times in Counter(one for one in told if isinstance(one, Attempted)).items():
            self._counts.add("wattshed_attempts_total", times, self._system(event.system), event.failure or "none")
        for row in rows:
            if row.hindsight_energy_j is not None and row.energy_reason in (None, "pending"):
                self._unsettled[row.request] = row
        while len(self._unsettled) > MOST_UNSETTLED:
            self._unsettled.popitem(last=False)

    def _settled(self, settlement: Settlement) -> None:
        self._count()
        row = self._unsettled.pop(settlement.request, None)
        system = self._system(row.system if row else None)
        how = "assumed" if system in self._names.assumed else "attributed"
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
        return system_label(name, self._names)
