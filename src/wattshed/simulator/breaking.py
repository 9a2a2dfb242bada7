"""Failures: what runs on a server that goes down is lost and begins anew elsewhere, once; what queues there moves on.

The joules that it has taken stay with the query. A step under way is paid for whole.
"""

import numpy as np

from wattshed.simulator.batching import stop_decoding, take, under_way
from wattshed.simulator.compiling import inlined
from wattshed.simulator.desk import forget
from wattshed.simulator.lists import LOST, conclude, place_again
from wattshed.simulator.records import BUSY, World
from wattshed.simulator.serving import charge_part
from wattshed.simulator.states import come_up, go_down, occupy
from wattshed.simulator.tree import place_of


@inlined
def break_down(world: World, number: int) -> None:
    """Go down, and give back all who were there: first those who ran, in the order of their admission."""
    server = world.servers[number]
    if world.machines[server.machine].batching and server.state == BUSY and not server.starting:
        server.run_steps = under_way(world, number)
        take(world, number)
    query = server.youngest
    while query >= 0 and world.queries[query].before >= 0:
        query = world.queries[query].before
    while query >= 0:
        following = world.queries[query].after
        _interrupt(world, number, query)
        query = following
    occupy(world, number, -server.running)
    _move_queue(world, number)
    server.youngest, server.first_reading, server.promised = -1, -1, 0
    server.in_service, server.share_j = 0, 0.0
    go_down(world, number)
    forget(world, number)


@inlined
def repair(world: World, number: int) -> None:
    """Up again, empty."""
    come_up(world, number)
    forget(world, number)


@inlined
def _interrupt(world: World, number: int, query: int) -> None:
    """Settle what a query owes, and place it again if this is the first time."""
    server, record = world.servers[number], world.queries[query]
    if world.machines[server.machine].batching:
        place = place_of(world.slots, server.first_slot, server.in_service, query)
        if place < server.in_service:
            stop_decoding(world, query, place)
    else:
        charge_part(world, query)
    _begin_anew(world, query)
    if record.retried:
        conclude(world, query, LOST)
    else:
        record.retried = True
        place_again(world, query)


@inlined
def _move_queue(world: World, number: int) -> None:
    """Place all of a queue again."""
    server = world.servers[number]
    query = server.head
    while query >= 0:
        following = world.queries[query].after
        _begin_anew(world, query)
        place_again(world, query)
        query = following
    server.head, server.tail = -1, -1


@inlined
def _begin_anew(world: World, query: int) -> None:
    """Forget what has been computed."""
    record = world.queries[query]
    record.prompt, record.read, record.sampled = record.input_tokens, 0, 0
    record.started_at_s, record.first_token_at_s = np.nan, np.nan
