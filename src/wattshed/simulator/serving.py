"""Machines that serve a query in a slot of its own: R(m, n) seconds and E(m, n) joules, whoever else is there."""

from wattshed.simulator.compiling import inlined
from wattshed.simulator.desk import leave
from wattshed.simulator.lists import COMPLETED, admit, conclude, withdraw
from wattshed.simulator.records import BUSY, World
from wattshed.simulator.states import enter, expect, rest
from wattshed.simulator.tree import push, remove


@inlined
def fill(world: World, number: int) -> None:
    """Give free slots to the first of the queue, and say when the first of all is done."""
    server, now_s = world.servers[number], world.clock[0].now_s
    slots = world.machines[server.machine].slots
    while server.head >= 0 and server.running < slots:
        query = admit(world, number)
        record = world.queries[query]
        record.started_at_s = now_s
        push(world.slots, server.first_slot, server.in_service, now_s + record.service_s, query)
        server.in_service += 1
    if server.running == 0:
        rest(world, number)
        return
    if server.state != BUSY:
        enter(world, number, BUSY)
    expect(world, number, world.slots[server.first_slot].due)


@inlined
def complete(world: World, number: int) -> None:
    """Let those go whose time is up, and begin with the next."""
    server, now_s = world.servers[number], world.clock[0].now_s
    while server.in_service > 0 and world.slots[server.first_slot].due <= now_s:
        query = world.slots[server.first_slot].query
        remove(world.slots, server.first_slot, server.in_service, 0)
        server.in_service -= 1
        _charge(world, query, 1.0)
        world.queries[query].finished_at_s = now_s
        withdraw(world, number, query)
        leave(world, query)
        conclude(world, query, COMPLETED)
    fill(world, number)


@inlined
def charge_part(world: World, query: int) -> None:
    """Joules of a query that its server lets down: as much of E as it has had of R."""
    record = world.queries[query]
    if record.service_s > 0:
        _charge(world, query, min(1.0, (world.clock[0].now_s - record.started_at_s) / record.service_s))


@inlined
def _charge(world: World, query: int, part: float) -> None:
    """Count so much of E."""
    record = world.queries[query]
    server = world.servers[record.server]
    energy_j = part * world.costs[record.bucket, server.machine].energy_j
    record.energy_j += energy_j
    server.energy_j += energy_j
