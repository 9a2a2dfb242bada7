"""How fast queues and batches are simulated: a routed fleet against SimPy, and continuous batching over eight servers.

Run by `make bench`. CPU seconds of one process, the best of some runs; compilation is apart, and stated. Times are
noisy: read the ratios.
"""

import time
from collections.abc import Callable, Generator

import numpy as np
import simpy

from wattshed.domain.arrays import Floats
from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.operation import Operation
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import ShortestQueue
from wattshed.predictors.steps import StepCost, StepCosts
from wattshed.simulator.run import simulate
from wattshed.simulator.scenario import Machine, Scenario

LAM, SHAPES = 0.3, 10_000
STEPS = StepCosts(
    StepCost(1.0, 0.5, 0.02, 1e-6, 2.0, 0.3, 4e-5),
    StepCost(1e-3, 5e-4, 4e-5, 2e-9, 8e-3, 2e-5, 1.5e-9, ((64.0, 1e-5),)),
)
"""About a 7B model on one accelerator: steps of 8 ms, prompts of 25,000 tokens a second."""


def cpu_s(action: Callable[[], object], runs: int = 3) -> float:
    """CPU seconds of the quickest of some runs."""
    seconds = []
    for _ in range(runs):
        began = time.process_time()
        action()
        seconds.append(time.process_time() - began)
    return min(seconds)


def table(energy_j: Floats, runtime_s: Floats) -> CostTable:
    """Every query may go anywhere."""
    everywhere = np.ones(runtime_s.shape, np.bool_)
    return CostTable(energy_j, runtime_s, everywhere, ~everywhere)


def routed(queries: int) -> Scenario:
    """Ten pools of one to three slots, busy some 80 %, behind a policy that weighs joules against waits."""
    rng = np.random.default_rng(3)
    machines = tuple(Machine(f"pool {number}", Operation(slots=1 + number % 3)) for number in range(10))
    runtime_s = rng.exponential(1.0, (SHAPES, 1)) * rng.uniform(1, 3, (SHAPES, 10))
    arrival_s = np.cumsum(rng.exponential(1 / 12, queries))
    bucket, ones, policy = rng.integers(0, SHAPES, queries), np.ones(SHAPES, np.int64), Argmin(Objective(LAM))
    return Scenario(machines, table(2 * runtime_s, runtime_s), ones, ones, arrival_s, bucket, policy)


def batched(queries: int, rate: float) -> Scenario:
    """Eight servers of 64 slots behind the shortest queue; lengths spread like Alpaca's, medians 20 and 45 tokens."""
    rng = np.random.default_rng(4)
    m = np.clip(rng.lognormal(3.0, 0.8, queries), 1, 512).astype(np.int64)
    n = np.clip(rng.lognormal(3.8, 1.0, queries), 1, 512).astype(np.int64)
    operation = Operation(slots=64, kv_tokens=100_000, chunk_tokens=2048)
    machines = tuple(Machine(f"server {number}", operation, steps=STEPS) for number in range(8))
    ones = np.ones((queries, 8))
    arrival_s = np.cumsum(rng.exponential(1 / rate, queries))
    return Scenario(machines, table(ones, ones), m, n, arrival_s, np.arange(queries), ShortestQueue())


class Station:
    """A pool in SimPy, with what a router has to know of it."""

    def __init__(self, clock: simpy.Environment, slots: int) -> None:
        self.slots, self.resource = slots, simpy.Resource(clock, slots)
        self.ends_at_s: dict[int, float] = {}
        self.queued_s = self.busy_s = self.energy_j = self.since_s = 0.0

    def wait_s(self, now_s: float) -> float:
        """The wait that our simulator predicts."""
        if len(self.ends_at_s) < self.slots:
            return 0.0
        left_s = sum(self.ends_at_s.values()) - len(self.ends_at_s) * now_s
        return 2 * left_s / self.slots / (self.slots + 1) + self.queued_s / self.slots


def in_simpy(scenario: Scenario) -> list[float]:
    """When each query starts, as SimPy has it; joules and busy seconds are counted as ours are."""
    clock = simpy.Environment()
    stations = [Station(clock, machine.operation.slots) for machine in scenario.machines]
    runtime_s = scenario.costs.runtime_s[scenario.bucket].tolist()
    started_at_s, finished_at_s, energy_j = ([0.0] * len(runtime_s) for _ in range(3))

    def serve(query: int, station: Station, service_s: float) -> Generator[simpy.Event, None, None]:
        with station.resource.request() as slot:
            station.queued_s += service_s
            yield slot
            station.queued_s -= service_s
            if not station.ends_at_s:
                station.since_s = clock.now
            station.ends_at_s[query] = clock.now + service_s
            started_at_s[query] = clock.now
            yield clock.timeout(service_s)
            del station.ends_at_s[query]
            if not station.ends_at_s:
                station.busy_s += clock.now - station.since_s
            finished_at_s[query], energy_j[query] = clock.now, 2 * service_s
            station.energy_j += energy_j[query]

    def arrive() -> Generator[simpy.Event, None, None]:
        for query, at_s in enumerate(scenario.arrival_s.tolist()):
            yield clock.timeout(at_s - clock.now)
            costs = [
                LAM * 2 * each_s + (1 - LAM) * (each_s + station.wait_s(clock.now))
                for each_s, station in zip(runtime_s[query], stations, strict=True)
            ]
            best = costs.index(min(costs))
            clock.process(serve(query, stations[best], runtime_s[query][best]))

    clock.process(arrive())
    clock.run()
    return started_at_s


def main() -> None:
    """Print the table."""
    for name, scenario in (("routed", routed(100)), ("batching", batched(100, 100.0))):
        print(f"{name}: first run, compilation or its cache included {cpu_s(lambda s=scenario: simulate(s), 1):6.2f} s")
    small, large = routed(10_000), routed(300_000)
    np.testing.assert_allclose(simulate(small).service.started_at_s, in_simpy(small), rtol=1e-9)
    ours, theirs = 300_000 / cpu_s(lambda: simulate(large)), 10_000 / cpu_s(lambda: in_simpy(small))
    print(f"10 pools, waits weighed: {ours:11,.0f} queries per CPU second, SimPy {theirs:,.0f}: {ours / theirs:.0f} x")
    for rate in (50.0, 200.0, 300.0):
        scenario = batched(300_000, rate)
        speed, run = 300_000 / cpu_s(lambda s=scenario: simulate(s)), simulate(scenario)
        tokens = scenario.output_tokens.sum()
        present = np.sum(run.service.finished_at_s - scenario.arrival_s) / run.horizon_s / 8
        print(
            f"batching, 8 servers, {present:5.1f} of 64 there: {speed:9,.0f} queries per CPU second,"
            f" {speed * tokens / 3e5 / 1e6:.0f} M tokens"
        )


if __name__ == "__main__":
    main()
