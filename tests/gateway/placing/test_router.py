"""Where requests go, and that they are counted once."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from tests.gateway.serving import ask, batch, fleet, forecast, served
from wattshed.domain.cost import Objective
from wattshed.gateway.fleet.live import Outcome, Ticket
from wattshed.gateway.fleet.served import ServedSystem
from wattshed.gateway.placing.asking import Ask, NoSystemError, Wishes
from wattshed.gateway.placing.placement import Placement
from wattshed.gateway.placing.router import Router
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo, Random, RoundRobin
from wattshed.policies.policy import Policy
from wattshed.policies.threshold import Pair, Threshold
from wattshed.testing import VirtualClock

FRUGAL, FAST, SHORT = 0, 1, 2
LEAST_ENERGY, LEAST_TIME = Argmin(Objective(lam=1)), Argmin(Objective(lam=0))


def routing(
    policy: Policy = LEAST_ENERGY, systems: list[ServedSystem] | None = None, **rest: object
) -> tuple[Router, VirtualClock]:
    """A router on a clock of its own; requests would else all go to the fast system."""
    clock = VirtualClock()
    rest = {"baseline": AllTo(FAST, "fast"), "rng": np.random.default_rng(0), **rest}
    return Router(systems or fleet(), policy, now_s=clock.now_s, **rest), clock  # type: ignore[arg-type]  # any field


def refused(router: Router, request: Ask) -> NoSystemError:
    """How the router turns the request down."""
    with pytest.raises(NoSystemError) as caught:
        router.place(request)
    return caught.value


def test_the_cheapest_serves() -> None:
    """At lambda 1 joules decide, at lambda 0 seconds."""
    assert routing(LEAST_ENERGY)[0].place(ask()).decision.system == "frugal"
    assert routing(LEAST_TIME)[0].place(ask()).decision.system == "fast"


def test_the_request_may_bring_its_own_objective() -> None:
    """Lambda by header, key or suffix goes before the policy's."""
    placement = routing(LEAST_ENERGY)[0].place(ask(objective=Objective(lam=0)))

    assert placement.decision.system == "fast"
    assert placement.decision.policy == "least cost at lambda 0"
    assert placement.objective == Objective(lam=0)


def test_policies_without_an_objective_ignore_that_of_the_request() -> None:
    """A threshold has nothing to minimise."""
    placement = routing(AllTo(FRUGAL, "frugal"))[0].place(ask(objective=Objective(lam=0)))

    assert (placement.decision.system, placement.objective) == ("frugal", None)


def test_a_threshold_on_n_sees_the_mean_of_the_forecast() -> None:
    """Half 10 and half 110 tokens are 60 to a threshold."""
    pair = Pair.of(("frugal", "fast", "short"), FRUGAL, FAST)
    at_60, at_59 = (Threshold(pair, most, input_weight=0, output_weight=1) for most in (60, 59))
    request = ask(n=forecast([10, 110]))

    assert routing(at_60)[0].place(request).position == FRUGAL
    assert routing(at_59)[0].place(request).position == FAST


def test_what_is_too_long_goes_elsewhere() -> None:
    """A system whose limits most of the forecast goes beyond is left out, and the reason says so."""
    router, _ = routing()

    fits, fits_not = router.place(ask(m=10, n=20)), router.place(ask(m=10, n=60))

    assert fits.position == SHORT
    assert fits_not.position == FRUGAL
    assert fits_not.bars == {SHORT: "too_long"}
    assert "short is too small for it" in fits_not.reason


def test_one_forecast_in_twenty_may_be_too_long() -> None:
    """A long tail alone does not keep a request from a small system."""
    tail = forecast([20] * 31 + [5000])

    assert routing()[0].place(ask(m=10, n=tail)).position == SHORT


def test_a_guess_at_the_length_alone_refuses_nobody() -> None:
    """Where nobody has room for what may be answered, the input must fit; a length that is known must fit itself."""
    guess = forecast([20] * 9 + [9000])

    assert routing()[0].place(ask(m=10, n=guess)).bars == {}
    assert refused(routing()[0], ask(m=10, n=9000)).reason == "too_long"


@pytest.mark.parametrize(
    ("changes", "reason", "again"),
    [
        ({"serving": ()}, "no_such_model", False),
        ({"available": (False,) * 3}, "unavailable", True),
        ({"input_tokens": 9000}, "too_long", False),
        ({"tried": frozenset({0, 1, 2})}, "all_tried", False),
    ],
)
def test_refusals_say_why(changes: dict[str, object], reason: str, again: bool) -> None:
    """The stage at which the last system dropped out, and whether asking again may help."""
    error = refused(routing()[0], ask(**changes))

    assert error.reason == reason
    assert (error.retry_after_s is not None) is again


def test_a_retry_goes_to_another_system() -> None:
    """What has failed this request does not get it again; the baseline stays what it would have been."""
    router, _ = routing(baseline=AllTo(FRUGAL, "frugal"))

    placement = router.place(ask(tried=frozenset({FRUGAL})))

    assert placement.position == FAST
    assert placement.baseline == FRUGAL


def test_a_queue_is_paid_for_in_seconds() -> None:
    """The fast system with a queue is slower than the other one without, and the price shows the wait."""
    router, _ = routing(LEAST_TIME, fleet(slots=1))
    for _ in range(20):
        router.begin(router.place(ask()))

    placement = router.place(ask())

    waits_s = [state.wait_s for state in router.state()]
    assert {state.name for state in router.state() if state.in_flight} == {"frugal", "fast"}
    assert placement.price.wait_s == waits_s[placement.position]
    assert placement.price.runtime_s == pytest.approx(placement.decision.runtime_s + waits_s[placement.position])


def test_a_full_system_is_left_alone() -> None:
    """Beyond the wait that is tolerated the next best serves, and then nobody; the refusal says when to come back."""
    router, _ = routing(LEAST_ENERGY, fleet(slots=1)[:2], most_wait_s=0.0, baseline=AllTo(1, "fast"))

    placed = [router.begin(router.place(ask(2))).position for _ in range(2)]
    error = refused(router, ask(2))

    assert placed == [FRUGAL, FAST]
    assert error.reason == "busy"
    assert error.retry_after_s == pytest.approx(max(1, min(state.wait_s for state in router.state())))


def test_waking_costs_joules_and_seconds() -> None:
    """A sleeper serves if it is worth waking, once; what it costs is in the decision, the price and the reason."""
    router, _ = routing(LEAST_ENERGY, fleet(wake_energy_j=10.0, wake_s=5.0))
    awake = router.place(ask())
    router.slept(FRUGAL)

    woken = router.place(ask())

    assert woken.position == awake.position == FRUGAL
    assert woken.decision.energy_j == pytest.approx(awake.decision.energy_j + 10)
    assert (woken.price.wake_energy_j, woken.price.wait_s) == (10, 5)
    assert "waking it takes 10 J" in woken.reason
    router.begin(woken)
    assert router.place(ask()).price.wake_energy_j == 0


def test_a_sleeper_that_is_dear_to_wake_sleeps_on() -> None:
    """A thousand joules of waking are more than the difference between the two."""
    router, _ = routing(LEAST_ENERGY, fleet(wake_energy_j=1e6))
    router.slept(FRUGAL)

    assert router.place(ask()).position == FAST


def test_least_energy_within_a_time() -> None:
    """A limit on the p95 runtime asks for the least energy that keeps it, whatever lambda was."""
    router, _ = routing(LEAST_TIME)
    frugal, fast, _ = router.place(ask()).prices
    assert frugal is not None
    assert fast is not None
    loose, tight = (Wishes(max_p95_runtime_s=price.runtime_p95_s * 1.01) for price in (frugal, fast))

    assert router.place(ask(wishes=loose)).position == FRUGAL
    assert router.place(ask(wishes=tight)).position == FAST
    assert router.place(ask(wishes=tight)).bars[FRUGAL] == "beyond_wishes"


def test_least_time_within_an_energy() -> None:
    """A limit on the joules asks for the least time that keeps it, whatever lambda was."""
    router, _ = routing(LEAST_ENERGY)
    frugal, fast, _ = router.place(ask()).prices
    assert frugal is not None
    assert fast is not None
    loose, tight = (Wishes(max_energy_j=price.energy_j * 1.01) for price in (fast, frugal))

    assert router.place(ask(wishes=loose)).position == FAST
    assert router.place(ask(wishes=tight)).position == FRUGAL


def test_the_least_violation_serves_when_nobody_keeps_the_wish() -> None:
    """Nobody answers in a microsecond; the one that comes nearest does, and the reason says so."""
    placement = routing(LEAST_ENERGY)[0].place(ask(wishes=Wishes(max_p95_runtime_s=1e-6)))

    assert placement.position == FAST
    assert not placement.kept
    assert "nobody keeps 19 of 20 within 1e-06 s, and it comes nearest" in placement.reason


def test_the_reason_is_a_sentence() -> None:
    """Who, what it costs there, and what the next best would have cost."""
    placement = routing()[0].place(ask(available=(True, True, False)))

    assert placement.reason.startswith("least cost at lambda 1: frugal is predicted to take ")
    assert " J and " in placement.reason
    assert placement.reason.endswith(" s on fast; short is unavailable")


def test_every_candidate_has_a_price() -> None:
    """A dry run shows those that serve the model, chosen or not, and nothing for the others."""
    placement = routing()[0].place(ask(serving=(FRUGAL, FAST)))

    frugal, fast, short = placement.prices
    assert short is None
    assert frugal is not None
    assert fast is not None
    assert frugal.energy_j < fast.energy_j
    assert placement.baseline_price == fast
    assert placement.price.energy_j == pytest.approx(placement.decision.energy_j)


def test_a_shadow_decides_and_changes_nothing() -> None:
    """The policy on trial says where it would go; the other one still decides."""
    placement = routing(LEAST_ENERGY, shadow=LEAST_TIME)[0].place(ask())

    assert placement.position == FRUGAL
    assert placement.shadow == FAST


def test_a_dry_run_takes_no_turn() -> None:
    """Turns pass when requests begin, not when somebody asks where one would go."""
    router, _ = routing(RoundRobin())

    looked = [router.place(ask(m=10, n=10)).position for _ in range(3)]
    served_by = [router.begin(router.place(ask(m=10, n=10))).position for _ in range(3)]

    assert (looked, served_by) == ([0, 0, 0], [0, 1, 2])


def test_lots_are_drawn() -> None:
    """A random policy spreads requests over everybody."""
    router, _ = routing(Random())

    assert {router.place(ask(m=10, n=10)).position for _ in range(50)} == {0, 1, 2}


def test_company_makes_a_shared_machine_cheaper() -> None:
    """With a batch predictor the second request pays for what it adds, and so follows the first."""
    twins = [served("left", batch(), 8), served("right", batch(1.01), 8)]
    router, _ = routing(LEAST_ENERGY, twins)
    alone = router.place(ask(2))

    router.begin(alone)
    together = router.place(ask(2))

    assert together.position == alone.position
    assert together.decision.energy_j < alone.decision.energy_j


def test_a_life_is_told_when_it_ends() -> None:
    """Instants of beginning, first token and end, once; the second call has nothing to tell."""
    router, clock = routing()
    ticket = router.begin(router.place(ask()))
    clock.sleep(2.0)
    router.first_token(ticket)
    clock.sleep(3.0)
    router.first_token(ticket)

    life, again = (router.finished(ticket, "completed", input_tokens=100, output_tokens=60) for _ in range(2))

    assert again is None
    assert life is not None
    assert (ticket.began_at_s, life.first_token_at_s, life.finished_at_s) == (0, 2, 5)
    assert life.output_tokens == 60


class Interleavings(RuleBasedStateMachine):
    """Requests come, begin, stream, end and are cancelled in any order, twice too; systems fall asleep and wake."""

    placements, tickets = Bundle("placements"), Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        systems = [*fleet(slots=2, wake_s=3.0), served("shared", batch(), 2)]
        self.router, self.clock = routing(Argmin(Objective(lam=0.5)), systems)
        self.open: dict[int, Ticket] = {}

    @rule(target=placements, m=st.integers(1, 3000), n=st.integers(1, 3000))
    def place(self, m: int, n: int) -> Placement:
        """Somebody asks."""
        return self.router.place(ask(4, m=m, n=n))

    @rule(target=tickets, placement=consumes(placements))
    def begin(self, placement: Placement) -> Ticket:
        """And goes there, perhaps much later."""
        ticket = self.router.begin(placement)
        self.open[ticket.number] = ticket
        return ticket

    @rule(ticket=tickets)
    def first_token(self, ticket: Ticket) -> None:
        """At any time, even after the end."""
        self.router.first_token(ticket)

    @rule(ticket=tickets, outcome=st.sampled_from(["completed", "failed", "cancelled"]))
    def finish(self, ticket: Ticket, outcome: Outcome) -> None:
        """Once or often."""
        told = self.router.finished(ticket, outcome)

        assert (told is not None) == (self.open.pop(ticket.number, None) is not None)

    @rule(position=st.integers(0, 3), asleep=st.booleans())
    def sleep(self, position: int, asleep: bool) -> None:
        """Falls asleep, or is woken."""
        (self.router.slept if asleep else self.router.woke)(position)

    @rule(duration_s=st.floats(0, 100))
    def pass_time(self, duration_s: float) -> None:
        """Predictions come due."""
        self.clock.sleep(duration_s)

    @invariant()
    def counts_are_right(self) -> None:
        """Everyone who has begun and not ended is counted where they are; slots are full before anybody queues."""
        for position, state in enumerate(self.router.state()):
            assert state.in_flight + state.queued == sum(one.position == position for one in self.open.values())
            assert state.in_flight == min(2, state.in_flight + state.queued)
            assert 0 <= state.wait_s < np.inf
            assert state.tokens >= 0

    def teardown(self) -> None:
        """When all have gone, nothing is held."""
        for ticket in self.open.values():
            self.router.finished(ticket, "cancelled")

        for state in self.router.state():
            assert (state.in_flight, state.queued, state.tokens) == (0, 0, 0)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(deadline=None, max_examples=50, stateful_step_count=40, derandomize=True)
