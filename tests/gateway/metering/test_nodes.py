"""One agent, two generations of the gateway: each joule is given once, whoever's requests were there."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from tests.gateway.faults.play import Hands, heard, metered
from tests.gateway.metering.test_agent import TOKEN, FakeMeter
from tests.gateway.scene import Scene, scene
from tests.gateway.wires import until
from wattshed.domain.energy import Part
from wattshed.gateway.attribution.energy import NodeEnergy, Terms, Tokens
from wattshed.gateway.core import Attempt, Core
from wattshed.gateway.events import NodeWindow
from wattshed.gateway.ledger.ledger import Settlement
from wattshed.gateway.metering.agent import Agent, Amount, Told
from wattshed.gateway.metering.nodes import Metering
from wattshed.gateway.metering.polling import Polling
from wattshed.gateway.wire.server import Server
from wattshed.testing import VirtualClock

TEN = Tokens(10, 10)
WATTS = {"gpu": 100.0, "cpu": 20.0}


def begun(core: Core, request: str) -> Attempt:
    """A request that is on the first machine from now on."""
    [desk] = core.desks.values()
    attempt = Attempt(request, 1)
    core.began(desk.stands[0], attempt, TEN)
    return attempt


def ended(core: Core, attempt: Attempt) -> None:
    """It is gone."""
    [desk] = core.desks.values()
    core.finished(desk.stands[0], attempt, TEN)


def test_a_reload_gives_no_joule_twice() -> None:
    """Requests of the old core and of the new share what the agent counted while both were there."""
    hands = Hands()

    async def play(at: Scene, url: str, settled: list[Settlement]) -> None:
        gateway = at.gateway
        gateway.core = old = gateway._made(metered(gateway.core.settings, url))
        gateway.watch()
        await counted(old, hands())
        first = begun(old, "first")
        gateway._reread = lambda: replace(old.settings, suffixes={})
        gateway.reload()
        second = begun(gateway.core, "second")
        await counted(gateway.core, hands())
        hands.ahead_s += 10.0
        ended(old, first)
        ended(gateway.core, second)
        await until(lambda: len(settled) == 2)

    async def counted(core: Core, since_s: float) -> None:
        [node, _] = core.nodes
        await until(lambda: node is not None and node.until_s > since_s)

    async def played() -> tuple[list[Settlement], float]:
        settled = list[Settlement]()
        async with scene(now_s=hands) as at:
            agent = Server(Agent(FakeMeter(hands), session="one", token=TOKEN, now_s=hands).answering)
            at.gateway.tell = heard(at.gateway.tell, settled)  # type: ignore[method-assign]  # listens
            try:
                await play(at, f"http://127.0.0.1:{await agent.start('127.0.0.1', 0)}", settled)
            finally:
                await agent.drain(0)
        return settled, 120.0 * (hands() - began_s)

    began_s = hands()
    settled, counted_j = asyncio.run(played())

    assert sorted(one.request for one in settled) == ["first", "second"]
    assert [one.energy_j for one in settled] == [pytest.approx(counted_j / 2, rel=0.2)] * 2
    assert sum(one.energy_j or 0.0 for one in settled) <= counted_j


class Place:
    """A node under two pollings, of which the second takes over."""

    def __init__(self) -> None:
        self.clock, self.asked = VirtualClock(50.0), list[str]()
        self.windows, self.settled = list[NodeWindow](), list[Settlement]()
        self.metering = Metering()
        self.node = self.metering.node("http://agent", Terms(), self.clock.now_s())

    def polling(self, *parts: Part) -> Polling:
        """One that bills these parts."""
        clock, told, settled = self.clock, self.windows.append, self.settled.append
        return Polling(self.node, self.ask, parts, name="node", now_s=clock.now_s, told=told, settled=settled)

    async def ask(self, path: str) -> bytes:
        """The agent."""
        self.asked.append(path)
        at_s, since_s = self.clock.now_s(), float(path.partition("since=")[2] or "inf")
        parts = tuple(Amount(part, "", watts * (at_s - since_s), None) for part, watts in WATTS.items())
        if since_s > at_s:
            return msgspec.json.encode(Told("s", at_s, None, 0.0))
        return msgspec.json.encode(Told("s", at_s, since_s, 0.0, parts))

    async def take_over(self, first: Polling, second: Polling) -> None:
        """The first asks, and 2 s later the second does in its place; both would ask again a second later."""
        async with asyncio.TaskGroup() as group:
            self.clock.sleep(1.0)
            before = self.metering.poll(first, group)
            await until(lambda: len(self.asked) == 1)
            self.clock.sleep(2.0)
            after = self.metering.poll(second, group)
            await until(lambda: len(self.settled) == 1)
            assert before.cancelled()
            after.cancel()


def test_who_takes_over_goes_on_at_the_same_mark() -> None:
    """The window that was open is closed by the new polling, whole, and the one before asks no more."""
    place = Place()
    place.node.began("a", 51.0, TEN)
    place.node.finished("a", 53.0)

    asyncio.run(place.take_over(place.polling("gpu", "cpu"), place.polling("gpu", "cpu")))

    assert place.asked == ["/energy", "/energy?since=51.0"]
    assert [one.window.energy_j for one in place.windows] == [None, 240.0]
    assert place.settled == [Settlement("a", 240.0, 0.0, None)]


def test_other_parts_begin_anew() -> None:
    """Joules of one channel are not added to those of another: the window between has none, and idle is unknown."""
    place = Place()
    place.node.terms = Terms(idle_power_w=90.0)
    place.node.began("a", 51.0, TEN)
    place.node.finished("a", 53.0)

    asyncio.run(place.take_over(place.polling("gpu"), place.polling("gpu", "cpu")))

    assert place.asked == ["/energy", "/energy"]
    assert [one.window.reason for one in place.windows] == ["not_bracketed", "not_bracketed"]
    assert place.settled == [Settlement("a", None, None, "not_bracketed")]
    assert place.node.terms.idle_power_w == 0.0


def test_a_node_keeps_its_idle_power_under_new_terms() -> None:
    """Weights are those of the newest settings; what windows without requests have shown holds on."""
    metering = Metering()
    node = metering.node("http://agent", Terms(), 0.0)
    node.terms = Terms(idle_power_w=70.0)

    again = metering.node("http://agent", Terms(patience_s=3.0), 9.0)
    other = metering.node("http://other", Terms(), 9.0)

    assert again is node
    assert again.terms == Terms(idle_power_w=70.0, patience_s=3.0)
    assert isinstance(other, NodeEnergy)
    assert other is not node
