"""Slots, queues, states, failures, and the simulation that can be stopped."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulator.scenes import scene, slots
from wattshed.domain.arrays import Floats
from wattshed.domain.cost import Objective
from wattshed.domain.operation import Failures, Operation, Sleep
from wattshed.errors import InputError
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo, Random, RoundRobin, ShortestQueue
from wattshed.policies.policy import Candidate, Policy
from wattshed.simulator.run import Simulation, simulate
from wattshed.simulator.scenario import Machine, Run, Scenario

pytestmark = pytest.mark.timeout(300)  # the first run after a change compiles the simulator

SLEEPY = Operation(idle_power_w=10.0, sleep=Sleep(after_s=5.0, power_w=1.0, wake_s=2.0, wake_energy_j=50.0))


def fleet(queries: int = 300, policy: Policy | None = None, operation: Operation | None = None) -> Scenario:
    """Three machines of two replicas, busy two thirds of the time, the later ones slower."""
    rng = np.random.default_rng(5)
    service_s = rng.exponential(1.0, (queries, 1)) * np.array([1.0, 1.5, 2.0])
    arrival_s = np.cumsum(rng.exponential(1 / 3, queries))
    operation = Operation(slots=2, idle_power_w=5.0) if operation is None else operation
    machines = tuple(Machine(name, operation, replicas=2) for name in "abc")
    return scene(service_s, arrival_s, machines, policy=policy or Argmin(Objective(0.3)))


def test_queries_wait_in_the_order_in_which_they_came() -> None:
    """Two slots, a FIFO queue: each query starts when a slot is free, and holds it for R."""
    run = simulate(slots([4.0, 2.0, 3.0, 1.0], [0.0, 0.0, 1.0, 1.5], Operation(slots=2)))

    assert run.service.started_at_s.tolist() == [0, 0, 2, 4]
    assert run.service.finished_at_s.tolist() == [4, 2, 5, 5]
    assert run.service.energy_j.tolist() == [8, 4, 6, 2]
    assert np.isnan(run.service.first_token_at_s).all()


def test_a_full_queue_turns_away() -> None:
    """With room for one to wait, the third of three is turned away, and the others are served."""
    run = simulate(slots([4.0, 4.0, 4.0, 1.0], [0.0, 1.0, 2.0, 5.0], Operation(most_queued=1)))

    assert run.service.outcome.tolist() == [0, 0, 1, 0]
    assert np.isnan(run.service.finished_at_s[2])


def test_an_end_makes_room_for_who_comes_at_that_instant() -> None:
    """What ends goes before who arrives at the same time."""
    run = simulate(slots([4.0, 4.0], [0.0, 4.0], Operation(most_queued=0)))

    assert run.service.started_at_s.tolist() == [0, 4]


def test_sleep_costs_less_and_waking_takes_its_time() -> None:
    """After 5 s of nothing a machine sleeps; the next query waits 2 s for it and pays 50 J, once."""
    run = simulate(slots([1.0, 1.0, 1.0], [0.0, 20.0, 21.0], SLEEPY))

    assert run.service.started_at_s.tolist() == [0, 22, 23]
    assert run.totals[0].seconds == {"busy": 3, "idle": 5, "asleep": 14, "waking": 2, "down": 0}
    assert run.totals[0].energy_j == {"busy": 6, "idle": 50, "asleep": 14, "waking": 50, "down": 0}


def test_a_router_sees_who_sleeps() -> None:
    """Where waiting is dear, a query goes to the slower machine that is awake; where energy is, to the other."""
    machines = Machine("sleepy", replace(SLEEPY, sleep=Sleep(0.0, 1.0, wake_s=9.0))), Machine("awake", Operation())
    served_s = np.array([[1.0, 3.0]])

    chosen = [
        simulate(scene(served_s, np.array([1.0]), machines, policy=Argmin(Objective(lam)))).service.position[0]
        for lam in (0.0, 1.0)
    ]

    assert chosen == [1, 0]


def test_powers_that_nobody_gave_are_unknown() -> None:
    """No power is taken to be 0 W: idle joules without a power, and those of a machine under repair, are None."""
    run = simulate(slots([1.0], [0.0], Operation(failures=Failures(1e9, 1.0))))

    assert (run.totals[0].energy_j["idle"], run.totals[0].energy_j["down"]) == (None, None)


@pytest.mark.parametrize("policy", [RoundRobin(), Random(), ShortestQueue(), Argmin(Objective(0.3))])
def test_one_seed_is_one_run(policy: Policy) -> None:
    """The same scenario and seed give the same run, bit for bit."""
    failing = Operation(slots=2, failures=Failures(20.0, 5.0))

    first, again = (simulate(fleet(policy=policy, operation=failing), seed=3) for _ in range(2))

    for name in ("started_at_s", "finished_at_s", "energy_j", "position", "outcome"):
        np.testing.assert_array_equal(getattr(first.service, name), getattr(again.service, name))


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 9),
    mean_up_s=st.sampled_from([1.0, 10.0, 1000.0]),
    most_queued=st.sampled_from([None, 0, 3]),
    most_slots=st.integers(1, 3),
)
def test_accounts_balance(seed: int, mean_up_s: float, most_queued: int | None, most_slots: int) -> None:
    """Whatever fails, each query has one outcome, and seconds and joules of machines and queries agree."""
    operation = Operation(most_slots, most_queued, failures=Failures(mean_up_s, 2.0), sleep=Sleep(0.1, 1.0, 0.2))

    run = simulate(fleet(100, operation=operation), seed=seed)

    assert set(run.service.outcome.tolist()) <= {0, 1, 3}
    assert ((run.service.outcome == 0) == np.isfinite(run.service.finished_at_s)).all()
    assert sum(total.queries for total in run.totals) == (run.service.outcome == 0).sum()
    for position, total in enumerate(run.totals):
        assert sum(total.seconds.values()) == pytest.approx(2 * run.horizon_s)
        assert total.seconds["busy"] <= 2 * run.horizon_s * (1 + 1e-12)
        assert position < 3
    spent_j = sum(total.energy_j["busy"] or 0 for total in run.totals)
    assert spent_j == pytest.approx(run.service.energy_j.sum())


def test_what_a_failure_interrupts_is_served_once_more() -> None:
    """A query begins anew elsewhere after one failure, keeps the joules that it took, and is lost with the next."""
    fragile = Operation(failures=Failures(mean_up_s=2.0, mean_down_s=0.1))
    scenario = slots([1.5], [0.0], fragile)
    scenario = replace(scenario, machines=(replace(scenario.machines[0], replicas=2),))

    runs = [simulate(scenario, seed=seed).service for seed in range(60)]

    assert {int(service.outcome[0]) for service in runs} == {0, 3}
    assert max(service.energy_j[0] for service in runs if service.outcome[0] == 0) > 3.0


def test_a_run_may_be_stopped_anywhere() -> None:
    """A run in pieces is the run in one go."""
    whole, pieces = simulate(fleet()), Simulation(fleet())

    at_s = 0.0
    while not pieces.finished:
        at_s += 0.7
        pieces.advance(at_s)

    np.testing.assert_array_equal(whole.service.finished_at_s, pieces.result().service.finished_at_s)


def test_stopping_says_how_many_slots_were_in_use() -> None:
    """The shares of the slots taken in each period add up to the seconds that queries held them."""
    simulation, scenario = Simulation(fleet()), fleet()

    shares = []
    while not simulation.finished:
        before_s = simulation.now_s
        share = simulation.advance(before_s + 10)
        shares.append(share * 4 * (simulation.now_s - before_s))

    service = simulation.result().service
    held_s = service.finished_at_s - service.started_at_s
    expected = np.bincount(service.position, held_s, minlength=len(scenario.machines))
    np.testing.assert_allclose(np.sum(shares, axis=0), expected)


def test_a_policy_may_be_replaced_between_two_pieces() -> None:
    """Queries that come after go where the new policy says."""
    simulation = Simulation(fleet(policy=AllTo(0, "a")))
    simulation.advance(50.0)
    simulation.policy = AllTo(2, "c")
    simulation.advance(np.inf)

    late = fleet().arrival_s > 50

    assert set(simulation.result().service.position[~late].tolist()) == {0}
    assert set(simulation.result().service.position[late].tolist()) == {2}


def fastest(candidate: Candidate, parameters: tuple[float, ...]) -> float:
    """Seconds until the answer is there, in words that numba does not know."""
    return float(str(candidate.wait_s + candidate.runtime_s))


@dataclass(frozen=True)
class Fastest:
    """A policy that cannot be compiled."""

    score: Callable[[Candidate, tuple[float, ...]], float]
    name: str = "fastest"
    parameters: tuple[float, ...] = (0.0, 1.0)
    rotates: bool = False


def test_a_policy_that_cannot_be_compiled_decides_alike() -> None:
    """It runs at Python's speed, says so, and does what its compiled twin does."""
    compiled = simulate(fleet(60, policy=Argmin(Objective(0.0))))
    plain = simulate(fleet(60, policy=Fastest(fastest)))

    assert (compiled.compiled, plain.compiled) == (True, False)
    np.testing.assert_array_equal(compiled.service.finished_at_s, plain.service.finished_at_s)


def test_nothing_to_do_is_done_at_once() -> None:
    """A scenario without queries has a horizon of 0 s."""
    run: Run = simulate(slots([], [], Operation()))

    assert (run.horizon_s, run.totals[0].queries) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrival_s": np.array([1.0, 0.0])}, "arrival times fall"),
        ({"arrival_s": np.array([1.0])}, "1 arrival times for 2"),
        ({"bucket": np.array([0, 7])}, "of no shape"),
        ({"machines": ()}, "costs of 2 shapes on 0 machines"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused(change: dict[str, Floats], message: str) -> None:
    """Parts that do not fit together are an error of input."""
    sound = slots([1.0, 1.0], [0.0, 1.0], Operation())

    with pytest.raises(InputError, match=message):
        simulate(replace(sound, **change))  # type: ignore[arg-type]  # wrong on purpose
