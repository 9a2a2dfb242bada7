"""The machines of a fleet that serve one model, by positions of that model's own.

    router of model A --part--> positions 0, 1 --.
                                                 +--> machines 0, 1, 2 of one `LiveFleet`
    router of model B --part--> positions 0, 1 --'

So a request for one model is waited for by those for another on the same machine, and wakes it for them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from wattshed.domain.system import FleetState
from wattshed.gateway.live import LiveFleet, Look, SystemState, Ticket


class Shared(NamedTuple):
    """A fleet, and which of its machines serve one model, in the order of that model's positions."""

    fleet: LiveFleet
    machines: Sequence[int]


class FleetPart:
    """What one router sees of a fleet; `occupied` is told a position where the company has changed."""

    def __init__(self, fleet: LiveFleet, machines: Sequence[int], occupied: Callable[[int], None]) -> None:
        self.machines = tuple(machines)
        self._fleet, self._positions = fleet, {machine: at for at, machine in enumerate(self.machines)}
        self._all = self.machines == tuple(range(fleet.machines))
        self._whole: Look | None = None
        self._mine: Look | None = None
        self._told = [partial(occupied, position) for position in range(len(self.machines))]
        for machine, told in zip(self.machines, self._told, strict=True):
            fleet.listen(machine, told)

    def leave(self) -> None:
        """Hear no more of the fleet, which may outlive this part."""
        for machine, told in zip(self.machines, self._told, strict=True):
            self._fleet.deaf(machine, told)

    def look(self, at_s: float) -> Look:
        """What everyone does, machines elsewhere left out."""
        whole = self._fleet.look(at_s)
        if self._all:
            return whole
        if self._mine is None or whole is not self._whole:
            self._whole, self._mine = whole, self._of(whole)
        return self._mine

    def number(self) -> int:
        """The next number of a request, which no router of the fleet has given to another."""
        return next(self._fleet.numbers)

    def in_flight(self, position: int) -> int:
        """Requests of any model that run on a machine."""
        return self._fleet.in_flight(self.machines[position])

    def begin(self, ticket: Ticket) -> None:
        """Count a request."""
        self._fleet.begin(ticket)

    def first_token(self, ticket: Ticket, at_s: float) -> None:
        """Its answer has begun."""
        self._fleet.first_token(ticket, at_s)

    def first_token_at_s(self, ticket: Ticket) -> float | None:
        """When that was, if it has."""
        return self._fleet.first_token_at_s(ticket)

    def finish(self, ticket: Ticket, at_s: float) -> bool:
        """Free what it held; False where that has been done already."""
        return self._fleet.finish(ticket, at_s)

    def slept(self, position: int, at_s: float) -> None:
        """The next request, of any model, has to wake this machine."""
        self._fleet.slept(self.machines[position], at_s)

    def woke(self, position: int, at_s: float) -> None:
        """It is awake."""
        self._fleet.woke(self.machines[position], at_s)

    def states(self, at_s: float) -> tuple[SystemState, ...]:
        """Everything about every machine of this part."""
        states = self._fleet.states(at_s)
        return tuple(states[machine] for machine in self.machines)

    def _of(self, whole: Look) -> Look:
        fleet, mine = whole.fleet, np.array(self.machines)
        asleep = frozenset(self._positions[machine] for machine in whole.asleep if machine in self._positions)
        state = FleetState(fleet.wait_s[mine], fleet.in_flight[mine], fleet.available[mine])
        return Look(state, np.arange(len(mine)), asleep)
