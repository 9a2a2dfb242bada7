"""An agent tells joules to whoever has its token, and a gateway's polling makes windows of what it says."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from wattshed.domain.energy import ChannelEnergy, MeterChannel, WindowEnergy
from wattshed.errors import UsageError
from wattshed.gateway.attribution.energy import NodeEnergy, Terms, Tokens
from wattshed.gateway.events import NodeWindow
from wattshed.gateway.ledger.ledger import Settlement
from wattshed.gateway.metering.agent import Agent, Amount, Told, require_token
from wattshed.gateway.metering.polling import AgentError, Ask, Polling, over, parts_of
from wattshed.gateway.wire.client import Upstream
from wattshed.gateway.wire.server import Server
from wattshed.testing import VirtualClock

TOKEN = "0123456789abcdef"
BEARER = ((b"authorization", b"Bearer " + TOKEN.encode()),)


@dataclass
class FakeMeter:
    """A node that draws 100 W on its GPU and 20 W on its CPU; `reasons` are of channels that fail."""

    now_s: Callable[[], float]
    reasons: dict[str, str] = field(default_factory=dict)
    channels = (MeterChannel("gpu0", "gpu", "board"), MeterChannel("package-0", "cpu", "package"))

    def mark(self) -> float:
        """Now."""
        return self.now_s()

    def between(self, start_s: float, stop_s: float) -> WindowEnergy:
        """Joules by channel."""
        powers_w = (100.0, 20.0)
        return WindowEnergy(
            start_s,
            stop_s,
            tuple(
                ChannelEnergy(channel, None, "counter", self.reasons[channel.name])
                if channel.name in self.reasons
                else ChannelEnergy(channel, power_w * (stop_s - start_s), "counter")
                for channel, power_w in zip(self.channels, powers_w, strict=True)
            ),
        )


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    body: bytes


def ask_over_http(agent: Agent, *asking: tuple[str, str, tuple[tuple[bytes, bytes], ...]]) -> list[Said]:
    """What an agent on a real socket answers to (method, path, headers), one after the other."""

    async def asked() -> list[Said]:
        server = Server(agent.answering)
        upstream = Upstream(f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}")
        try:
            said = []
            for method, path, headers in asking:
                answer = await upstream.send(method, path, headers)
                said.append(Said(answer.status, await answer.whole(1 << 20)))
            return said
        finally:
            upstream.close()
            await server.drain(1.0)

    return asyncio.run(asked())


def told(said: Said) -> Told:
    """The answer to `/energy`."""
    assert said.status == 200, said.body
    return msgspec.json.decode(said.body, type=Told)


def test_windows_add_up() -> None:
    """Joules since an instant come with the next instant; windows of one asker tile time, by part and by channel."""
    clock = VirtualClock(1000.0)
    agent = Agent(FakeMeter(clock.now_s), session="s", now_s=clock.now_s)
    (first,) = map(told, ask_over_http(agent, ("GET", "/energy", ())))
    clock.sleep(2.5)

    (second,) = map(told, ask_over_http(agent, ("GET", f"/energy?since={first.at_s!r}", ())))

    assert (first.at_s, first.since_s, first.parts) == (1000.0, None, ())
    assert (second.since_s, second.at_s, second.session) == (1000.0, 1002.5, "s")
    assert second.parts == (Amount("gpu", "board", 250.0, None), Amount("cpu", "package", 50.0, None))
    assert [amount.name for amount in second.channels] == ["gpu0", "package-0"]


def test_a_part_without_joules_says_why() -> None:
    """A channel that failed has a reason and null, never 0."""
    clock = VirtualClock(5.0)
    agent = Agent(FakeMeter(clock.now_s, {"gpu0": "counter_reset"}), session="s", now_s=clock.now_s)

    (said,) = map(told, ask_over_http(agent, ("GET", "/energy?since=4", ())))

    assert said.parts[0] == Amount("gpu", "board", None, "counter_reset")
    assert said.parts[1].energy_j == 20.0


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/energy", (), 401),
        ("GET", "/metrics", (), 401),
        ("GET", "/energy", ((b"authorization", b"Bearer " + TOKEN[:-1].encode()),), 401),
        ("GET", "/energy", ((b"authorization", b"Basic " + TOKEN.encode()),), 401),
        ("GET", "/energy", ((b"authorization", b"Bearer \xff\xfe"),), 401),
        ("GET", "/energy", BEARER, 200),
        ("GET", "/metrics", BEARER, 200),
        ("GET", "/health", (), 200),
        ("POST", "/energy", BEARER, 405),
        ("GET", "/", BEARER, 404),
        ("GET", "/energy?since=yesterday", BEARER, 400),
        ("GET", "/energy?since=nan", BEARER, 400),
        ("GET", "/energy?since=1e9", BEARER, 400),
    ],
)
def test_only_the_right_question_with_the_token_is_answered(
    method: str, path: str, headers: tuple[tuple[bytes, bytes], ...], status: int
) -> None:
    """Joules are told with the token only; whatever else is asked gets its status."""
    clock = VirtualClock(5.0)
    agent = Agent(FakeMeter(clock.now_s), session="s", token=TOKEN, now_s=clock.now_s)

    (said,) = ask_over_http(agent, (method, path, headers))

    assert said.status == status, said.body


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_a_machine_may_ask_itself(host: str) -> None:
    """On loopback no token is needed."""
    require_token(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "node7", ""])
def test_others_may_not_without_a_token(host: str) -> None:
    """Beyond loopback there is no agent without a token, and the message says what to do."""
    with pytest.raises(UsageError, match="pass --token-file, or --host"):
        require_token(host, None)
    require_token(host, TOKEN)


@pytest.mark.parametrize("token", ["", "short", "0123456789abcde\n", "0123456789abcdefé"])
def test_a_token_that_could_be_guessed_is_refused(token: str) -> None:
    """An empty or short token, or one that no header can carry, is refused wherever the agent listens."""
    with pytest.raises(UsageError, match="openssl rand"):
        require_token("127.0.0.1", token)


def test_prometheus_reads_what_was_counted() -> None:
    """The page counts joules since the start; a gap is counted as a gap, and what came too soon waits."""
    clock = VirtualClock(0.0)
    meter = FakeMeter(clock.now_s)
    agent = Agent(meter, session="s", now_s=clock.now_s)
    for duration_s, reasons in ((1.0, {}), (1.0, {"gpu0": "window_too_short"}), (1.0, {"package-0": "counter_reset"})):
        clock.sleep(duration_s)
        meter.reasons = reasons
        (said,) = ask_over_http(agent, ("GET", "/metrics", ()))

    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(said.body.decode())
        for sample in family.samples
    }
    assert values["wattshed_agent_joules_total", "gpu0", "gpu"] == 300.0
    assert values["wattshed_agent_joules_total", "package-0", "cpu"] == 40.0
    assert values["wattshed_agent_gaps_total", "package-0", "counter_reset"] == 1


@dataclass
class Polled:
    """A polling with everything that it said, over an agent in the same process."""

    clock: VirtualClock
    meter: FakeMeter
    failing: AgentError | None = None
    session: str = "s"
    took_s: float = 0.0
    windows: list[NodeWindow] = field(default_factory=list)
    settled: list[Settlement] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node = NodeEnergy(Terms(patience_s=10.0), self.clock.now_s())
        self.polling = Polling(
            self.node,
            self.ask,
            parts_of("total"),
            name="node",
            now_s=self.clock.now_s,
            told=self.windows.append,
            settled=self.settled.append,
        )

    async def ask(self, path: str) -> bytes:
        """The agent, on a node whose clock is 500 s ahead."""
        if self.failing is not None:
            raise self.failing
        at_s = self.clock.now_s() + 500.0
        since_s = float(path.partition("since=")[2] or math.nan)
        if math.isnan(since_s):
            return msgspec.json.encode(Told(self.session, at_s, None, 0.0))
        window = self.meter.between(since_s, at_s)
        parts = tuple(Amount(one.channel.part, "", one.energy_j, one.reason) for one in window.channels)
        self.clock.sleep(self.took_s)
        return msgspec.json.encode(Told(self.session, at_s, since_s, self.took_s, parts))

    def after(self, duration_s: float) -> None:
        """Let time pass, and poll."""
        self.clock.sleep(duration_s)
        asyncio.run(self.polling.once())

    @property
    def lengths(self) -> list[tuple[float, float | None, str | None]]:
        """Seconds, joules and reason of each window."""
        spans = [(one.window, one.window.stopped_at_s - one.window.started_at_s) for one in self.windows]
        return [(pytest.approx(length_s), window.energy_j, window.reason) for window, length_s in spans]


@pytest.fixture
def polled() -> Polled:
    """A polling that has its first mark."""
    clock = VirtualClock(50.0)
    polled = Polled(clock, FakeMeter(clock.now_s))
    polled.after(1.0)
    assert polled.lengths == [(1.0, None, "not_bracketed")]
    polled.windows.clear()
    return polled


def test_polls_make_windows_on_our_clock(polled: Polled) -> None:
    """Each poll closes a window with both parts' joules; requests in it get them, whatever the node's clock says."""
    polled.node.began("a", polled.clock.now_s(), Tokens(1, 1))
    polled.node.finished("a", polled.clock.now_s() + 2)
    polled.after(2.0)
    polled.after(1.0)

    assert polled.lengths == [(2.0, 240.0, None), (1.0, 120.0, None)]
    assert polled.settled == [Settlement("a", pytest.approx(240.0), 0.0, None)]


def test_the_time_that_an_answer_takes_is_not_in_the_window(polled: Polled) -> None:
    """A meter that waits for its next sample delays the answer, and not the end of the window."""
    polled.took_s = 0.3
    polled.after(1.0)
    polled.took_s = 0.0
    polled.after(0.7)

    assert polled.lengths == [(1.0, pytest.approx(120.0), None), (1.0, pytest.approx(120.0), None)]


def test_a_short_silence_costs_no_joules(polled: Polled) -> None:
    """After an agent was away for less than the patience, one long window has all the joules."""
    polled.failing = AgentError("agent_gone", "no connection")
    polled.after(3.0)
    polled.failing = None
    polled.after(3.0)

    assert polled.lengths == [(6.0, 720.0, None)]


def test_an_agent_that_vanishes_leaves_reasons(polled: Polled) -> None:
    """After the patience requests are told that the agent has gone; when it is back windows have joules again."""
    polled.node.began("a", polled.clock.now_s(), Tokens(1, 1))
    polled.node.finished("a", polled.clock.now_s() + 1)
    polled.failing = AgentError("agent_gone", "no connection")
    polled.after(5.0)
    polled.after(5.0)
    polled.failing = None
    polled.after(1.0)
    polled.after(1.0)

    assert polled.settled == [Settlement("a", None, None, "agent_gone")]
    assert polled.lengths == [(10.0, None, "agent_gone"), (1.0, None, "agent_gone"), (1.0, 120.0, None)]


def test_a_new_session_is_not_compared_with_the_old(polled: Polled) -> None:
    """What a restarted agent counted is not ours to believe; the window after is sound."""
    polled.session = "t"
    polled.after(1.0)
    polled.after(1.0)

    assert polled.lengths == [(1.0, None, "agent_restarted"), (1.0, 120.0, None)]


def test_a_window_too_short_grows(polled: Polled) -> None:
    """Where a counter has not moved yet nothing is closed, and the next poll asks for all of it."""
    polled.meter.reasons = {"gpu0": "window_too_short"}
    polled.after(1.0)
    polled.meter.reasons = {}
    polled.after(1.0)

    assert polled.lengths == [(2.0, 240.0, None)]


def test_a_part_that_is_missing_is_no_sum(polled: Polled) -> None:
    """Where one billed part has no joules, or no meter, there are none: never the joules of the others alone."""
    polled.meter.reasons = {"package-0": "counter_frozen"}
    polled.after(1.0)
    polled.meter.channels = FakeMeter.channels[:1]  # type: ignore[misc]  # a meter of the board alone
    polled.meter.between = lambda start_s, stop_s: WindowEnergy(  # type: ignore[method-assign]
        start_s, stop_s, (ChannelEnergy(FakeMeter.channels[0], 100.0, "counter"),)
    )
    polled.after(1.0)

    assert polled.lengths == [(1.0, None, "counter_frozen"), (1.0, None, "no_meter")]


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b'{"session":1}', b'{"session":"s","at_s":"x","took_s":0}'])
def test_nonsense_is_no_answer(body: bytes) -> None:
    """What is not an agent's answer ends in a window without joules, and in no error."""
    clock = VirtualClock(0.0)
    windows: list[NodeWindow] = []

    async def ask(_: str) -> bytes:
        return body

    polling = Polling(
        NodeEnergy(Terms(patience_s=1.0), 0.0), ask, ("gpu",), name="n", now_s=clock.now_s, told=windows.append
    )
    clock.sleep(2.0)
    asyncio.run(polling.once())

    assert [one.window.reason for one in windows] == ["malformed"]


def test_a_bug_in_one_poll_does_not_end_polling(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a poll dies of is logged, and the next one comes."""
    asked: list[str] = []

    async def ask(path: str) -> bytes:
        asked.append(path)
        raise RuntimeError("a bug")

    async def sleep(_: float) -> None:
        if len(asked) == 3:
            raise asyncio.CancelledError

    polling = Polling(NodeEnergy(Terms(), 0.0), ask, ("gpu",), name="n", now_s=lambda: 1.0)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(polling.run(1.0, sleep))

    assert len(asked) == 3
    assert "a poll of the agent failed" in caplog.text


def test_the_road_from_meter_to_receipt() -> None:
    """Over real sockets with a token: a request that ran between two polls has the meter's joules."""
    clock = VirtualClock(100.0)
    agent = Agent(FakeMeter(clock.now_s), session="s", token=TOKEN, now_s=clock.now_s)
    settled: list[Settlement] = []

    async def lived(ask: Ask) -> None:
        node = NodeEnergy(Terms(idle_power_w=100.0), clock.now_s())
        polling = Polling(node, ask, ("gpu",), name="n", now_s=clock.now_s, settled=settled.append)
        clock.sleep(1.0)
        await polling.once()
        node.began("a", clock.now_s(), Tokens(10, 10))
        clock.sleep(2.0)
        node.finished("a", clock.now_s())
        clock.sleep(1.0)
        await polling.once()

    asyncio.run(_with_agent(agent, TOKEN, lived))

    assert settled == [Settlement("a", pytest.approx(200.0), pytest.approx(200.0), None)]


@pytest.mark.parametrize(
    ("token", "path", "reason"), [("wrong", "/energy", "agent_refused"), (TOKEN, "/x", "source_failed")]
)
def test_statuses_of_an_agent_are_reasons(token: str, path: str, reason: str) -> None:
    """A refused token, an instant that has not come, and whatever else, each is told apart."""
    agent = Agent(FakeMeter(lambda: 1.0), session="s", token=TOKEN)

    async def asked(ask: Ask) -> None:
        await ask(path)

    with pytest.raises(AgentError) as raised:
        asyncio.run(_with_agent(agent, token, asked))
    assert raised.value.reason == reason


def test_an_agent_that_is_not_there_is_gone() -> None:
    """No connection is the reason `agent_gone`."""

    async def asked() -> None:
        await over(Upstream("http://127.0.0.1:9"), None)("/energy")

    with pytest.raises(AgentError) as raised:
        asyncio.run(asked())
    assert raised.value.reason == "agent_gone"


async def _with_agent(agent: Agent, token: str, use: Callable[[Ask], Awaitable[None]]) -> None:
    server = Server(agent.answering)
    upstream = Upstream(f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}")
    try:
        await use(over(upstream, token))
    finally:
        upstream.close()
        await server.drain(1.0)
