"""The simulator against SimPy, an independent implementation: the same machines, and the same waits."""

import numpy as np
import pytest

from tests.oracles.stations import starts
from tests.simulator.scenes import scene, slots
from wattshed.domain.cost import Objective
from wattshed.domain.operation import Operation
from wattshed.policies.argmin import Argmin
from wattshed.simulator.run import simulate
from wattshed.simulator.scenario import Machine

pytestmark = pytest.mark.timeout(300)  # the first run after a change compiles the simulator


@pytest.mark.parametrize("k", [1, 3])
def test_one_queue_has_the_waits_of_simpy(k: int) -> None:
    """M/G/k: every query starts at the same instant."""
    rng = np.random.default_rng(k)
    arrival_s = np.cumsum(rng.exponential(1 / (0.9 * k), 1000))
    scenario = slots(rng.gamma(0.5, 2.0, 1000), arrival_s, Operation(slots=k))

    expected = [at_s for _, at_s in starts(scenario, lambda query, waits_s: 0)]

    np.testing.assert_allclose(simulate(scenario).service.started_at_s, expected, rtol=1e-12)


@pytest.mark.parametrize("lam", [0.0, 0.3])
def test_a_routed_fleet_has_the_waits_of_simpy(lam: float) -> None:
    """Ten machines behind a policy that sees their queues: every query goes to the same one, and starts with it."""
    rng = np.random.default_rng(3)
    machines = tuple(Machine(f"pool {number}", Operation(slots=1 + number % 3)) for number in range(10))
    service_s = rng.exponential(1.0, (1000, 1)) * rng.uniform(1, 3, (1000, 10))
    arrival_s = np.cumsum(rng.exponential(1 / 12, 1000))
    scenario = scene(service_s, arrival_s, machines, policy=Argmin(Objective(lam)))

    def least(query: int, waits_s: list[float]) -> int:
        each_s = service_s[query].tolist()
        costs = [lam * 2 * s + (1 - lam) * (s + wait_s) for s, wait_s in zip(each_s, waits_s, strict=True)]
        return costs.index(min(costs))

    expected = starts(scenario, least)
    run = simulate(scenario)

    assert run.service.position.tolist() == [position for position, _ in expected]
    np.testing.assert_allclose(run.service.started_at_s, [at_s for _, at_s in expected], rtol=1e-12)
    assert (run.service.started_at_s > arrival_s).mean() > 0.1
