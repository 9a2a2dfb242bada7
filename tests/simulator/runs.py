"""Runs made by hand, whose every figure is known."""

from dataclasses import replace

import numpy as np

from wattshed.domain.cost import CostTable
from wattshed.domain.operation import Operation
from wattshed.policies.fixed import AllTo, RoundRobin
from wattshed.simulator.scenario import Machine, MachineTotals, Run, Scenario, Service

NAN = float("nan")


def scenario() -> Scenario:
    """Four queries of two shapes on a machine of one slot and one of two."""
    costs = CostTable(np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2), np.bool_), np.zeros((2, 2), np.bool_))
    machines = Machine("mac", Operation(idle_power_w=10.0)), Machine("a100", Operation(slots=2), replicas=2)
    arrival_s = np.array([0.0, 1.0, 2.0, 3.0])
    return Scenario(
        machines, costs, np.array([8, 16]), np.array([5, 1]), arrival_s, np.array([0, 0, 1, 0]), RoundRobin()
    )


def run(scale_s: float = 1.0, idle_power_w: float | None = 7.0) -> Run:
    """The first two are served by the mac, one after the other, the third by the a100; the fourth is turned away.

    Ten seconds in all. All times of queries but arrivals are multiplied by `scale_s`.
    """
    scene = scenario()
    service = Service(
        position=np.array([0, 0, 1, -1]),
        replica=np.array([0, 0, 1, -1]),
        started_at_s=scene.arrival_s + scale_s * np.array([0.0, 3.0, 0.0, NAN]),
        first_token_at_s=scene.arrival_s + scale_s * np.array([2.0, 5.0, 0.5, NAN]),
        finished_at_s=scene.arrival_s + scale_s * np.array([4.0, 8.0, 0.5, NAN]),
        energy_j=np.array([100.0, 120.0, 50.0, 0.0]),
        outcome=np.array([0, 0, 0, 1]),
        preemptions=np.zeros(4, np.int64),
    )
    seconds = {"busy": 9.0, "idle": 1.0, "asleep": 0.0, "waking": 0.0, "down": 0.0}
    idle_j = None if idle_power_w is None else 19.5 * idle_power_w
    totals = (
        MachineTotals("mac", 2, seconds, {"busy": 220.0, "idle": 10.0, "asleep": None, "waking": 0.0}),
        MachineTotals("a100", 1, {**seconds, "busy": 0.5, "idle": 19.5}, {"busy": 50.0, "idle": idle_j}),
    )
    return made(scene, service, totals)


def made(scene: Scenario, service: Service, totals: tuple[MachineTotals, ...]) -> Run:
    """A run of ten seconds."""
    return Run(scene, service, totals, horizon_s=10.0, compiled=True)


def all_to(position: int) -> Run:
    """The same run under the name of another policy."""
    known = run()
    return replace(known, scenario=replace(known.scenario, policy=AllTo(position, "mac")))
