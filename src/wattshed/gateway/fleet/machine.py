"""What one machine is doing now: who runs in its slots, who queues for them, and how long one would wait."""

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, Protocol

import msgspec

_MOST_STALE: Final = 64
"""Entries of ended requests that a heap may hold beside as many as it has live ones."""


class Machine(Protocol):
    """What is known of a machine beforehand; it sleeps once nobody has asked it for so long, if it ever sleeps."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def slots(self) -> int: ...  # noqa: D102

    @property
    def wake_s(self) -> float: ...  # noqa: D102

    @property
    def sleeps_after_s(self) -> float | None: ...  # noqa: D102


class Ticket(msgspec.Struct, frozen=True):
    """One request that occupies a system from `begin` to `finished`; `service_s` is its predicted time in a slot.

    `position` is the router's, `machine` the fleet's, which several routers may share.
    """

    number: int
    position: int
    machine: int
    began_at_s: float
    service_s: float
    tokens: float


@dataclass(frozen=True, slots=True)
class SystemState:
    """What one system is doing: requests running and queueing, their tokens (answers as forecast), and the wait."""

    name: str
    in_flight: int
    queued: int
    tokens: float
    wait_s: float
    asleep: bool


class LiveMachine:
    """The state of one system."""

    def __init__(self, system: Machine, since_s: float) -> None:
        self._system, self._slots = system, system.slots
        self._idle_since_s = since_s
        self.running, self._ends = 0, _Ends()
        self._queue: dict[int, Ticket] = {}
        self._queued_s = self._tokens = 0.0
        self.asleep, self.awake_at_s = False, float("-inf")

    @property
    def sleeps_at_s(self) -> float:
        """When it falls asleep, if nobody comes before."""
        after_s = self._system.sleeps_after_s
        return inf if after_s is None or self.asleep or self.running else self._idle_since_s + after_s

    def wake(self, at_s: float) -> None:
        """It is awake."""
        self.asleep, self.awake_at_s, self._idle_since_s = False, at_s, at_s

    def begin(self, ticket: Ticket) -> None:
        """Give the request a slot, or a place in the queue."""
        if self.asleep:
            self.asleep, self.awake_at_s = False, ticket.began_at_s + self._system.wake_s
        self._tokens += ticket.tokens
        if self.running < self._slots:
            self._start(ticket, ticket.began_at_s)
        else:
            self._queue[ticket.number] = ticket
            self._queued_s += ticket.service_s

    def finish(self, ticket: Ticket, at_s: float) -> None:
        """Take it out of its slot, which goes to the first in the queue, or out of the queue."""
        if self._queue:
            self._finish_before_others(ticket, at_s)
        else:
            self.running -= 1
            self._ends.drop(ticket.number)
        # Sums of floats drift; empty is the time to begin anew.
        self._tokens = self._tokens - ticket.tokens if self.running else 0.0
        self._idle_since_s = max(at_s, self.awake_at_s)

    def wait_s(self, at_s: float) -> float:
        """Predicted seconds until a request that comes now is taken up."""
        wake_s = self._system.wake_s if self.asleep else max(0.0, self.awake_at_s - at_s)
        slots = self._slots
        if self.running < slots:
            return wake_s
        left_s = 2 * self._ends.left_s(at_s) / slots / (slots + 1)
        return max(wake_s, left_s + max(0.0, self._queued_s) / slots)

    def keeps_waiting(self, at_s: float) -> bool:
        """Whether that may be more than nothing."""
        return self.asleep or self.running >= self._slots or self.awake_at_s > at_s

    def state(self, at_s: float) -> SystemState:
        """All of it, as a value."""
        name, queued = self._system.name, len(self._queue)
        return SystemState(name, self.running, queued, self._tokens, self.wait_s(at_s), self.asleep)

    def _finish_before_others(self, ticket: Ticket, at_s: float) -> None:
        """Take it out where others queue: of the queue, or of its slot, which goes to the first of them."""
        if self._queue.pop(ticket.number, None) is not None:
            self._queued_s -= ticket.service_s
        else:
            self.running -= 1
            self._ends.drop(ticket.number)
            first = self._queue.pop(next(iter(self._queue)))
            self._start(first, at_s)
            self._queued_s -= first.service_s
        if not self._queue:
            self._queued_s = 0.0

    def _start(self, ticket: Ticket, at_s: float) -> None:
        self.running += 1
        self._ends.add(ticket.number, max(at_s, self.awake_at_s) + ticket.service_s)


class _Ends:
    """When the requests in the slots are predicted to end, and the seconds left to them together.

    The sum is kept as they come and go: those whose time is up leave it, by a heap.
    """

    def __init__(self) -> None:
        self._pending: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []
        self._sum_at_s = 0.0

    def add(self, number: int, ends_at_s: float) -> None:
        """One more."""
        self._pending[number] = ends_at_s
        self._sum_at_s += ends_at_s
        heappush(self._heap, (ends_at_s, number))

    def drop(self, number: int) -> None:
        """One less."""
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
