"""A fleet in SimPy, which shares no code with ours: routed queries, slots, FIFO queues; the simulator's oracle."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import simpy

from wattshed.simulator.scenario import Scenario


@dataclass
class Station:
    """One machine: who is served until when, and the seconds of service that queue."""

    slots: int
    resource: simpy.Resource
    ends_at_s: dict[int, float] = field(default_factory=dict)
    queued_s: dict[int, float] = field(default_factory=dict)

    def wait_s(self, now_s: float) -> float:
        """The wait that a router predicts: `gateway/fleet/live.py`."""
        if len(self.ends_at_s) < self.slots:
            return 0.0
        left_s = sum(end - now_s for end in self.ends_at_s.values())
        return 2 * left_s / self.slots / (self.slots + 1) + sum(self.queued_s.values()) / self.slots


Choose = Callable[[int, list[float]], int]
"""The query and the predicted waits, one a machine -> the machine."""


def starts(scenario: Scenario, choose: Choose) -> list[tuple[int, float]]:
    """Machine and instant of the start of each query."""
    clock = simpy.Environment()
    stations = [
        Station(machine.operation.slots, simpy.Resource(clock, machine.operation.slots))
        for machine in scenario.machines
    ]
    found = [(-1, 0.0)] * len(scenario.arrival_s)
    clock.process(_arrive(clock, scenario, stations, choose, found))
    clock.run()
    return found


def _arrive(
    clock: simpy.Environment,
    scenario: Scenario,
    stations: list[Station],
    choose: Choose,
    found: list[tuple[int, float]],
) -> Generator[simpy.Event, None, None]:
    """All arrivals, one after the other."""
    runtime_s, bucket = scenario.costs.runtime_s.tolist(), scenario.bucket.tolist()
    for query, arrival_s in enumerate(scenario.arrival_s.tolist()):
        yield clock.timeout(arrival_s - clock.now)
        position = choose(query, [station.wait_s(clock.now) for station in stations])
        service_s = runtime_s[bucket[query]][position]
        clock.process(_serve(clock, query, stations[position], service_s, position, found))


def _serve(
    clock: simpy.Environment,
    query: int,
    station: Station,
    service_s: float,
    position: int,
    found: list[tuple[int, float]],
) -> Generator[simpy.Event, None, None]:
    """One query, from its arrival to its end."""
    with station.resource.request() as slot:
        station.queued_s[query] = service_s
        yield slot
        del station.queued_s[query]
        station.ends_at_s[query] = clock.now + service_s
        found[query] = position, clock.now
        yield clock.timeout(service_s)
        del station.ends_at_s[query]
