"""Breakers: when a system counts as ill, and how it comes back."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.gateway.fleet.health import Breaker, Health, HealthSettings
from wattshed.testing import VirtualClock

SETTINGS = HealthSettings(failures_in_row=3, window=4, most_failed=0.5, open_s=5.0, most_open_s=20.0, slow_start_s=10.0)


def opened(at_s: float = 0.0) -> Breaker:
    """A breaker that three failures have opened."""
    breaker = Breaker(SETTINGS)
    for _ in range(3):
        breaker.failed(at_s, "connect_failed")
    return breaker


def test_failures_in_a_row_open_it() -> None:
    """Two failures are bad luck, three are an illness, and the reason is kept."""
    breaker = Breaker(SETTINGS)

    breaker.failed(0.0, "timed_out")
    breaker.failed(0.0, "timed_out")
    assert breaker.available(0.0)

    breaker.failed(0.0, "timed_out")
    assert breaker.condition(0.0).circuit == "open"
    assert breaker.condition(0.0).reason == "timed_out"
    assert not breaker.available(4.9)


def test_too_many_failures_among_successes_open_it_too() -> None:
    """Three of the last four, though never three in a row."""
    breaker = Breaker(SETTINGS)
    breaker.failed(0.0, "500")
    breaker.failed(0.0, "500")
    breaker.succeeded(0.0)

    assert breaker.available(0.0)
    breaker.failed(0.0, "500")

    assert not breaker.available(0.0)


def test_half_open_lets_one_request_through() -> None:
    """While it is under way nobody else goes there; a client that leaves makes room for the next try."""
    breaker = opened()

    assert breaker.available(5.0)
    breaker.begun(5.0)
    assert not breaker.available(5.0)
    breaker.released()
    assert breaker.available(5.0)


def test_a_success_closes_it_and_it_starts_slowly() -> None:
    """Of eight slots one is used at first, half of them after five seconds, all after ten."""
    breaker = opened()
    breaker.begun(5.0)

    breaker.succeeded(6.0)

    assert [breaker.most_in_flight(8, at_s) for at_s in (6.0, 11.0, 16.0)] == [1, 4, 8]
    assert breaker.condition(6.0).circuit == "closed"


def test_each_failed_return_doubles_the_pause_up_to_a_limit() -> None:
    """5, 10, 20 and 20 seconds."""
    breaker, at_s, pauses_s = opened(), 0.0, []

    for _ in range(4):
        retry_at_s = breaker.condition(at_s).retry_at_s or 0.0
        pauses_s.append(retry_at_s - at_s)
        at_s = retry_at_s
        breaker.begun(at_s)
        breaker.failed(at_s, "timed_out")

    assert pauses_s == [5.0, 10.0, 20.0, 20.0]


def test_a_probe_that_fails_or_hangs_opens_the_breaker() -> None:
    """Whatever a probe raises counts, and so does one that takes too long; a later success closes it again."""
    clock = VirtualClock()
    health = Health(2, HealthSettings(failures_in_row=1, probe_timeout_s=0.01), now_s=clock.now_s)

    async def dies() -> None:
        raise ConnectionError

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def lives() -> None:
        return

    asyncio.run(health.probe(0, dies))
    asyncio.run(health.probe(1, hangs))
    assert [condition.reason for condition in health.conditions()] == ["probe: ConnectionError", "probe: TimeoutError"]
    assert not health.available(0)

    clock.sleep(5.0)
    asyncio.run(health.probe(0, lives))
    assert health.conditions()[0].circuit == "closed"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["begun", "released", "succeeded", "failed", "wait"])))
def test_a_breaker_always_lets_somebody_through_in_the_end(calls: list[str]) -> None:
    """Whatever has happened, a minute after the last request has ended it takes one again."""
    breaker, at_s = Breaker(SETTINGS), 0.0

    for call in calls:
        match call:
            case "begun":
                breaker.begun(at_s)
            case "released":
                breaker.released()
            case "succeeded":
                breaker.succeeded(at_s)
            case "failed":
                breaker.failed(at_s, "500")
            case _:
                at_s += 3.0
    breaker.released()

    assert breaker.available(at_s + 60.0)


def test_only_those_that_failed_need_asking() -> None:
    """A system is in trouble from its first failure until it has answered after its slow start, if it had one."""
    clock = VirtualClock()
    health = Health(2, SETTINGS, now_s=clock.now_s)
    for _ in range(3):
        health.failed(0, "timed_out")
    assert health.troubled == {0}
    assert (health.available(0), health.available(1)) == (False, True)

    clock.sleep(SETTINGS.open_s)
    health.succeeded(0)
    assert health.troubled == {0}
    clock.sleep(SETTINGS.slow_start_s)
    health.succeeded(0)

    assert health.troubled == set()


@pytest.mark.parametrize("wrong", [{"failures_in_row": 0}, {"most_failed": 0.0}, {"open_s": 0.0}, {"slow_start_s": -1}])
def test_settings_make_sense(wrong: dict[str, float]) -> None:
    """No failures, no share, no pause: refused."""
    with pytest.raises(ValueError, match=r"health|durations"):
        HealthSettings(**wrong)  # type: ignore[arg-type]  # the point of it
