"""Planner and gateway share one form of a policy, and so decide alike."""

from dataclasses import dataclass

import numpy as np
import pytest

from tests.gateway.serving import batch, prefix, served
from wattshed.datasets.profiles import read_profile
from wattshed.datasets.workloads import read_workload
from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.query import Query, Workload
from wattshed.domain.system import Fleet, FleetState, Pool
from wattshed.gateway.fleet.live import Look
from wattshed.gateway.fleet.served import ServedSystem
from wattshed.gateway.placing.asking import Ask
from wattshed.gateway.placing.router import Router
from wattshed.gateway.placing.scoring import Bound, Scene
from wattshed.gateway.placing.tariff import Expected
from wattshed.planner.costs import cost_table
from wattshed.planner.planning import fit_fleet
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo, Random, RoundRobin
from wattshed.policies.policy import Candidate, Number, Policy, Score, choose, place
from wattshed.policies.threshold import Pair, ProductThreshold, Threshold, TwoThresholds
from wattshed.predictors.length import Forecast
from wattshed.testing import VirtualClock

NAMES = ("M1-Pro", "Swing AMD+A100", "Palmetto Intel+A100", "Palmetto Intel+V100")
PAIR = Pair.of(NAMES, 0, 1)
SHAPES = 3000

POLICIES = (
    Argmin(Objective(lam=1)),
    Argmin(Objective(lam=0.5)),
    Argmin(Objective(lam=0.2, energy_ref_j=100, runtime_ref_s=5)),
    Threshold(PAIR, 32),
    Threshold(PAIR, 60.5, input_weight=0.5, output_weight=1),
    TwoThresholds(PAIR, 32, 64, "and"),
    TwoThresholds(PAIR, 32, 64, "or"),
    ProductThreshold(PAIR, 2000),
    AllTo(0, NAMES[0]),
    AllTo(2, NAMES[2]),
    RoundRobin(),
)


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """One trace, as planner and gateway see it: queries of Alpaca, costs of the paper's machines."""

    workload: Workload
    costs: CostTable
    systems: list[ServedSystem]

    def planned(self, policy: Policy) -> list[int]:
        """Positions by the planner's driver, query after query."""
        m, n = self.workload.input_tokens, self.workload.output_tokens
        return [int(position) for position in place(policy, m, n, self.costs, serial=np.arange(m.size))]

    def routed(self, policy: Policy) -> list[int]:
        """Positions by the gateway's router, the length known and each request over before the next comes."""
        clock, baseline = VirtualClock(), AllTo(1, NAMES[1])
        router = Router(self.systems, policy, baseline=baseline, now_s=clock.now_s, rng=np.random.default_rng(0))
        found = []
        for m, n in zip(self.workload.input_tokens, self.workload.output_tokens, strict=True):
            ask = Ask((0, 1, 2, 3), int(m), Forecast.exactly(int(n)), (True,) * 4)
            ticket = router.begin(router.place(ask))
            router.finished(ticket, "completed")
            found.append(ticket.position)
        return found


@pytest.fixture(scope="module")
def replay() -> Replay:
    """The first shapes of Alpaca in random order, on four machines of which the M1 stops at 512 output tokens."""
    profile, whole = read_profile("bundled:wilkins2024"), read_workload("bundled:alpaca")
    pools = tuple(Pool(name, name, host_power_w=10.0 * at) for at, name in enumerate(NAMES))
    fleet = Fleet("paper", "bundled:wilkins2024", "Llama-2 (7B)", pools)
    drawn = np.random.default_rng(5).permutation(whole.queries.size)[:SHAPES]
    longest = np.argsort(whole.output_tokens)[-20:]
    m, n = (tokens[np.append(drawn, longest)] for tokens in (whole.input_tokens, whole.output_tokens))
    workload = Workload("shapes", m, n, np.ones(m.size, np.int64))
    limits = [profile.limits_of(name, fleet.model) for name in NAMES]
    fitted = fit_fleet(fleet, profile)
    predictors = [fitted.predictor(name, fleet.model) for name in NAMES]
    costs = cost_table(fleet, workload, limits=limits, predictors=predictors)
    systems = [
        ServedSystem(pool.name, predictor, 4, 10_000, limits=limit, host_power_w=pool.host_power_w)
        for pool, predictor, limit in zip(pools, predictors, limits, strict=True)
    ]
    return Replay(workload, costs, systems)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_planner_and_gateway_place_alike(policy: Policy, replay: Replay) -> None:
    """The same trace through the planner's `place` and through the Router: the same decision for every query."""
    assert replay.routed(policy) == replay.planned(policy)


def test_the_replay_is_worth_it(replay: Replay) -> None:
    """Some queries fit not everywhere, and the optimum uses more than one system: else the contract would be hollow."""
    assert not replay.costs.feasible.all()
    assert len(set(replay.planned(Argmin(Objective(lam=0.5))))) > 1


def by_price_list(candidate: Candidate, parameters: tuple[float, ...]) -> Number:
    """Looks its number up by position, which no array can do."""
    return candidate.energy_j + parameters[candidate.position]


@dataclass(frozen=True, slots=True)
class PriceList:
    """A policy of somebody else's that works system by system only."""

    parameters: tuple[float, ...] = (5.0, 0.0, 3.0, 1.0, 2.0, 4.0, 0.0, 6.0, 1.0) * 2
    name: str = "price list"
    rotates: bool = False

    @property
    def score(self) -> Score:
        """`by_price_list`."""
        return by_price_list


def scene(seed: int, systems: int) -> Scene:
    """Anything that a decision may hang on; small whole numbers make ties likely."""
    rng = np.random.default_rng(seed)
    energy_j, runtime_s, wait_s = rng.integers(1, 5, (3, systems)).astype(np.float64).tolist()
    m, n = rng.integers(1, 100, 2).tolist()
    look = Look(tuple(wait_s), tuple(rng.integers(0, 5, systems).tolist()), frozenset())
    return Scene(m, n, Expected(energy_j, runtime_s, 5.0), look, [], int(rng.integers(9)), float(rng.random()))


def state_of(look: Look) -> FleetState:
    """The same as the planner's driver takes it."""
    return FleetState(np.array(look.wait_s), np.array(look.in_flight), np.ones(len(look.wait_s), np.bool_))


@pytest.mark.parametrize("systems", [4, 15])
@pytest.mark.parametrize("policy", [*POLICIES, Random(), PriceList()], ids=lambda policy: policy.name)
def test_at_once_decides_as_one_by_one(policy: Policy, systems: int) -> None:
    """The whole `Decision` is that of `choose`: system, scores, reason and all, in small fleets and large ones."""
    bound, names = Bound.of(policy, systems), [f"system {at}" for at in range(systems)]
    for seed in range(100):
        drawn, missing = scene(seed, systems), seed % systems
        left = [at for at in range(systems) if seed < systems or at not in {missing, missing ^ 1}]
        expected = drawn.expected

        decision = bound.decide(names, drawn, left)

        assert bound.best(drawn, left) == decision.position
        assert decision == choose(
            policy,
            Query(drawn.input_tokens, drawn.output_tokens),
            names,
            expected.energy_j,
            expected.runtime_s,
            [at in left for at in range(systems)],
            state=state_of(drawn.look),
            serial=drawn.serial,
            draw=drawn.draw,
        )


def test_only_what_takes_arrays_is_asked_at_once() -> None:
    """All of ours do; a score that looks something up by position is driven by `choose`."""
    assert all(Bound.of(policy, 4).at_once for policy in (*POLICIES, Random()))
    assert not Bound.of(PriceList(), 4).at_once


def test_batch_predictors_on_idle_nodes_are_placed_as_planned() -> None:
    """With nobody in flight the marginal request is the only one, which is what a plan prices."""
    predictors = [batch(), prefix(1.2, 0.5)]
    m, n = np.exp2(np.random.default_rng(1).uniform(0, 10, (2, 500))).astype(np.int64)
    pools = (Pool("left", "left", host_power_w=3.0), Pool("right", "right"))
    workload = Workload("drawn", m, n, np.ones(500, np.int64))
    fleet = Fleet("two", "nowhere", "any", pools)
    systems = [
        served(pool.name, one, host_power_w=pool.host_power_w) for pool, one in zip(pools, predictors, strict=True)
    ]
    limits = [system.limits for system in systems]
    costs = cost_table(fleet, workload, limits=limits, predictors=predictors)
    policy = Argmin(Objective(lam=0.5))
    router = Router(systems, policy, baseline=policy, now_s=VirtualClock().now_s, rng=np.random.default_rng(0))

    planned = place(policy, m, n, costs)

    asks = [Ask((0, 1), int(a), Forecast.exactly(int(b)), (True, True)) for a, b in zip(m, n, strict=True)]
    assert [router.place(ask).position for ask in asks] == planned.tolist()
    assert set(planned) == {0, 1}
