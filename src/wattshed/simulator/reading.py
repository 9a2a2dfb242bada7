"""Prompts: who reads how much in a step, and what that costs."""

import numpy as np

from wattshed.simulator.compiling import inlined
from wattshed.simulator.lists import admit
from wattshed.simulator.records import World
from wattshed.simulator.tree import push


@inlined
def read(world: World, number: int, admits: bool) -> tuple[int, int]:
    """Let those who read go on, and the queue move up; how many prompts that finishes, and their tokens together."""
    server = world.servers[number]
    room, finishing, tokens, beginning = world.machines[server.machine].chunk_tokens, 0, 0, 0
    query = server.first_reading
    while query >= 0:
        room -= _chunk(world, number, query, room)
        finishing, tokens = _counted(world, query, finishing, tokens)
        query = world.queries[query].after
    while admits and room > 0 and _fits(world, number):
        query = admit(world, number)
        record = world.queries[query]
        if np.isnan(record.started_at_s):
            record.started_at_s = world.clock[0].now_s
        if server.first_reading < 0:
            server.first_reading = query
        server.promised += record.prompt
        room -= _chunk(world, number, query, room)
        finishing, tokens = _counted(world, query, finishing, tokens)
        beginning += 1
    if beginning > 0:
        _start(world, number, beginning)
    return finishing, tokens


@inlined
def finish_reading(world: World, number: int, share_j: float) -> int:
    """Let those decode whose prompts the last step has finished; how many they are.

    `share_j` is what a sequence had cost before that step.
    """
    server, now_s, finished = world.servers[number], world.clock[0].now_s, 0
    query = server.first_reading
    while query >= 0 and world.queries[query].read == world.queries[query].prompt:
        record = world.queries[query]
        server.promised -= record.prompt
        server.contexts += record.prompt + 1
        record.joined, record.share_at_j = server.steps - 1 - record.sampled, share_j
        push(world.slots, server.first_slot, server.in_service, record.joined + record.output_tokens, query)
        server.in_service += 1
        if np.isnan(record.first_token_at_s):
            record.first_token_at_s = now_s
        query = record.after
        finished += 1
    server.first_reading = query
    return finished


@inlined
def forget_reading(world: World, number: int, query: int) -> None:
    """Give up the youngest, who reads."""
    server = world.servers[number]
    server.promised -= world.queries[query].prompt
    if server.first_reading == query:
        server.first_reading = -1


@inlined
def _fits(world: World, number: int) -> bool:
    """Whether the first of the queue may be admitted."""
    server = world.servers[number]
    machine = world.machines[server.machine]
    if server.head < 0 or server.running >= machine.slots:
        return False
    fits: bool = server.contexts + server.promised + world.queries[server.head].prompt <= machine.kv_tokens
    return fits


@inlined
def _chunk(world: World, number: int, query: int, room: int) -> int:
    """Read as much of a prompt as there is room for; how many tokens that is."""
    server, record = world.servers[number], world.queries[query]
    machine = world.machines[server.machine]
    record.begin = record.read
    record.read = min(record.prompt, record.begin + room)
    tokens: int = record.read - record.begin
    squares = float(record.read) ** 2 - float(record.begin) ** 2
    server.step_s += machine.token_s * tokens + machine.square_s * squares
    energy_j = machine.token_j * tokens + machine.square_j * squares
    record.energy_j += energy_j
    server.energy_j += energy_j
    return tokens


@inlined
def _counted(world: World, query: int, finishing: int, tokens: int) -> tuple[int, int]:
    """Both counts, with a prompt that this step finishes."""
    record = world.queries[query]
    if record.read == record.prompt:
        return finishing + 1, tokens + record.prompt
    return finishing, tokens


@inlined
def _start(world: World, number: int, beginning: int) -> None:
    """Charge the start of the youngest `beginning`: w0 in equal parts, w1 to each."""
    server = world.servers[number]
    machine = world.machines[server.machine]
    server.step_s += machine.start_s + machine.prompt_s * beginning
    energy_j, query = machine.start_j / beginning + machine.prompt_j, server.youngest
    for _ in range(beginning):
        world.queries[query].energy_j += energy_j
        query = world.queries[query].before
    server.energy_j += machine.start_j + machine.prompt_j * beginning
