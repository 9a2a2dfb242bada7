"""Machines that batch continuously: what the steps of `predictors/steps.py` do to those who share them.

Between two steps the scheduler acts as vLLM's does. Memory holds a prompt and what was sampled after it, for each that
runs. Where it cannot hold one token more for all of them, the youngest goes back to the front of the queue, all that it
has to be read again; nobody is admitted in a step that begins so. Else the queue moves up in order, while a slot is
free and memory holds the prompt. A step reads at most `chunk_tokens` of prompts, oldest first.

A step that reads is one event. Steps that only decode are taken together up to the next instant at which anything can
change: an end, memory that is full, or an arrival (`cut`). With s sequences the contexts grow by s a step, so k steps
take k a + b k (k - 1) / 2: the cost is per event, however many the tokens.
"""

from wattshed.simulator.compiling import inlined
from wattshed.simulator.desk import leave
from wattshed.simulator.lists import COMPLETED, conclude, queue_first, withdraw
from wattshed.simulator.reading import finish_reading, forget_reading, read
from wattshed.simulator.records import BUSY, World
from wattshed.simulator.states import enter, expect, rest
from wattshed.simulator.tree import place_of, remove


@inlined
def prepare(world: World, number: int, at_s: float) -> None:
    """Begin a step as soon as all who come at this instant are there."""
    world.servers[number].starting = True
    expect(world, number, at_s)


@inlined
def begin(world: World, number: int) -> None:
    """Begin the next run of steps, or rest."""
    server, now_s = world.servers[number], world.clock[0].now_s
    machine = world.machines[server.machine]
    server.starting = False
    preempted = _make_room(world, number)
    decoding, contexts = server.in_service, server.contexts
    server.began_s, server.step_s, server.step_j = now_s, 0.0, 0.0
    finishing, finishing_contexts = read(world, number, not preempted)
    if server.running == 0:
        rest(world, number)
        return
    sequences, reading = decoding + finishing, server.first_reading >= 0
    step = world.steps[machine.steps + sequences]
    tokens = contexts + finishing_contexts + 0.5 * sequences
    step_j = step.energy_j + machine.context_j * tokens
    server.step_s += step.runtime_s + machine.context_s * tokens
    if sequences == 0:
        _share_reading(world, number, step_j)
    else:
        server.step_j = step_j
    server.slope_s, server.slope_j = machine.context_s * sequences, machine.context_j * sequences
    server.run_steps = 1 if reading or preempted else _undisturbed(world, number)
    if server.state != BUSY:
        enter(world, number, BUSY)
    expect(world, number, _ends_at_s(world, number, server.run_steps))


@inlined
def end(world: World, number: int) -> None:
    """Count the run of steps that ends now, let those go who have all their tokens, and prepare the next."""
    now_s = world.clock[0].now_s
    take(world, number)
    server = world.servers[number]
    while server.in_service > 0 and world.slots[server.first_slot].due <= server.steps:
        query = world.slots[server.first_slot].query
        world.queries[query].finished_at_s = now_s
        stop_decoding(world, query, 0)
        withdraw(world, number, query)
        leave(world, query)
        conclude(world, query, COMPLETED)
    prepare(world, number, now_s)


@inlined
def take(world: World, number: int) -> None:
    """Count the tokens and the joules of a run of steps."""
    server = world.servers[number]
    taken, decoding, share_before_j = server.run_steps, server.in_service, server.share_j
    spent_j = taken * server.step_j + server.slope_j * (taken * (taken - 1) / 2)
    server.steps += taken
    server.contexts += taken * decoding
    sequences = decoding + finish_reading(world, number, share_before_j)
    if sequences > 0:
        server.energy_j += spent_j
        server.share_j += spent_j / sequences


@inlined
def cut(world: World, number: int) -> None:
    """End a run of steps with the step under way, because somebody came who may be in the next."""
    server = world.servers[number]
    if server.starting or server.run_steps == 1 or server.running >= world.machines[server.machine].slots:
        return
    now_s = world.clock[0].now_s
    server.run_steps = under_way(world, number)
    expect(world, number, max(now_s, _ends_at_s(world, number, server.run_steps)))


@inlined
def under_way(world: World, number: int) -> int:
    """How many steps of a run have begun before now, at least one: the root of their time, a quadratic."""
    server, now_s = world.servers[number], world.clock[0].now_s
    gone_s = now_s - server.began_s
    linear_s = server.step_s - server.slope_s / 2
    steps = 1
    if gone_s > 0:
        root = 2 * gone_s / (linear_s + (linear_s * linear_s + 2 * server.slope_s * gone_s) ** 0.5)
        steps = min(max(1, int(root)), server.run_steps)
    while steps > 1 and _ends_at_s(world, number, steps - 1) >= now_s:
        steps -= 1
    while steps < server.run_steps and _ends_at_s(world, number, steps) < now_s:
        steps += 1
    return steps


@inlined
def stop_decoding(world: World, query: int, place: int) -> None:
    """Take a query out of the heap, and settle what it owes for the steps that it was in."""
    record = world.queries[query]
    server = world.servers[record.server]
    remove(world.slots, server.first_slot, server.in_service, place)
    server.in_service -= 1
    record.sampled = server.steps - record.joined
    record.energy_j += server.share_j - record.share_at_j
    server.contexts -= record.input_tokens + record.sampled


@inlined
def _make_room(world: World, number: int) -> bool:
    """Whether anybody had to give up their memory."""
    server = world.servers[number]
    most, preempted = world.machines[server.machine].kv_tokens, False
    while server.contexts + server.promised > most:
        preempted = True
        query = server.youngest
        record = world.queries[query]
        place = place_of(world.slots, server.first_slot, server.in_service, query)
        if place == server.in_service:
            forget_reading(world, number, query)
        else:
            stop_decoding(world, query, place)
        record.prompt, record.read = record.input_tokens + record.sampled, 0
        record.preemptions += 1
        withdraw(world, number, query)
        queue_first(world, number, query)
    return preempted


@inlined
def _undisturbed(world: World, number: int) -> int:
    """Steps until one who decodes has all tokens, or memory is full."""
    server = world.servers[number]
    until_end: int = int(world.slots[server.first_slot].due) - server.steps
    free = world.machines[server.machine].kv_tokens - server.contexts
    until_full: int = free // server.in_service + 1
    return min(until_end, until_full)


@inlined
def _ends_at_s(world: World, number: int, steps: int) -> float:
    """When so many steps of the run will have been taken."""
    server = world.servers[number]
    ends_at_s: float = server.began_s + (steps * server.step_s + server.slope_s * (steps * (steps - 1) / 2))
    return ends_at_s


@inlined
def _share_reading(world: World, number: int, energy_j: float) -> None:
    """Share what a step costs that samples nothing among those who read in it."""
    server, sharers, query = world.servers[number], 0, world.servers[number].first_reading
    while query >= 0:
        sharers += world.queries[query].read > world.queries[query].begin
        query = world.queries[query].after
    query = server.first_reading
    while query >= 0:
        if world.queries[query].read > world.queries[query].begin:
            world.queries[query].energy_j += energy_j / sharers
        query = world.queries[query].after
    server.energy_j += energy_j
