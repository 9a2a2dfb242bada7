"""What the dashboard is sent: the snapshot of telemetry, the breakers and the slots, as one JSON document a second.

    telemetry --hook--> heard ----> last minute, (m, n) points, settled joules     bounded, whoever watches
    telemetry.snapshot --.
    breakers and slots --+--> state()      the same bytes for a second, however many watch

Telemetry counts; the board counts nothing a second time but the last minute, which telemetry does not have. What is not
known is null, and `reasons` beside it holds the code of why. No prompt, no answer and no key stands in it.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Final

import msgspec

from wattshed.gateway.events import Event, Snapshot
from wattshed.gateway.ledger.ledger import Row, Settlement
from wattshed.gateway.telemetry.board_views import (
    Document,
    MinuteView,
    Standing,
    decision_view,
    ledger_view,
    system_view,
    totals_view,
)
from wattshed.units import S_PER_MIN

STATE_PERIOD_S: Final = 0.9
"""Shorter than the second that watchers wait, so that each of them finds something new."""

MOST_POINTS: Final = 500
MOST_SETTLED: Final = 500


@dataclass(slots=True)
class _Second:
    """What ended within one second."""

    second: int
    requests: int = 0
    known: int = 0
    tokens: int = 0
    energy_j: float = 0.0


class Minute:
    """What ended in the last 60 s, by whole seconds."""

    def __init__(self, began_at_s: float) -> None:
        self._began_at_s = began_at_s
        self._seconds: deque[_Second] = deque(maxlen=int(S_PER_MIN))

    def add(self, row: Row, at_s: float) -> None:
        """Count a request that has ended."""
        seconds, this_s = self._seconds, int(at_s)
        if not seconds or seconds[-1].second != this_s:
            seconds.append(_Second(this_s))
        second = seconds[-1]
        second.requests += 1
        if row.hindsight_energy_j is not None:
            second.known += 1
            second.tokens += (row.input_tokens or 0) + (row.output_tokens or 0)
            second.energy_j += row.hindsight_energy_j

    def view(self, at_s: float) -> MinuteView:
        """The minute that ends now; joules are of requests whose tokens are known."""
        recent = [second for second in self._seconds if second.second > at_s - S_PER_MIN]
        return MinuteView.of(
            window_s=max(min(S_PER_MIN, at_s - self._began_at_s), 1.0),
            requests=sum(second.requests for second in recent),
            tokens=sum(second.tokens for second in recent),
            energy_j=sum(second.energy_j for second in recent) if any(second.known for second in recent) else None,
        )


class Board:
    """Owned by the event loop; `heard` is a hook of telemetry, `standings` asks for breakers and slots as they are."""

    def __init__(
        self,
        standings: Callable[[], Iterable[Standing]],
        *,
        now_s: Callable[[], float] = time.monotonic,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._standings, self._now_s, self._utc = standings, now_s, utc
        self._minute = Minute(now_s())
        self._points: deque[tuple[str, int, int]] = deque(maxlen=MOST_POINTS)
        self._settled: OrderedDict[str, Settlement] = OrderedDict()
        self._state, self._state_at_s = b"", -inf

    def heard(self, event: Event) -> None:
        """Remember what the pictures need of an event."""
        if isinstance(event, Row):
            self._minute.add(event, self._now_s())
            if event.system is not None and event.input_tokens and event.output_tokens:
                self._points.append((event.system, event.input_tokens, event.output_tokens))
        elif isinstance(event, Settlement):
            self._settled[event.request] = event
            if len(self._settled) > MOST_SETTLED:
                self._settled.popitem(last=False)

    def document(self, snapshot: Snapshot) -> Document:
        """Everything at this instant; points name their system by its place in `systems`."""
        at_s = self._now_s()
        standings = {standing.system: standing for standing in self._standings()}
        systems = [system_view(numbers, standings.get(numbers.load.system), at_s) for numbers in snapshot.systems]
        places = {system.name: place for place, system in enumerate(systems)}
        return Document(
            at=self._utc(),
            systems=systems,
            totals=totals_view(snapshot, systems),
            minute=self._minute.view(at_s),
            ledger=ledger_view(snapshot.ledger),
            recent=[decision_view(row, self._settled.get(row.request)) for row in reversed(snapshot.recent)],
            plane=[(places[system], m, n) for system, m, n in self._points if system in places],
            drift=snapshot.drift,
        )

    def state(self, snapshot: Callable[[], Snapshot]) -> bytes:
        """The document in JSON, on one line; made at most once in `STATE_PERIOD_S`."""
        if self._now_s() - self._state_at_s >= STATE_PERIOD_S:
            self._state_at_s = self._now_s()
            self._state = msgspec.json.encode(self.document(snapshot()))
        return self._state


def event_of(state: bytes) -> bytes:
    """A state as one server-sent event."""
    return b"data: " + state + b"\n\n"
