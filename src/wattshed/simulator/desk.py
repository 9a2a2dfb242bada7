"""What a router knows of the servers, and what it does: the wait that it predicts, and the query that it hands over.

It sees no steps and no memory: a server has slots, and who is given one is expected to hold it for R(m, n), as it was
expected when it was placed (`company.py`). With all k slots taken, those in them having r seconds left together and
those queueing needing q seconds,

    wait_s = 2 (r / k) / (k + 1) + q / k

as `gateway/fleet/live.py` predicts it, who has outlived its prediction having 0 s left. Within a machine the replica
with the fewest queries is offered, the lowest of equals.
"""

from wattshed.policies.policy import Candidate
from wattshed.simulator.company import expected
from wattshed.simulator.compiling import exposed, inlined
from wattshed.simulator.lists import queue_last
from wattshed.simulator.records import ASLEEP, DOWN, WAKING, World
from wattshed.simulator.states import wake
from wattshed.simulator.tree import settle


@inlined
def offered(world: World, position: int) -> int:
    """The server of a machine that takes the next query; -1 where all are down or full."""
    machine = world.machines[position]
    replica = world.tree[2 * machine.seat + 1]
    return machine.first_server + replica if world.keys[machine.seat + replica] < machine.most_present else -1


@exposed
def candidate(world: World, query: int, position: int, number: int) -> Candidate:
    """One query on one server, as a score sees it."""
    record, server, cost = world.queries[query], world.servers[number], expected(world, query, number)
    slots = world.machines[position].slots
    return Candidate(
        record.input_tokens,
        record.output_tokens,
        cost.energy_j,
        cost.runtime_s,
        wait_s(world, number),
        min(server.present, slots),
        position,
        world.machines.size,
        query,
        record.draw,
    )


@inlined
def wait_s(world: World, number: int) -> float:
    """Predicted seconds until a query that comes now is taken up."""
    server, now_s = world.servers[number], world.clock[0].now_s
    machine = world.machines[server.machine]
    wake_s: float = 0.0
    if server.state == ASLEEP:
        wake_s = machine.wake_s
    elif server.state == WAKING:
        wake_s = server.due_s - now_s
    slots = machine.slots
    if server.present < slots:
        return wake_s
    left_s = 0.0
    for slot in range(server.first_slot, server.first_slot + slots):
        left_s += max(0.0, world.slots[slot].ends_at_s - now_s)
    predicted_s: float = 2 * left_s / slots / (slots + 1) + server.queued_s / slots
    return max(wake_s, predicted_s)


@inlined
def hand_over(world: World, query: int, number: int) -> None:
    """Put a query into the queue of a server, which wakes up for it."""
    server, record = world.servers[number], world.queries[query]
    if server.state == ASLEEP:
        wake(world, number)
    record.server, record.service_s = number, expected(world, query, number).runtime_s
    queue_last(world, number, query)
    _count(world, number, 1)
    if server.present <= world.machines[server.machine].slots:
        at_s = server.due_s if server.state == WAKING else world.clock[0].now_s
        _foresee(world, query, world.slots[server.first_slot + server.present - 1].free, at_s)
    else:
        record.slot = -1
        server.queued_s += record.service_s
        if server.first_unforeseen < 0:
            server.first_unforeseen = query


@inlined
def leave(world: World, query: int) -> None:
    """Take a query that ran out of the count of its server; the first in the queue is foreseen to have its slot."""
    record = world.queries[query]
    number, slot = record.server, record.slot
    server, now_s = world.servers[number], world.clock[0].now_s
    _count(world, number, -1)
    following = server.first_unforeseen
    if following < 0:
        world.slots[slot].ends_at_s = now_s
        world.slots[server.first_slot + server.present].free = slot
        return
    server.first_unforeseen = world.queries[following].after
    service_s = world.queries[following].service_s
    server.queued_s = server.queued_s - service_s if server.first_unforeseen >= 0 else 0.0
    _foresee(world, following, slot, now_s)


@inlined
def forget(world: World, number: int) -> None:
    """Count nobody at a server that is down."""
    server = world.servers[number]
    slots = world.machines[server.machine].slots
    for slot in range(server.first_slot, server.first_slot + slots):
        world.slots[slot].free = slot
    server.first_unforeseen, server.queued_s = -1, 0.0
    _count(world, number, -server.present)


@inlined
def _count(world: World, number: int, more: int) -> None:
    """So many more are at a server, and who has the fewest of the replicas that are up."""
    server = world.servers[number]
    machine = world.machines[server.machine]
    server.present += more
    key = 1e300 if server.state == DOWN else float(server.present)
    settle(world.tree, world.keys, machine.seat, machine.seats, number - machine.first_server, key)


@inlined
def _foresee(world: World, query: int, slot: int, at_s: float) -> None:
    """Expect a query to hold a slot from an instant on."""
    world.queries[query].slot = slot
    world.slots[slot].ends_at_s = at_s + world.queries[query].service_s
