"""What every system is doing now: who runs, who queues, who sleeps, and how long one would wait.

    begin --> queued --> running --> finished        slots run, the others queue in the order in which they began
         `--------------^
    asleep --(begin)--> waking --(wake_s later)--> awake

The wait for a slot is predicted. With all k slots taken, those running have together r seconds left, as they were
predicted, and those queueing need q seconds. If ends are spread evenly, the first is due after a (k + 1)-th of twice
the mean that is left, and then k slots work off the queue:

    wait_s = 2 (r / k) / (k + 1) + q / k

which is exact for one slot. A request that has outlived its prediction has 0 s left. One object owns all of this and
never awaits, so it needs no lock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final, Literal, NamedTuple

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.system import FleetState
from wattshed.gateway.served import ServedSystem

Outcome = Literal["completed", "failed", "cancelled"]
"""How a request ended: with its whole answer, by somebody's fault, or because the client left."""

_MOST_STALE: Final = 64
"""Entries of ended requests that a heap may hold beside as many as it has live ones."""

_NOBODY: Final[frozenset[int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request that occupies a system from `begin` to `finished`; `service_s` is its predicted time in a slot."""

    number: int
    position: int
    began_at_s: float
    service_s: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The life of a request on one system, in instants of the monotonic clock; token counts where they are known."""

    ticket: Ticket
    outcome: Outcome
    first_token_at_s: float | None
    finished_at_s: float
    input_tokens: int | None
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class SystemState:
    """What one system is doing: requests running and queueing, their tokens (answers as forecast), and the wait."""

    name: str
    in_flight: int
    queued: int
    tokens: float
    wait_s: float
    asleep: bool


class Look(NamedTuple):
    """The fleet at one instant, as policies see it, the positions 0 ... S - 1, and which of them sleep.

    Never changed once made, and made for nearly every request, hence a bare tuple.
    """

    fleet: FleetState
    positions: Integers
    asleep: frozenset[int]


class LiveFleet:
    """Owns the state of all systems; every instant comes in from outside."""

    def __init__(self, systems: Sequence[ServedSystem]) -> None:
        self._live = [_Live(system) for system in systems]
        self._running, self._nobody_waits = np.zeros(len(systems), np.int64), np.zeros(len(systems))
        self._positions, self._all = np.arange(len(systems)), np.ones(len(systems), np.bool_)
        self._tickets: dict[int, Ticket] = {}
        self._first_token_at_s: dict[int, float] = {}
        self._waited_for: set[int] = set()
        self._look: Look | None = None

    def look(self, at_s: float) -> Look:
        """What everyone does; kept for as long as nothing changes and nobody would wait."""
        look = self._look
        if look is None or self._waited_for:
            wait_s, asleep = (self._waits(at_s), self._asleep()) if self._waited_for else (self._nobody_waits, _NOBODY)
            look = self._look = Look(FleetState(wait_s, self._running.copy(), self._all), self._positions, asleep)
        return look

    def in_flight(self, position: int) -> int:
        """Requests that run on a system."""
        return int(self._running[position])

    def begin(self, ticket: Ticket) -> None:
        """Count a request; a sleeping system wakes up for it. ValueError for a number that is counted already."""
        if ticket.number in self._tickets:
            raise ValueError(f"request {ticket.number} has begun already; place it again to begin it again")
        self._tickets[ticket.number] = ticket
        self._live[ticket.position].begin(ticket)
        self._mark(ticket.position, ticket.began_at_s)

    def first_token(self, ticket: Ticket, at_s: float) -> None:
        """Remember when the answer began; of no consequence once the request has finished."""
        if self._tickets.get(ticket.number) is ticket:
            self._first_token_at_s.setdefault(ticket.number, at_s)

    def first_token_at_s(self, ticket: Ticket) -> float | None:
        """When the answer began, if it has; known until the request has finished."""
        return self._first_token_at_s.get(ticket.number)

    def finish(self, ticket: Ticket, at_s: float) -> bool:
        """Free what a request held; False where that has been done already."""
        if self._tickets.get(ticket.number) is not ticket:
            return False
        del self._tickets[ticket.number]
        self._first_token_at_s.pop(ticket.number, None)
        self._live[ticket.position].finish(ticket, at_s)
        self._mark(ticket.position, at_s)
        return True

    def slept(self, position: int, at_s: float) -> None:
        """The next request has to wake this system."""
        self._live[position].asleep = True
        self._mark(position, at_s)

    def woke(self, position: int, at_s: float) -> None:
        """It is awake, whoever woke it."""
        live = self._live[position]
        live.asleep, live.awake_at_s = False, at_s
        self._mark(position, at_s)

    def states(self, at_s: float) -> tuple[SystemState, ...]:
        """Everything about every system."""
        return tuple(live.state(at_s) for live in self._live)

    def _waits(self, at_s: float) -> Floats:
        """The wait at every system, shape (S,); those that nobody would wait for any more are struck off."""
        wait_s = np.zeros(len(self._live))
        for position in list(self._waited_for):
            wait_s[position] = self._live[position].wait_s(at_s)
            if not self._live[position].keeps_waiting(at_s):
                self._waited_for.remove(position)
        return wait_s

    def _asleep(self) -> frozenset[int]:
        return frozenset(position for position in self._waited_for if self._live[position].asleep)

    def _mark(self, position: int, at_s: float) -> None:
        """Remember what has changed at this system, and that the last look is out of date."""
        live = self._live[position]
        self._look, self._running[position] = None, len(live.ends)
        if live.keeps_waiting(at_s):
            self._waited_for.add(position)
        else:
            self._waited_for.discard(position)


class _Live:
    """The state of one system."""

    def __init__(self, system: ServedSystem) -> None:
        self._system = system
        self.ends = _Ends()
        self._queue: dict[int, Ticket] = {}
        self._queued_s = self._tokens = 0.0
        self.asleep, self.awake_at_s = False, float("-inf")

    def begin(self, ticket: Ticket) -> None:
        """Give the request a slot, or a place in the queue."""
        if self.asleep:
            self.asleep, self.awake_at_s = False, ticket.began_at_s + self._system.wake_s
        self._tokens += ticket.tokens
        if len(self.ends) < self._system.slots:
            self._start(ticket, ticket.began_at_s)
        else:
            self._queue[ticket.number] = ticket
            self._queued_s += ticket.service_s

    def finish(self, ticket: Ticket, at_s: float) -> None:
        """Take it out of its slot, which goes to the first in the queue, or out of the queue."""
        if self._queue.pop(ticket.number, None) is None:
            self.ends.drop(ticket.number)
            if self._queue:
                first = self._queue.pop(next(iter(self._queue)))
                self._start(first, at_s)
                self._queued_s -= first.service_s
        else:
            self._queued_s -= ticket.service_s
        self._queued_s = self._queued_s if self._queue else 0.0  # sums of floats drift; empty is the time to begin anew
        self._tokens = self._tokens - ticket.tokens if len(self.ends) else 0.0

    def wait_s(self, at_s: float) -> float:
        """Predicted seconds until a request that comes now is taken up."""
        wake_s = self._system.wake_s if self.asleep else max(0.0, self.awake_at_s - at_s)
        slots = self._system.slots
        if len(self.ends) < slots:
            return wake_s
        left_s = 2 * self.ends.left_s(at_s) / slots / (slots + 1)
        return max(wake_s, left_s + max(0.0, self._queued_s) / slots)

    def keeps_waiting(self, at_s: float) -> bool:
        """Whether that may be more than nothing."""
        return self.asleep or self.awake_at_s > at_s or len(self.ends) >= self._system.slots

    def state(self, at_s: float) -> SystemState:
        """All of it, as a value."""
        name, running, queued = self._system.name, len(self.ends), len(self._queue)
        return SystemState(name, running, queued, self._tokens, self.wait_s(at_s), self.asleep)

    def _start(self, ticket: Ticket, at_s: float) -> None:
        self.ends.add(ticket.number, max(at_s, self.awake_at_s) + ticket.service_s)


class _Ends:
    """When the requests in the slots are predicted to end, and the seconds left to them together.

    The sum is kept as they come and go: those whose time is up leave it, by a heap, and stay counted.
    """

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._pending: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []
        self._sum_at_s = 0.0

    def __len__(self) -> int:
        return len(self._running)

    def add(self, number: int, ends_at_s: float) -> None:
        """One more."""
        self._running.add(number)
        self._pending[number] = ends_at_s
        self._sum_at_s += ends_at_s
        heappush(self._heap, (ends_at_s, number))

    def drop(self, number: int) -> None:
        """One less."""
        self._running.remove(number)
        self._expire(number)
        if len(self._heap) > 2 * len(self._pending) + _MOST_STALE:
            self._heap = [(ends_at_s, pending) for pending, ends_at_s in self._pending.items()]
            heapify(self._heap)

    def left_s(self, at_s: float) -> float:
        """Seconds that are left to all of them together."""
        while self._heap and self._heap[0][0] <= at_s:
            self._expire(heappop(self._heap)[1])
        return max(0.0, self._sum_at_s - len(self._pending) * at_s)

    def _expire(self, number: int) -> None:
        self._sum_at_s -= self._pending.pop(number, 0.0)
        if not self._pending:
            self._sum_at_s = 0.0
