"""What every system is doing now: who runs, who queues, who sleeps, and how long one would wait.

    begin --> queued --> running --> finished        slots run, the others queue in the order in which they began
         `--------------^
    asleep --(begin)--> waking --(wake_s later)--> awake --(nobody for sleeps_after_s)--> asleep

The wait for a slot is predicted. With all k slots taken, those running have together r seconds left, as they were
predicted, and those queueing need q seconds. If ends are spread evenly, the first is due after a (k + 1)-th of twice
the mean that is left, and then k slots work off the queue:

    wait_s = 2 (r / k) / (k + 1) + q / k

which is exact for one slot. A request that has outlived its prediction has 0 s left. One object owns all of this and
never awaits, so it needs no lock.
"""

from collections.abc import Sequence
from itertools import count
from math import inf
from typing import Final, Literal

import msgspec

from wattshed.gateway.fleet.machine import LiveMachine, Machine, SystemState, Ticket

__all__ = ["Finished", "LiveFleet", "Look", "Outcome", "SystemState", "Ticket"]

Outcome = Literal["completed", "failed", "cancelled"]
"""How a request ended: with its whole answer, by somebody's fault, or because the client left."""

_NOBODY: Final[frozenset[int]] = frozenset()


class Finished(msgspec.Struct, frozen=True):
    """The life of a request on one system, in instants of the monotonic clock; token counts where they are known."""

    ticket: Ticket
    outcome: Outcome
    first_token_at_s: float | None
    finished_at_s: float
    input_tokens: int | None
    output_tokens: int | None


class Look(msgspec.Struct, frozen=True):
    """The fleet at one instant, by position: the predicted wait, the requests that run, and who sleeps.

    Made for nearly every request, hence of plain numbers.
    """

    wait_s: tuple[float, ...]
    in_flight: tuple[int, ...]
    asleep: frozenset[int]


class LiveFleet:
    """Owns the state of all systems; every instant comes in from outside."""

    def __init__(self, systems: Sequence[Machine], since_s: float = 0.0) -> None:
        self.numbers = count(1)
        self._live = [LiveMachine(system, since_s) for system in systems]
        self._sent_s = [0.0] * len(systems)
        self._sleepers = [live for live, system in zip(self._live, systems, strict=True) if system.sleeps_after_s]
        self._sleeps_at_s = self._next_sleep_at_s()
        self._running, self._nobody_waits = [0] * len(systems), (0.0,) * len(systems)
        self._tickets: dict[int, Ticket] = {}
        self._first_token_at_s: dict[int, float] = {}
        self._waited_for: set[int] = set()
        self._look: Look | None = None

    @property
    def sent_s(self) -> tuple[float, ...]:
        """Seconds of work that each has been sent so far, as they were predicted."""
        return tuple(self._sent_s)

    @property
    def machines(self) -> int:
        """How many there are."""
        return len(self._live)

    def asleep(self, at_s: float) -> frozenset[int]:
        """Those that sleep now."""
        return self.look(at_s).asleep

    def look(self, at_s: float) -> Look:
        """What everyone does; kept for as long as nothing changes and nobody would wait."""
        if at_s >= self._sleeps_at_s:
            self._doze(at_s)
        look = self._look
        if look is None or self._waited_for:
            wait_s, asleep = (self._waits(at_s), self._asleep()) if self._waited_for else (self._nobody_waits, _NOBODY)
            look = self._look = Look(wait_s, tuple(self._running), asleep)
        return look

    def begin(self, ticket: Ticket) -> None:
        """Count a request; a sleeping system wakes up for it. ValueError for a number that is counted already."""
        if ticket.number in self._tickets:
            raise ValueError(f"request {ticket.number} has begun already; place it again to begin it again")
        self._tickets[ticket.number] = ticket
        self._live[ticket.machine].begin(ticket)
        self._sent_s[ticket.machine] += ticket.service_s
        self._mark(ticket.machine, ticket.began_at_s)

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
        self._live[ticket.machine].finish(ticket, at_s)
        self._mark(ticket.machine, at_s)
        return True

    def slept(self, position: int, at_s: float) -> None:
        """The next request has to wake this system."""
        self._live[position].asleep = True
        self._mark(position, at_s)

    def woke(self, position: int, at_s: float) -> None:
        """It is awake, whoever woke it."""
        self._live[position].wake(at_s)
        self._mark(position, at_s)

    def states(self, at_s: float) -> tuple[SystemState, ...]:
        """Everything about every system."""
        self.look(at_s)  # whoever has fallen asleep meanwhile
        return tuple(live.state(at_s) for live in self._live)

    def _waits(self, at_s: float) -> tuple[float, ...]:
        """The wait at every system; those that nobody would wait for any more are struck off."""
        wait_s = [0.0] * len(self._live)
        for position in list(self._waited_for):
            wait_s[position] = self._live[position].wait_s(at_s)
            if not self._live[position].keeps_waiting(at_s):
                self._waited_for.remove(position)
        return tuple(wait_s)

    def _asleep(self) -> frozenset[int]:
        return frozenset(position for position in self._waited_for if self._live[position].asleep)

    def _mark(self, position: int, at_s: float) -> None:
        """Remember what has changed at this system, and that the last look is out of date."""
        live = self._live[position]
        self._look, self._running[position] = None, live.running
        if live.keeps_waiting(at_s):
            self._waited_for.add(position)
        else:
            self._waited_for.discard(position)
        if self._sleepers:
            self._sleeps_at_s = self._next_sleep_at_s()

    def _next_sleep_at_s(self) -> float:
        return min((live.sleeps_at_s for live in self._sleepers), default=inf)

    def _doze(self, at_s: float) -> None:
        """Those that nobody has asked for so long have fallen asleep."""
        for position, live in enumerate(self._live):
            if live.sleeps_at_s <= at_s:
                self.slept(position, at_s)
