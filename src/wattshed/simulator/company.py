"""What a query is expected to cost on a server: the cost table's, or, among others who share steps, what it adds.

    W(m, n, b) = w0 + b (w1 + p1 m + p2 m^2) + n T(b) + c b n (m + n / 2)      T(b): one step of b sequences

is the batch form (`predictors/batch.py`). A query that joins o others adds W(o + 1) - W(o) joules, and takes W(o + 1)
seconds, as the gateway's tariff has it; o is one less than the slots where all of them are taken.
"""

from typing import NamedTuple

from wattshed.simulator.compiling import inlined
from wattshed.simulator.records import World


class Expected(NamedTuple):
    """Joules that a query adds, and the seconds that it takes in a slot."""

    energy_j: float
    runtime_s: float


@inlined
def expected(world: World, query: int, number: int) -> Expected:
    """On a server as it is occupied now."""
    record, server = world.queries[query], world.servers[number]
    machine = world.machines[server.machine]
    if not machine.batching:
        cost = world.costs[record.bucket, server.machine]
        return Expected(cost.energy_j, cost.runtime_s)
    others = min(server.present, machine.slots - 1)
    m, n = float(record.input_tokens), float(record.output_tokens)
    held = n * (m + n / 2)
    among = world.steps[machine.steps + others + 1]
    step_j: float = among.energy_j - world.steps[machine.steps + others].energy_j if others else among.energy_j
    own_j = machine.prompt_j + machine.token_j * m + machine.square_j * m * m + machine.context_j * held
    own_s = machine.prompt_s + machine.token_s * m + machine.square_s * m * m + machine.context_s * held
    begun_j = 0.0 if others else machine.start_j
    return Expected(begun_j + own_j + n * step_j, machine.start_s + (others + 1) * own_s + n * among.runtime_s)
