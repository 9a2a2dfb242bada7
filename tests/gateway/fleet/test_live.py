"""Who runs, who queues, who sleeps, and how long one would wait."""

from heapq import heapify, heapreplace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.serving import prefix, served
from wattshed.gateway.fleet.live import LiveFleet, Ticket

SERVICES_S = st.lists(st.floats(0.01, 100), max_size=30)
PROPERTY = settings(deadline=None, max_examples=50, derandomize=True)


def one_system(slots: int = 1, **rest: float) -> LiveFleet:
    """A fleet of one."""
    return LiveFleet([served("node", prefix(), slots, **rest)])


def begun(live: LiveFleet, services_s: list[float], at_s: float = 0.0) -> list[Ticket]:
    """Requests that all began at one instant."""
    tickets = [Ticket(number, 0, 0, at_s, service_s, 10.0) for number, service_s in enumerate(services_s)]
    for ticket in tickets:
        live.begin(ticket)
    return tickets


def wait_s(live: LiveFleet, at_s: float) -> float:
    """The wait at the one system."""
    return float(live.look(at_s).wait_s[0])


@PROPERTY
@given(services_s=SERVICES_S, later_s=st.floats(0, 50))
def test_one_slot_waits_for_all_before(services_s: list[float], later_s: float) -> None:
    """What is left of the one that runs, none if its time is up, and the whole of those that queue."""
    live = one_system()
    begun(live, services_s)

    expected_s = max(0, services_s[0] - later_s) + sum(services_s[1:]) if services_s else 0

    assert wait_s(live, later_s) == pytest.approx(expected_s, abs=1e-9)


@PROPERTY
@given(slots=st.integers(1, 8), queued=st.integers(0, 20), service_s=st.floats(1, 100))
def test_evenly_spread_ends_are_foreseen(slots: int, queued: int, service_s: float) -> None:
    """Slots that fall free in equal steps, as under steady load, free the next one when list scheduling says."""
    live, due_s = one_system(slots), [service_s * (at + 1) / (slots + 1) for at in range(slots)]
    begun(live, due_s + [service_s] * queued)
    heapify(due_s)
    for _ in range(queued):
        heapreplace(due_s, due_s[0] + service_s)

    assert wait_s(live, 0.0) == pytest.approx(min(due_s), abs=service_s / slots)


def test_a_free_slot_is_no_wait() -> None:
    """Nobody waits while a slot is free."""
    live = one_system(slots=3)
    begun(live, [10.0, 10.0])

    assert wait_s(live, 1.0) == 0


def test_who_has_outlived_its_prediction_holds_nobody_up_for_less_than_nothing() -> None:
    """An overdue request counts 0 s, and does not make up for one that has just begun."""
    live = one_system(slots=2)
    begun(live, [1.0, 100.0])

    assert wait_s(live, 50.0) == pytest.approx(2 * (50 / 2) / 3)


def test_the_first_to_queue_is_the_first_to_run() -> None:
    """A slot that falls free goes to the one that has queued longest, from that moment."""
    live = one_system()
    first, second, _ = begun(live, [10.0, 20.0, 40.0])

    live.finish(first, 3.0)

    assert (live.states(3.0)[0].in_flight, live.states(3.0)[0].queued) == (1, 1)
    assert wait_s(live, 5.0) == pytest.approx(second.service_s - 2 + 40)


def test_who_leaves_the_queue_makes_it_shorter() -> None:
    """A queueing client that goes away frees its place and nobody's slot."""
    live = one_system()
    *_, last = begun(live, [10.0, 20.0, 40.0])

    assert live.finish(last, 0.0)

    assert live.states(0.0)[0].in_flight == 1
    assert wait_s(live, 0.0) == pytest.approx(30)


def test_a_sleeper_wakes_for_the_first_request() -> None:
    """Asleep, the whole wake time; waking, what is left of it; then nothing."""
    live = one_system(slots=2, wake_s=8.0)
    live.slept(0, 0.0)

    asleep_s, sleepers = wait_s(live, 0.0), live.look(0.0).asleep
    begun(live, [1.0], at_s=0.0)

    assert (asleep_s, sleepers) == (8, {0})
    assert [wait_s(live, at_s) for at_s in (0.0, 6.0, 9.0)] == [8, 2, 0]
    assert live.look(0.0).asleep == set()


def test_somebody_else_may_wake_it() -> None:
    """A system that is seen awake costs no wake time."""
    live = one_system(wake_s=8.0)
    live.slept(0, 0.0)

    live.woke(0, 1.0)

    assert wait_s(live, 1.0) == 0
    assert not live.states(1.0)[0].asleep


def test_finishing_twice_frees_once() -> None:
    """The second call says that there was nothing left to do."""
    live = one_system(slots=2)
    first, _ = begun(live, [1.0, 1.0])

    assert [live.finish(first, 2.0), live.finish(first, 3.0)] == [True, False]
    assert live.states(3.0)[0].in_flight == 1


def test_a_ticket_begins_once() -> None:
    """Counting a request twice would leave a slot taken for ever."""
    live = one_system(slots=2)
    (ticket,) = begun(live, [1.0])

    with pytest.raises(ValueError, match="begun already"):
        live.begin(ticket)


def test_a_look_never_changes() -> None:
    """What a decision was made on stays as it was, whatever happens next."""
    live = one_system(slots=2)
    before = live.look(0.0)

    begun(live, [5.0, 5.0])

    assert (before.in_flight[0], before.wait_s[0]) == (0, 0)
    assert live.look(0.0).in_flight[0] == 2
    assert live.look(0.0).wait_s[0] > 0


def test_many_short_lives_leave_nothing_behind() -> None:
    """Requests that end long before they were predicted to are forgotten, not kept until that time comes."""
    live = one_system(slots=2)

    for number in range(2000):
        ticket = Ticket(number, 0, 0, float(number), 1e9, 7.5)
        live.begin(ticket)
        live.first_token(ticket, number + 0.1)
        live.finish(ticket, number + 0.5)

    assert len(live._live[0]._ends._heap) < 100
    assert live._first_token_at_s == {}
    assert live.states(2000.0)[0].tokens == 0


def test_a_machine_that_nobody_asks_falls_asleep() -> None:
    """After `sleeps_after_s` without a request, counted from the last one's end, it has to be woken; once."""
    live = one_system(wake_s=8.0, sleeps_after_s=60.0)
    (ticket,) = begun(live, [1.0], at_s=50.0)

    asleep = [live.asleep(at_s) for at_s in (111.0,)]
    live.finish(ticket, 200.0)
    asleep += [live.asleep(at_s) for at_s in (259.0, 260.0)]

    assert asleep == [set(), set(), {0}]
    assert wait_s(live, 300.0) == 8
    live.begin(Ticket(9, 0, 0, 300.0, 1.0, 10.0))
    assert live.asleep(301.0) == set()


def test_a_woken_machine_stays_awake_for_its_time() -> None:
    """Its time without requests begins anew when it is awake, whoever woke it."""
    live = one_system(wake_s=8.0, sleeps_after_s=60.0)
    assert live.asleep(60.0) == {0}

    live.woke(0, 100.0)

    assert [live.states(at_s)[0].asleep for at_s in (159.0, 160.0)] == [False, True]


def test_a_look_notices_who_fell_asleep() -> None:
    """What was looked up while a machine was awake is not taken for what it is later."""
    live = LiveFleet([served("a", prefix(), 1, sleeps_after_s=60.0), served("b", prefix(), 1)])

    before, later = live.look(59.0), live.look(61.0)

    assert (before.asleep, later.asleep) == (set(), {0})
