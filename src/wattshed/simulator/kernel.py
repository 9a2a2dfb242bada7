"""The loop: whatever is due first happens, until a query needs a server.

It stops there (`next_query`) for a policy to decide, takes what was decided (`assign`), and goes on. So nothing here
but `drive` hangs on the policy, and all else is compiled once for all policies. At one instant, what ends goes before
who arrives, and who arrives before the steps that begin.
"""

import numpy as np

from wattshed.policies.policy import Score
from wattshed.simulator.batching import begin, cut, end, prepare
from wattshed.simulator.breaking import break_down, repair
from wattshed.simulator.compiling import compiled, exposed, inlined
from wattshed.simulator.desk import candidate, hand_over, offered
from wattshed.simulator.lists import INFEASIBLE, LOST, TURNED_AWAY, conclude
from wattshed.simulator.records import BUSY, DOWN, IDLE, WAKING, World
from wattshed.simulator.serving import complete, fill
from wattshed.simulator.states import fall_asleep


def drive(world: World, until_s: float, score: Score, parameters: tuple[float, ...]) -> None:
    """Let time pass until an instant, or until every query has its outcome.

    Compiled for each score that can be; else it runs as it stands, and asks the score in Python.
    """
    query = next_query(world, until_s)
    while query >= 0:
        best, least = -1, np.inf
        for position in range(len(world.machines)):
            number = open_to(world, query, position)
            if number >= 0:
                cost = score(candidate(world, query, position, number), parameters)
                if cost < least:
                    best, least = number, cost
        assign(world, query, best)
        query = next_query(world, until_s)


@compiled
def next_query(world: World, until_s: float) -> int:
    """The next query that needs a server, at `clock.now_s`; -1 where there is none before the instant."""
    clock = world.clock[0]
    while clock.open > 0:
        query: int = clock.again_first
        if query >= 0:
            clock.again_first = world.queries[query].after
            if clock.again_first < 0:
                clock.again_last = -1
            return query
        number = world.tree[1]
        due_s, arrival_s = world.keys[number], np.inf
        if clock.coming < world.queries.size:
            arrival_s = world.queries[clock.coming].arrival_s
        if min(due_s, arrival_s) > until_s:
            clock.now_s = until_s
            return -1
        if arrival_s < due_s:
            clock.now_s = arrival_s
            query = clock.coming
            clock.coming += 1
            return query
        _happen(world, number)
        if world.servers[number].starting and world.servers[number].due_s < arrival_s:
            begin(world, number)
    return -1


@exposed
def open_to(world: World, query: int, position: int) -> int:
    """The server of a machine that may take a query; -1 where none may."""
    return offered(world, position) if world.costs[world.queries[query].bucket, position].feasible else -1


@compiled
def assign(world: World, query: int, number: int) -> None:
    """Give a query to a server, -1 where none may take it."""
    if number < 0:
        conclude(world, query, _refusal(world, query))
        return
    hand_over(world, query, number)
    server = world.servers[number]
    machine = world.machines[server.machine]
    if not machine.batching:
        if server.running < machine.slots and (server.state == BUSY or server.state == IDLE):
            fill(world, number)
    elif server.state == BUSY:
        cut(world, number)
    elif server.state == IDLE and not server.starting:
        prepare(world, number, world.clock[0].now_s)


@inlined
def _refusal(world: World, query: int) -> int:
    """The outcome of a query that no server may take."""
    record = world.queries[query]
    if record.server >= 0:
        return LOST
    for position in range(world.machines.size):
        if world.costs[record.bucket, position].feasible:
            return TURNED_AWAY
    return INFEASIBLE


@inlined
def _happen(world: World, number: int) -> None:
    """What is due at a server."""
    server = world.servers[number]
    if server.fails_at_s < server.due_s:
        world.clock[0].now_s = server.fails_at_s
        break_down(world, number)
        return
    world.clock[0].now_s = server.due_s
    batching = world.machines[server.machine].batching
    if server.state == DOWN:
        repair(world, number)
    elif server.state == IDLE and not server.starting:
        fall_asleep(world, number)
    elif not batching:
        complete(world, number)
    elif server.starting or server.state == WAKING:
        begin(world, number)
    else:
        end(world, number)
