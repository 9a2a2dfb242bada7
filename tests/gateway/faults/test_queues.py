"""Breakers, queues, stopping and reloading: who is refused, who waits, and what goes on."""

import asyncio
from dataclasses import replace

import pytest

from tests.gateway.faults.play import Hands, code_of
from tests.gateway.scene import Scene, played
from tests.gateway.wires import until
from wattshed.gateway.demo.faults import Fault
from wattshed.gateway.fleet.health import HealthSettings
from wattshed.gateway.settings.settings import LimitSettings


def test_a_breaker_opens_and_closes() -> None:
    """After failures in a row nobody is sent there; after a pause one request is, and its success closes it."""
    hands = Hands()

    async def play(at: Scene) -> None:
        first = [await at.ask() for _ in range(4)]
        at.fleet.servers["mac"].fault = None
        hands.ahead_s += 5.1
        after = [await at.ask() for _ in range(2)]

        assert [said.status for said in first + after] == [200] * 6
        assert [row.attempts for row in at.rows] == [2, 2, 2, 1, 1, 1]
        assert [said.header("x-routed-to") for said in first[3:] + after] == ["a100", "mac", "mac"]
        assert at.gateway.core.health.conditions()[0].circuit == "closed"

    health = HealthSettings(failures_in_row=3, open_s=5.0, slow_start_s=0.0)
    played(play, faults={"mac": Fault("dies")}, health=health, now_s=hands)


def test_a_slow_start_refuses_nobody_who_has_no_other_choice() -> None:
    """A system that has just come back is given little while others are there; where it is the only one, it serves."""
    hands = Hands()

    async def play(at: Scene) -> None:
        health = at.gateway.core.health
        for position in (0, 1, 1, 1):
            health.failed(position, "for the test")
        health.failed(0, "for the test")
        health.failed(0, "for the test")
        hands.ahead_s += 5.1
        health.succeeded(0)
        health.begun(1)

        said = await asyncio.gather(*(at.ask() for _ in range(8)))

        assert [one.status for one in said] == [200] * 8
        health.released(1)

    played(play, now_s=hands, sent_at_once=4, health=HealthSettings(open_s=5.0, slow_start_s=60.0))


def test_who_finds_one_queue_full_goes_elsewhere_and_all_full_is_503() -> None:
    """A full queue is no reason to refuse while another system has room; then it is, with the seconds to wait."""

    async def play(at: Scene) -> None:
        asking = [asyncio.create_task(at.ask()) for _ in range(4)]
        await until(lambda: at.gateway.core.slots.waiting == (1, 1))

        said = await at.ask()

        assert (said.status, code_of(said)) == (503, "overloaded")
        assert int(said.header("retry-after")) >= 1
        assert at.rows[0].outcome == "overloaded"
        for server in at.fleet.servers.values():
            server.fault = None
            server.die()
        assert {said.status for said in await asyncio.gather(*asking)} <= {200, 502}

    hung = {name: Fault("hangs") for name in ("mac", "a100")}
    played(play, faults=hung, limits=LimitSettings(most_queued=1, most_wait_s=10.0))


def test_a_stopping_gateway_refuses_and_lets_streams_end() -> None:
    """While it drains new requests are sent away with 503 and streams that have begun come to their end."""

    async def play(at: Scene) -> None:
        streaming = asyncio.create_task(at.ask(stream=True, max_tokens=40))
        await until(lambda: at.gateway.core.slots.taken != (0, 0))
        at.gateway.draining = True

        refused, ready = await at.ask(), await at.send("GET", "/ready")

        assert (refused.status, code_of(refused), ready.status) == (503, "draining", 503)
        assert refused.header("retry-after") == "1"
        assert (await streaming).events[-1] == "[DONE]"

    played(play, speed_up=30)


@pytest.mark.parametrize("changed", [False, True], ids=["machines stay", "slots change"])
def test_a_reload_keeps_streams(changed: bool) -> None:
    """A stream ends on the connections that it began with, and holds its slot for as long as machines have the same."""

    async def play(at: Scene) -> None:
        old = at.gateway.core
        streaming = asyncio.create_task(at.ask(stream=True, max_tokens=40))
        await until(lambda: old.slots.taken != (0, 0))
        systems = tuple(replace(one, slots=one.slots + changed) for one in old.settings.systems)
        at.gateway._reread = lambda: replace(old.settings, suffixes={}, systems=systems)
        at.gateway.reload()
        new, held = at.gateway.core, old.slots.taken

        assert (old.idle, new.idle) == (False, True)
        assert (new.slots.taken, new.live is old.live) == ((0, 0) if changed else held, not changed)
        assert (await at.ask(model="demo:eco")).status == 404
        assert (await streaming).events[-1] == "[DONE]"
        assert old.idle
        assert new.slots.taken == (0, 0)

    played(play, speed_up=4, limits=LimitSettings(drain_s=0.0))
