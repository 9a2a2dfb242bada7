"""Scenarios to simulate: machines of one kind, queries of given shapes, and the steps of a small engine."""

from collections.abc import Sequence

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.cost import CostTable
from wattshed.domain.operation import Operation
from wattshed.policies.fixed import AllTo
from wattshed.policies.policy import Policy
from wattshed.predictors.steps import StepCost, StepCosts
from wattshed.simulator.scenario import Machine, Scenario

ENERGY = StepCost(1.1, 0.5, 0.02, 1e-6, 2.0, 0.3, 4e-5, ((8.0, 0.02),))
RUNTIME = StepCost(0.02, 0.004, 4e-5, 2e-9, 0.008, 2e-4, 1.5e-7, ((8.0, 1e-4),))
STEPS = StepCosts(ENERGY, RUNTIME)
"""A server whose steps bend at 8 sequences."""

FIRST = AllTo(0, "first")


def slots(service_s: Sequence[float] | Floats, arrival_s: Sequence[float] | Floats, operation: Operation) -> Scenario:
    """One machine that serves each query in its own slot: so many seconds, and twice as many joules."""
    served_s = np.asarray(service_s, np.float64)[:, None]
    return scene(served_s, np.asarray(arrival_s, np.float64), (Machine("first", operation),))


def scene(service_s: Floats, arrival_s: Floats, machines: tuple[Machine, ...], *, policy: Policy = FIRST) -> Scenario:
    """Queries of one token each, of `service_s` seconds, shape (Q, S), and twice as many joules."""
    ones, everywhere = np.ones(len(service_s), np.int64), np.ones(service_s.shape, np.bool_)
    costs = CostTable(2 * service_s, service_s, everywhere, ~everywhere)
    return Scenario(machines, costs, ones, ones, arrival_s, np.arange(len(service_s)), policy)


def batching(
    shapes: Sequence[tuple[int, int]],
    arrival_s: Sequence[float] | Floats,
    operation: Operation,
    *,
    replicas: int = 1,
    host_power_w: float = 0.0,
) -> Scenario:
    """One machine that batches continuously; the table, which only a router reads, says 1 s and 1 J."""
    m, n = np.array(shapes, np.int64).reshape(-1, 2).T
    ones = np.ones((m.size, 1))
    costs = CostTable(ones, ones, ones > 0, ones < 0)
    machine = Machine("first", operation, replicas=replicas, steps=STEPS, host_power_w=host_power_w)
    return Scenario((machine,), costs, m, n, np.asarray(arrival_s, np.float64), np.arange(m.size), FIRST)
