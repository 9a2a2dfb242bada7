"""What a world has come to: the queries' fates, and the machines' seconds and joules by state."""

import numpy as np

from wattshed.domain.arrays import Booleans, Floats, Integers
from wattshed.simulator.lists import COMPLETED
from wattshed.simulator.records import World
from wattshed.simulator.rows import read_out
from wattshed.simulator.scenario import STATES, Machine, MachineTotals, Service


def service(world: World) -> Service:
    """What became of the queries."""
    queries = len(world.queries)
    times, counts = np.empty((4, queries)), np.empty((3, queries), np.int64)
    read_out(world.queries, times, counts)
    server, outcome, preemptions = counts
    position = _positions(world, server)
    replica = np.where(server >= 0, server - world.machines.first_server[position], -1)
    started_at_s, first_token_at_s, finished_at_s, energy_j = times
    return Service(position, replica, started_at_s, first_token_at_s, finished_at_s, energy_j, outcome, preemptions)


def positions(world: World) -> Integers:
    """The machine that each query was given to last, -1 where to none yet, shape (Q,)."""
    return _positions(world, world.queries.server)


def totals(world: World, machines: tuple[Machine, ...]) -> tuple[MachineTotals, ...]:
    """What the replicas of each machine did, added up, until now."""
    servers, queries = world.servers, world.queries
    seconds = world.seconds.copy()
    seconds[np.arange(len(servers)), servers.state] += world.clock.now_s[0] - servers.since_s
    served = np.bincount(servers.machine[queries.server[queries.outcome == COMPLETED]], minlength=len(machines))
    return tuple(
        _totals(world, machine, ours=servers.machine == position, seconds=seconds, queries=int(served[position]))
        for position, machine in enumerate(machines)
    )


def _totals(world: World, machine: Machine, *, ours: Booleans, seconds: Floats, queries: int) -> MachineTotals:
    """One machine, `ours` being its replicas among the servers, shape (V,), and `seconds` of shape (V, 5)."""
    by_state = dict(zip(STATES, seconds[ours].sum(axis=0).tolist(), strict=True))
    operation, sleep = machine.operation, machine.operation.sleep
    idle_power_w = operation.idle_power_w
    energy_j = {
        "busy": float(world.servers.energy_j[ours].sum()),
        "idle": None if idle_power_w is None else idle_power_w * by_state["idle"],
        "asleep": sleep.power_w * by_state["asleep"] if sleep else 0.0,
        "waking": sleep.wake_energy_j * int(world.servers.wakes[ours].sum()) if sleep else 0.0,
        "down": None if operation.failures else 0.0,  # nobody gave the power of what is being repaired
    }
    return MachineTotals(machine.name, queries, by_state, energy_j)


def _positions(world: World, server: Integers) -> Integers:
    """The machines of servers, -1 where there is none."""
    machine: Integers = np.append(world.servers.machine, -1)
    return machine[server]  # server -1 is the last
