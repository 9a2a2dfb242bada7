"""What a server does when: idle, asleep, waking, busy, down, and the instant of its next event.

idle --(sleep_after_s)--> asleep --(a query)--> waking --(wake_s)--> busy --(nobody left)--> idle
any --(exponential time up)--> down --(exponential time down)--> idle
"""

import numpy as np

from wattshed.simulator.compiling import inlined
from wattshed.simulator.records import ASLEEP, DOWN, IDLE, WAKING, World
from wattshed.simulator.tree import settle


@inlined
def enter(world: World, number: int, state: int) -> None:
    """Change the state of a server, and keep account of its seconds."""
    server, now_s = world.servers[number], world.clock[0].now_s
    world.seconds[number, server.state] += now_s - server.since_s
    server.state, server.since_s = state, now_s


@inlined
def expect(world: World, number: int, due_s: float) -> None:
    """Say when the next event of a server is due, unless it fails before.

    A step that is about to start waits for all that happens at the same instant: those who arrive now are in it.
    """
    server = world.servers[number]
    server.due_s = due_s
    key = np.nextafter(due_s, np.inf) if server.starting else due_s
    settle(world.tree, world.keys, 0, world.machines[0].seat, number, min(key, server.fails_at_s))


@inlined
def rest(world: World, number: int) -> None:
    """Nobody is left: idle until the next query, or until it is time to sleep."""
    server = world.servers[number]
    server.share_j = 0.0  # a sum that only grows loses its last digits; this is the time to begin anew
    enter(world, number, IDLE)
    expect(world, number, world.clock[0].now_s + world.machines[server.machine].sleep_after_s)


@inlined
def fall_asleep(world: World, number: int) -> None:
    """Nobody came."""
    enter(world, number, ASLEEP)
    expect(world, number, np.inf)


@inlined
def wake(world: World, number: int) -> None:
    """Somebody came."""
    server = world.servers[number]
    server.wakes += 1
    enter(world, number, WAKING)
    expect(world, number, world.clock[0].now_s + world.machines[server.machine].wake_s)


@inlined
def go_down(world: World, number: int) -> None:
    """Out of order until it is repaired."""
    server = world.servers[number]
    server.fails_at_s, server.starting = np.inf, False
    enter(world, number, DOWN)
    down_s = world.chance.exponential(world.machines[server.machine].mean_down_s)
    expect(world, number, world.clock[0].now_s + down_s)


@inlined
def come_up(world: World, number: int) -> None:
    """In order again, until it fails the next time."""
    server = world.servers[number]
    up_s = world.chance.exponential(world.machines[server.machine].mean_up_s)
    server.fails_at_s = world.clock[0].now_s + up_s
    rest(world, number)


@inlined
def occupy(world: World, number: int, more: int) -> None:
    """So many more run on a server (or fewer, below 0), and account of the slots that are taken."""
    server, now_s = world.servers[number], world.clock[0].now_s
    server.slot_s += server.running * (now_s - server.slot_since_s)
    server.slot_since_s = now_s
    server.running += more
