"""How a world begins: a scenario laid out as records."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.simulator.records import (
    COST,
    IDLE,
    MACHINE,
    QUERY,
    SERVER,
    SLOT,
    STEP,
    Records,
    World,
    clock_record,
)
from wattshed.simulator.rows import lay_out
from wattshed.simulator.scenario import Machine, Scenario

_ENDLESS: Final = 2**62
"""No limit: more than anybody ever counts."""


def build(scenario: Scenario, *, seed: int) -> World:
    """The world before the first arrival: everyone is up, idle and awake."""
    draws, chance = np.random.default_rng(seed).spawn(2)
    machines, steps = _machines(scenario.machines)
    servers = _servers(scenario, machines, chance)
    tree, keys = _tournaments(machines, servers)
    clock = _array(1, clock_record(_edition()))
    clock.open, clock.again_first, clock.again_last = scenario.arrival_s.size, -1, -1
    clock.now_s = scenario.arrival_s[0] if scenario.arrival_s.size else 0.0
    return World(
        clock,
        machines,
        servers,
        _queries(scenario, draws),
        _slots(machines, servers),
        _costs(scenario),
        steps,
        np.zeros((servers.size, 5)),
        tree,
        keys,
        chance,
    )


def _machines(machines: tuple[Machine, ...]) -> tuple[Records, Records]:
    """The machines, and the table of their steps."""
    records = _array(len(machines), MACHINE)
    tables: list[Records] = []
    server, seat = 0, _power_of_2(sum(machine.replicas for machine in machines))
    for position, machine in enumerate(machines):
        record, operation, sleep = records[position], machine.operation, machine.operation.sleep
        record.slots, record.kv_tokens = operation.slots, operation.kv_tokens or _ENDLESS
        record.chunk_tokens = operation.chunk_tokens or _ENDLESS
        most = operation.most_queued
        record.most_present = _ENDLESS if most is None else operation.slots + most
        record.sleep_after_s, record.wake_s = (sleep.after_s, sleep.wake_s) if sleep else (np.inf, 0.0)
        failures = operation.failures
        record.mean_up_s, record.mean_down_s = (failures.mean_up_s, failures.mean_down_s) if failures else (np.inf, 0.0)
        record.first_server, record.replicas = server, machine.replicas
        record.seat, record.seats = seat, _power_of_2(machine.replicas)
        server, seat = server + machine.replicas, seat + record.seats
        record.batching, record.steps = machine.steps is not None, sum(len(table) for table in tables)
        tables.append(_steps(machine, record))
    return records, _joined(tables)


def _steps(machine: Machine, record: np.record) -> Records:
    """Rows of s = 0 to `slots` sequences; the other coefficients go into the machine's record."""
    if machine.steps is None:
        return _array(0, STEP)
    table, costs = _array(machine.operation.slots + 1, STEP), machine.steps
    s = np.arange(table.size)
    # The host draws its power as long as a step lasts, so joules of all kinds have it added to theirs.
    for unit, of, host_power_w in (("s", costs.runtime, 0.0), ("j", costs.energy, machine.host_power_w)):
        column = "runtime_s" if unit == "s" else "energy_j"
        bends = sum((slope * np.maximum(s - at, 0) for at, slope in of.hinges), np.zeros(s.size))
        table[column] = of.per_step + of.per_sequence * s + bends + host_power_w * table.runtime_s
        for name, coefficient, seconds in (
            ("start", of.per_start, costs.runtime.per_start),
            ("prompt", of.per_prompt, costs.runtime.per_prompt),
            ("token", of.per_prompt_token, costs.runtime.per_prompt_token),
            ("square", of.per_prompt_token_squared, costs.runtime.per_prompt_token_squared),
            ("context", of.per_context_token, costs.runtime.per_context_token),
        ):
            record[f"{name}_{unit}"] = coefficient + host_power_w * seconds
    return table


def _servers(scenario: Scenario, machines: Records, chance: np.random.Generator) -> Records:
    """The replicas of all machines."""
    servers = _array(int(machines.replicas.sum()), SERVER)
    servers.machine = np.repeat(np.arange(machines.size), machines.replicas)
    servers.first_slot = np.cumsum(machines.slots[servers.machine]) - machines.slots[servers.machine]
    servers.state = IDLE
    for list_end in ("head", "tail", "first_unforeseen", "youngest", "first_reading"):
        servers[list_end] = -1
    begins_at_s = scenario.arrival_s[0] if scenario.arrival_s.size else 0.0
    servers.since_s = servers.slot_since_s = begins_at_s
    servers.due_s = begins_at_s + machines.sleep_after_s[servers.machine]
    up_s = chance.exponential(size=servers.size)
    servers.fails_at_s = begins_at_s + up_s * machines.mean_up_s[servers.machine]
    return servers


def _tournaments(machines: Records, servers: Records) -> tuple[Integers, Floats]:
    """Of all servers by what is due first, from 0 on, and of each machine's replicas by how many each has."""
    players = int(machines.seat[-1] + machines.seats[-1])
    tree, keys = np.zeros(2 * players, np.int64), np.full(players, np.inf)
    keys[: servers.size] = np.minimum(servers.due_s, servers.fails_at_s)
    _play(tree, keys, 0, _power_of_2(len(servers)))
    for seat, seats, replicas in zip(machines.seat, machines.seats, machines.replicas, strict=True):
        keys[seat : seat + replicas] = 0
        _play(tree, keys, seat, seats)
    return tree, keys


def _play(tree: Integers, keys: Floats, base: int, size: int) -> None:
    """Play all games of one tournament."""
    nodes = tree[2 * base : 2 * (base + size)]
    nodes[size:] = np.arange(size)
    for node in range(size - 1, 0, -1):
        left, right = nodes[2 * node], nodes[2 * node + 1]
        nodes[node] = right if keys[base + right] < keys[base + left] else left


def _slots(machines: Records, servers: Records) -> Records:
    """Every server's slots, all free."""
    each = machines.slots[servers.machine]
    slots = _array(int(each.sum()), SLOT)
    slots.ends_at_s = -np.inf
    slots.free = np.arange(slots.size)
    return slots


def _queries(scenario: Scenario, draws: np.random.Generator) -> Records:
    """The queries, none of them placed."""
    queries = np.empty(scenario.arrival_s.size, QUERY).view(np.recarray)
    shapes = np.column_stack([scenario.input_tokens, scenario.output_tokens]).astype(np.int64)
    instants_s = np.ascontiguousarray(scenario.arrival_s, np.float64)
    lay_out(queries, np.ascontiguousarray(scenario.bucket, np.int64), shapes, instants_s)
    queries.draw = draws.random(queries.size)
    return queries


def _costs(scenario: Scenario) -> Records:
    """What every shape costs on every machine, shape (B, S); too large for a machine's memory is infeasible."""
    table = scenario.costs
    costs = np.empty(table.energy_j.shape, COST).view(np.recarray)
    costs.energy_j, costs.runtime_s, costs.feasible = table.energy_j, table.runtime_s, table.feasible
    held_tokens = scenario.input_tokens + scenario.output_tokens - 1  # the last token is never read
    for position, machine in enumerate(scenario.machines):
        if machine.steps is not None and machine.operation.kv_tokens is not None:
            costs.feasible[:, position] &= held_tokens <= machine.operation.kv_tokens
    return costs


@cache
def _edition() -> str:
    """Some digits of the digest of all sources that are compiled."""
    sources = sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source = path.read_bytes()
        if b"simulator.compiling" in source or path.name == "compiling.py":
            sources.update(source)
    return sources.hexdigest()[:16]


def _array(size: int, record: np.dtype[np.void]) -> Records:
    return np.zeros(size, record).view(np.recarray)


def _joined(tables: list[Records]) -> Records:
    return np.concatenate([_array(0, STEP), *tables]).view(np.recarray)


def _power_of_2(players: int) -> int:
    """The least power of 2 that seats all."""
    return 1 << max(0, players - 1).bit_length()
