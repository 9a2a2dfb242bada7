"""Lists of queries, linked through their records, and the end of a query."""

from wattshed.simulator.compiling import inlined
from wattshed.simulator.records import World
from wattshed.simulator.states import occupy

COMPLETED, TURNED_AWAY, INFEASIBLE, LOST = range(4)
"""Positions in `scenario.OUTCOMES`."""


@inlined
def queue_last(world: World, number: int, query: int) -> None:
    """Put a query at the end of a server's queue."""
    server = world.servers[number]
    world.queries[query].before, world.queries[query].after = server.tail, -1
    if server.tail < 0:
        server.head = query
    else:
        world.queries[server.tail].after = query
    server.tail = query


@inlined
def queue_first(world: World, number: int, query: int) -> None:
    """Put a query at the front of a server's queue."""
    server = world.servers[number]
    world.queries[query].before, world.queries[query].after = -1, server.head
    if server.head < 0:
        server.tail = query
    else:
        world.queries[server.head].before = query
    server.head = query


@inlined
def admit(world: World, number: int) -> int:
    """Move the first of the queue to those running, and say which it is."""
    server = world.servers[number]
    query: int = server.head
    record = world.queries[query]
    server.head = record.after
    if server.head < 0:
        server.tail = -1
    else:
        world.queries[server.head].before = -1
    record.before, record.after = server.youngest, -1
    if server.youngest >= 0:
        world.queries[server.youngest].after = query
    server.youngest = query
    occupy(world, number, 1)
    return query


@inlined
def withdraw(world: World, number: int, query: int) -> None:
    """Take a query from those running."""
    server, record = world.servers[number], world.queries[query]
    if record.before >= 0:
        world.queries[record.before].after = record.after
    if record.after >= 0:
        world.queries[record.after].before = record.before
    else:
        server.youngest = record.before
    occupy(world, number, -1)


@inlined
def place_again(world: World, query: int) -> None:
    """Put a query at the end of the list of those that need another server."""
    clock = world.clock[0]
    world.queries[query].after = -1
    if clock.again_last < 0:
        clock.again_first = query
    else:
        world.queries[clock.again_last].after = query
    clock.again_last = query


@inlined
def conclude(world: World, query: int, outcome: int) -> None:
    """Say what became of a query."""
    world.queries[query].outcome = outcome
    world.clock[0].open -= 1
