"""Policies that know of no energy: one system for all, by lot, by turns, to the shortest queue.

The first three do not look at the fleet. Each says where to start; where that system cannot serve, the next one in
order takes over. So under `Random` and `RoundRobin` the neighbour of a limited system serves more than its turn.
"""

from dataclasses import dataclass

from wattshed.policies.policy import Candidate, Number, Score


@dataclass(frozen=True, slots=True)
class AllTo:
    """Every query to one system, the others only for what it cannot run."""

    position: int
    system: str

    @property
    def name(self) -> str:
        """Name with the system."""
        return f"all to {self.system}"

    @property
    def parameters(self) -> tuple[float, ...]:
        """The position of the system."""
        return (float(self.position),)

    @property
    def score(self) -> Score:
        """`one_system`."""
        return one_system

    @property
    def rotates(self) -> bool:
        """No: a shape always goes to the same system."""
        return False


@dataclass(frozen=True, slots=True)
class Random:
    """Every query to a system drawn by lot, all equally likely."""

    @property
    def name(self) -> str:
        """Name."""
        return "random"

    @property
    def parameters(self) -> tuple[float, ...]:
        """None: the lot comes in with the query."""
        return ()

    @property
    def score(self) -> Score:
        """`by_lot`."""
        return by_lot

    @property
    def rotates(self) -> bool:
        """Yes: `draw` decides."""
        return True


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """The systems take turns, query by query."""

    @property
    def name(self) -> str:
        """Name."""
        return "round robin"

    @property
    def parameters(self) -> tuple[float, ...]:
        """None: the turn comes in with the query."""
        return ()

    @property
    def score(self) -> Score:
        """`by_turns`."""
        return by_turns

    @property
    def rotates(self) -> bool:
        """Yes: `serial` decides."""
        return True


@dataclass(frozen=True, slots=True)
class ShortestQueue:
    """Every query to the system where fewest are before it, running or waiting."""

    @property
    def name(self) -> str:
        """Name."""
        return "shortest queue"

    @property
    def parameters(self) -> tuple[float, ...]:
        """None: the queues come in with the state of the fleet."""
        return ()

    @property
    def score(self) -> Score:
        """`by_queue`."""
        return by_queue

    @property
    def rotates(self) -> bool:
        """No: the same queues give the same system."""
        return False


def one_system(candidate: Candidate, parameters: tuple[float, ...]) -> Number:
    """0 on the chosen system, 1 elsewhere."""
    return 1.0 * (candidate.position != parameters[0])


def by_lot(candidate: Candidate, _: tuple[float, ...]) -> Number:
    """Steps round the fleet from the drawn system, which is `draw` * `systems` rounded down."""
    return (candidate.position - candidate.draw * candidate.systems // 1) % candidate.systems


def by_turns(candidate: Candidate, _: tuple[float, ...]) -> Number:
    """Steps round the fleet from the system whose turn it is."""
    return (candidate.position - candidate.serial) % candidate.systems


def by_queue(candidate: Candidate, _: tuple[float, ...]) -> Number:
    """Queries before it: those running, and as many as its predicted wait is long for if they are like it.

    Where all k slots are taken, k queries leave in R seconds, so a wait of W seconds is one for k W / R (Little's law,
    doi:10.1287/opre.9.3.383). `in_flight` counts no query that waits, here or in the gateway.
    """
    return candidate.in_flight * (1 + candidate.wait_s / candidate.runtime_s)
