"""The machines of a fleet that serve one model, by positions of that model's own.

    router of model A --part--> positions 0, 1 --.
                                                 +--> machines 0, 1, 2 of one `LiveFleet`
    router of model B --part--> positions 0, 1 --'

So a request for one model is waited for by those for another on the same machine, and wakes it for them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from wattshed.gateway.fleet.live import LiveFleet, Look, SystemState


class Shared(NamedTuple):
    """A fleet, and which of its machines serve one model, in the order of that model's positions."""

    fleet: LiveFleet
    machines: Sequence[int]


class FleetPart:
    """What one router sees of a `fleet`; whatever bears a ticket is the whole fleet's business."""

    def __init__(self, fleet: LiveFleet, machines: Sequence[int]) -> None:
        self.fleet, self.machines = fleet, tuple(machines)
        self._positions = {machine: at for at, machine in enumerate(self.machines)}
        self._all = self.machines == tuple(range(fleet.machines))
        self._whole: Look | None = None
        self._mine: Look | None = None

    def look(self, at_s: float) -> Look:
        """What everyone does, machines elsewhere left out."""
        whole = self.fleet.look(at_s)
        if self._all:
            return whole
        if self._mine is None or whole is not self._whole:
            self._whole, self._mine = whole, self._of(whole)
        return self._mine

    def slept(self, position: int, at_s: float) -> None:
        """The next request, of any model, has to wake this machine."""
        self.fleet.slept(self.machines[position], at_s)

    def woke(self, position: int, at_s: float) -> None:
        """It is awake."""
        self.fleet.woke(self.machines[position], at_s)

    def states(self, at_s: float) -> tuple[SystemState, ...]:
        """Everything about every machine of this part."""
        states = self.fleet.states(at_s)
        return tuple(states[machine] for machine in self.machines)

    def _of(self, whole: Look) -> Look:
        asleep = frozenset(self._positions[machine] for machine in whole.asleep if machine in self._positions)
        wait_s = tuple([whole.wait_s[machine] for machine in self.machines])
        return Look(wait_s, tuple([whole.in_flight[machine] for machine in self.machines]), asleep)
