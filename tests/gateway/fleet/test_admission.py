"""Slots, queues and allowances."""

import asyncio
from collections.abc import Coroutine

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.gateway.fleet.admission import Allowance, Allowances, Bucket, Slots
from wattshed.gateway.wire.refusals import Refusal
from wattshed.testing import VirtualClock


def test_a_bucket_holds_a_minute_and_fills_evenly() -> None:
    """60 a minute: 60 at once, then one a second."""
    bucket = Bucket(60.0)
    bucket.take(0.0, 100.0)

    bucket.take(60.0, 100.0)

    assert bucket.wait_s(1.0, 100.0) == pytest.approx(1.0)
    assert bucket.wait_s(1.0, 101.0) == pytest.approx(0.0)


def test_a_key_over_its_rate_is_told_when_to_come_again() -> None:
    """429 with the seconds; nothing is taken from it for that."""
    clock = VirtualClock(5.0)
    allowances, two = Allowances(now_s=clock.now_s), Allowance(requests_per_minute=2)
    allowances.spend("alice", two, 10)
    allowances.spend("alice", two, 10)

    for _ in range(3):
        with pytest.raises(Refusal) as refused:
            allowances.spend("alice", two, 10)
    allowances.spend("bob", two, 10)

    assert (refused.value.status, refused.value.retry_after_s) == (429, pytest.approx(30.0))


def test_tokens_are_settled_afterwards() -> None:
    """What a request used beyond what was expected of it is missing for the next, and what it did not use is not."""
    clock = VirtualClock(5.0)
    allowances, most = Allowances(now_s=clock.now_s), Allowance(tokens_per_minute=600)
    allowances.spend("alice", most, 100)

    allowances.settle("alice", 500)

    with pytest.raises(Refusal) as refused:
        allowances.spend("alice", most, 100)
    assert refused.value.retry_after_s == pytest.approx(10.0)


def test_who_waits_longest_is_served_first() -> None:
    """A freed slot goes to the head of the queue; nobody jumps it."""

    async def scene() -> list[str]:
        slots, served = Slots([1], most_waiting=5), list[str]()

        async def come(name: str) -> None:
            await slots.enter(0, most_wait_s=5.0)
            served.append(name)

        await come("first")
        tasks = [asyncio.create_task(come(name)) for name in ("second", "third")]
        await asyncio.sleep(0)
        for _ in range(3):
            slots.leave(0)
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert slots.taken == (0,)
        return served

    assert asyncio.run(scene()) == ["first", "second", "third"]


def test_a_full_queue_and_a_long_wait_are_503() -> None:
    """Both say when to come again, and leave nothing behind."""

    async def scene() -> None:
        slots = Slots([1], most_waiting=1)
        await slots.enter(0, most_wait_s=1.0)
        waiter = asyncio.create_task(slots.enter(0, most_wait_s=0.02))
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="full"):
            await slots.enter(0, most_wait_s=1.0)
        with pytest.raises(Refusal, match="in time") as late:
            await waiter
        assert late.value.status == 503
        slots.leave(0)
        assert (slots.taken, slots.waiting) == ((0,), (0,))

    asyncio.run(scene())


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=25), st.integers(1, 3))
def test_slots_return_to_zero_whatever_is_cancelled(steps: list[tuple[int, bool]], slots: int) -> None:
    """Requests come, are cancelled while they wait or serve, or finish, in any order: no slot is lost or gained."""

    async def scene() -> None:
        held, most = Slots([slots], most_waiting=100), 0
        requests = list[asyncio.Task[None]]()
        gates = list[asyncio.Event]()

        async def serve(gate: asyncio.Event) -> None:
            nonlocal most
            await held.enter(0, most_wait_s=60.0)
            try:
                most = max(most, held.taken[0])
                await gate.wait()
            finally:
                held.leave(0)

        for choice, cancel in steps:
            if choice < 3 or not requests:
                gates.append(asyncio.Event())
                requests.append(asyncio.create_task(serve(gates[-1])))
            elif cancel:
                requests[choice % len(requests)].cancel()
            else:
                gates[choice % len(gates)].set()
            if choice % 2:
                await asyncio.sleep(0)
        for gate in gates:
            gate.set()
        await _all(requests)
        assert (held.taken, held.waiting) == ((0,), (0,))
        assert most <= slots

    asyncio.run(scene())


async def _all(tasks: list["asyncio.Task[None]"]) -> None:
    waits: Coroutine[None, None, None] | asyncio.Future[list[BaseException | None]]
    waits = asyncio.gather(*tasks, return_exceptions=True)
    await waits


def test_an_allowance_is_above_nothing() -> None:
    """0 a minute would be a key that opens nothing."""
    with pytest.raises(ValueError, match="above 0"):
        Allowance(tokens_per_minute=0)


def test_a_system_is_full_when_its_queue_is() -> None:
    """With a queue there is room in it; without one, in the slots."""

    async def play() -> None:
        queueing, strict = Slots([1], most_waiting=1), Slots([1], most_waiting=0)
        for slots in (queueing, strict):
            assert not slots.full(0)
            await slots.enter(0, most_wait_s=1)
        assert (queueing.full(0), strict.full(0)) == (False, True)
        waiting = asyncio.create_task(queueing.enter(0, most_wait_s=1))
        await asyncio.sleep(0)
        assert queueing.full(0)
        queueing.leave(0)
        await waiting

    asyncio.run(play())


def test_whoever_is_alone_knows_it() -> None:
    """The number stays while nobody else comes, is another once somebody came and went, and none in company."""

    async def run() -> None:
        slots = Slots([2, 1], most_waiting=4)
        await slots.enter(0, most_wait_s=1)
        first = slots.alone(0)
        same = slots.alone(0)
        await slots.enter(0, most_wait_s=1)
        company = slots.alone(0)
        slots.leave(0)

        assert first is not None
        assert (same == first, company) == (True, None)
        assert slots.alone(0) not in {first, None}

        await slots.enter(1, most_wait_s=1)
        before = slots.alone(1)
        waiting = asyncio.create_task(slots.enter(1, most_wait_s=1))
        await asyncio.sleep(0)
        assert slots.alone(1) == before
        slots.leave(1)
        await waiting
        assert slots.alone(1) not in {before, None}

    asyncio.run(run())
