"""One policy in three drivers: planner, simulator and gateway decide alike, query by query, on one trace under load."""

from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
import pytest

from tests.gateway.serving import ask, batch, fleet, served
from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.operation import Operation
from wattshed.domain.system import FleetState
from wattshed.gateway.fleet.live import Ticket
from wattshed.gateway.fleet.served import ServedSystem
from wattshed.gateway.placing.router import Router
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo, Random, RoundRobin, ShortestQueue
from wattshed.policies.policy import Policy, place
from wattshed.policies.priced import Priced
from wattshed.policies.threshold import Pair, ProductThreshold, Threshold, TwoThresholds
from wattshed.predictors.steps import StepCosts
from wattshed.simulator.run import simulate
from wattshed.simulator.scenario import Machine, Run, Scenario
from wattshed.testing import VirtualClock

SLOTS, QUERIES, SEED = 2, 120, 5
NAMES = ("frugal", "fast", "short")
PAIR = Pair.of(NAMES, 0, 1)

POLICIES = (
    AllTo(1, "fast"),
    Random(),
    RoundRobin(),
    ShortestQueue(),
    Threshold(PAIR, 60),
    Threshold(PAIR, 50, input_weight=0.5, output_weight=1),
    Argmin(Objective(lam=1)),
    Argmin(Objective(lam=0)),
    Argmin(Objective(lam=0.4, energy_ref_j=3)),
    Priced(Objective(lam=0.5), (2.0, 0.5, 3.0)),
    Priced(Objective(lam=0.5), (2.0, 0.5, 3.0), (0.0, 4.0, -1.0)),
    ProductThreshold(PAIR, 2000),
    TwoThresholds(PAIR, 60, 40, "and"),
    TwoThresholds(PAIR, 60, 40, "or"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Q queries, each a shape of its own, and what they cost on three systems."""

    arrival_s: Floats
    input_tokens: Integers
    output_tokens: Integers
    systems: tuple[ServedSystem, ...]
    costs: CostTable

    def scenario(self, policy: Policy) -> Scenario:
        """The same for the simulator."""
        machines = tuple(Machine(one.name, Operation(slots=one.slots), steps=_steps(one)) for one in self.systems)
        shapes = self.input_tokens, self.output_tokens
        return Scenario(machines, self.costs, *shapes, self.arrival_s, np.arange(QUERIES), policy)


@pytest.fixture(scope="module")
def trace() -> Trace:
    """Queries that come a little faster than two slots a system can serve them; some are too long for one of these."""
    return traced(tuple(fleet(slots=SLOTS)), load=2)


@pytest.fixture(scope="module")
def batching_trace() -> Trace:
    """The same for two systems that batch, of two and of five slots, and one that does not."""
    batching = served("frugal", batch(), 5), served("fast", batch(2.0, 0.4), SLOTS)
    return traced((*batching, fleet(slots=SLOTS)[2]), load=6)


def traced(systems: tuple[ServedSystem, ...], *, load: float) -> Trace:
    """Queries at so many times the pace at which all slots would serve them one by one."""
    rng = np.random.default_rng(11)
    m, n = rng.integers(1, 120, QUERIES), rng.integers(1, 60, QUERIES)
    said = [system.curves.expect(m, n) for system in systems]
    feasible = np.column_stack([system.limits.allow(m, n) for system in systems])
    costs = CostTable(
        np.column_stack([one.energy_j for one in said]),
        np.column_stack([one.runtime_s for one in said]),
        feasible,
        np.zeros(feasible.shape, np.bool_),
    )
    pace_s = float(costs.runtime_s.mean()) / (SLOTS * len(systems)) / load
    return Trace(np.cumsum(rng.exponential(pace_s, QUERIES)), m, n, systems, costs)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_planner_simulator_and_gateway_decide_alike(policy: Policy, trace: Trace) -> None:
    """Each query goes to the same system in all three, as the state at its arrival has it; some of them had to wait."""
    run = simulate(trace.scenario(policy), seed=SEED)

    served, states = _served(policy, trace, run)
    planned = _planned(policy, trace, states)

    assert served == run.service.position.tolist()
    assert planned == served
    assert (run.service.started_at_s > trace.arrival_s).sum() > QUERIES / 10


@pytest.mark.parametrize("policy", [Argmin(Objective(lam=1)), Argmin(Objective(lam=0.4))], ids=lambda one: one.name)
def test_they_price_company_alike(policy: Policy, batching_trace: Trace) -> None:
    """Where requests share steps, each is priced by what it adds to those that are there, in all three."""
    run = simulate(batching_trace.scenario(policy), seed=SEED)

    positions, states = _served(policy, batching_trace, run)

    assert positions == run.service.position.tolist()
    assert _planned(policy, batching_trace, states) == positions
    assert len(set(positions)) > 1


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """What a query met: the fleet, what it would cost there, its turn and its lot."""

    state: FleetState
    energy_j: Floats
    runtime_s: Floats
    serial: int
    draw: float


def _steps(system: ServedSystem) -> StepCosts | None:
    """What its steps cost, if it batches."""
    return None if system.batch is None else StepCosts.of(system.batch)


def _served(policy: Policy, trace: Trace, run: Run) -> tuple[list[int], list[Met]]:
    """Positions by the gateway's router, on a clock that shows the run's instants; queries end as they did there."""
    clock = VirtualClock()
    rng = np.random.default_rng(SEED).spawn(2)[0]
    router = Router(trace.systems, policy, baseline=AllTo(1, "fast"), now_s=clock.now_s, rng=rng)
    under_way: list[tuple[float, int, Ticket]] = []
    positions, met = [], []
    for number, at_s in enumerate(trace.arrival_s.tolist()):
        while under_way and under_way[0][0] <= at_s:
            ended_at_s, _, ticket = heappop(under_way)
            clock.sleep(ended_at_s - clock.now_s())
            router.finished(ticket, "completed")
        clock.sleep(at_s - clock.now_s())
        request = ask(m=int(trace.input_tokens[number]), n=int(trace.output_tokens[number]))
        placement = router.place(request)
        scene, look = placement.scene, placement.scene.look
        costs = np.array(scene.expected.energy_j), np.array(scene.expected.runtime_s)
        state = FleetState(np.array(look.wait_s), np.array(look.in_flight), np.ones(len(trace.systems), np.bool_))
        met.append(Met(state, *costs, scene.serial, scene.draw))
        positions.append(placement.position)
        heappush(under_way, (float(run.service.finished_at_s[number]), number, router.begin(placement)))
    return positions, met


def _planned(policy: Policy, trace: Trace, met: list[Met]) -> list[int]:
    """Positions by the planner's driver, given what the gateway met."""
    positions = []
    for number, one in enumerate(met):
        row = slice(number, number + 1)
        costs = CostTable(
            one.energy_j[None, :], one.runtime_s[None, :], trace.costs.feasible[row], trace.costs.extrapolated[row]
        )
        shape = trace.input_tokens[row], trace.output_tokens[row]
        (position,) = place(policy, *shape, costs, state=one.state, serial=one.serial, draw=one.draw)
        positions.append(int(position))
    return positions
