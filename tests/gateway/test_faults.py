"""Engines that fail, queues that fill, ledgers and clocks that misbehave: what clients see of it, and what is counted.

The gateway stands in front of the demo fleet on real sockets. Requests go to `mac`, where they are cheapest, and `mac`
is what fails, so whatever `a100` answers was asked again.
"""

import asyncio
import json
import re
import socket
import sqlite3
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from tests.gateway.metering.test_agent import TOKEN, FakeMeter
from tests.gateway.scene import Said, Scene, busy, scene
from tests.gateway.wires import Scripted, calling, engine, until
from wattshed.gateway import story
from wattshed.gateway.core import Core, Minds
from wattshed.gateway.demo.faults import Fault, FaultKind
from wattshed.gateway.events import Event
from wattshed.gateway.fleet.health import HealthSettings
from wattshed.gateway.ledger.ledger import Ledger, Pace, Settlement
from wattshed.gateway.ledger.store import open_store
from wattshed.gateway.metering.agent import Agent
from wattshed.gateway.settings.keys import KeyRing
from wattshed.gateway.settings.settings import AgentSettings, LimitSettings, Secret, Settings
from wattshed.gateway.wire.server import Server

LINGER = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""A socket that is closed with this is reset."""

NOTHING = {"taken": (0, 0), "waiting": (0, 0), "in_flight": (0, 0)}
FOREVER_S = 3600.0

BEFORE = [
    Fault("dies"),
    Fault("dies", after_tokens=0),
    Fault("hangs"),
    Fault("hangs", after_tokens=0),
    Fault("status_500"),
    Fault("status_429"),
    Fault("garbage"),
    Fault("half_event"),
]
"""What goes wrong before the first byte that a client could have seen."""

AFTER = [Fault(kind, after_tokens=3) for kind in ("dies", "hangs", "garbage", "half_event")]


class Hands:
    """A clock whose hands may be moved forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        """The clock, and what it was moved by."""
        return monotonic() + self.ahead_s


def played(play: Callable[[Scene], Awaitable[None]], **changes: object) -> None:
    """Run a scene; afterwards nothing is held."""

    async def run() -> None:
        async with scene(**changes) as at:  # type: ignore[arg-type]  # fields of the settings
            await play(at)
            assert busy(at) == NOTHING

    asyncio.run(run())


def named(fault: Fault) -> str:
    """A fault in the name of a test."""
    return fault.kind if fault.after_tokens is None else f"{fault.kind}-after-{fault.after_tokens}"


def code_of(said: Said) -> str:
    """The code of an error, which has OpenAI's shape."""
    error = said.json["error"]
    assert isinstance(error, dict)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return str(error["code"])


def at_url(settings: Settings, url: str) -> Settings:
    """The same with `mac` somewhere else."""
    mac, a100 = settings.systems
    return replace(settings, systems=(replace(mac, url=url), a100))


def core_of(settings: Settings, now_s: Callable[[], float] = monotonic) -> Core:
    """A core of these settings, which nobody probes."""
    return Core(settings, KeyRing(), Minds(), now_s=now_s, rng=np.random.default_rng(0))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", BEFORE, ids=named)
def test_before_the_first_byte_the_next_system_is_asked(fault: Fault, stream: bool) -> None:
    """The client notices nothing, receipt and row are of who answered, and the joules of the attempt are wasted."""

    async def play(at: Scene) -> None:
        said = await at.ask(stream=stream)

        [row] = at.rows
        assert said.status == 200
        assert said.header("x-routed-to") == row.system == "a100"
        assert said.header("x-routing-reason").endswith("; mac failed this request")
        assert (row.outcome, row.attempts, row.output_tokens) == ("done", 2, 8)
        assert row.wasted_energy_j is not None
        assert row.wasted_energy_j > 0
        assert receipt_of(said)["wasted_joules"] == pytest.approx(row.wasted_energy_j, rel=1e-5)
        assert receipt_of(said)["energy_joules"] == pytest.approx(row.hindsight_energy_j, rel=1e-5)
        assert at.gateway.core.health.conditions()[0].failures == 1

    played(play, faults={"mac": fault})


def receipt_of(said: Said) -> dict[str, object]:
    """The receipt in a body, or in the comment of a stream."""
    comment = re.search(rb"^: energy (.*)$", said.body, re.MULTILINE)
    receipt = said.json["energy"] if comment is None else json.loads(comment[1])
    assert isinstance(receipt, dict)
    return receipt


@pytest.mark.parametrize("fault", AFTER, ids=named)
def test_after_the_first_byte_the_stream_ends_with_an_error(fault: Fault) -> None:
    """Nothing is sent twice: what has come stays, an error event ends it, and there is no receipt and no `[DONE]`."""

    async def play(at: Scene) -> None:
        said = await at.ask(stream=True)

        [row] = at.rows
        *_, last = said.events
        assert set(json.loads(last)["error"]) == {"message", "type", "param", "code"}
        assert sum('"delta"' in event for event in said.events) == 3
        assert "[DONE]" not in said.events
        assert b": energy" not in said.body
        assert (row.outcome, row.attempts, row.hindsight_energy_j) == ("broken", 1, None)
        assert row.wasted_energy_j == row.predicted_energy_j
        assert not at.fleet.servers["a100"].answered

    played(play, faults={"mac": fault})


@pytest.mark.parametrize("kind", ["dies", "hangs"])
def test_half_a_body_is_not_passed_on(kind: FaultKind) -> None:
    """An answer that is not streamed and breaks off was not seen by the client, so the next system may be asked."""

    async def play(at: Scene) -> None:
        said = await at.ask()

        assert (said.status, said.header("x-routed-to")) == (200, "a100")

    played(play, faults={"mac": Fault(kind, after_tokens=4)})


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["drips", "slow"])
def test_a_slow_engine_is_borne(kind: FaultKind, stream: bool) -> None:
    """Byte by byte or late, as long as there is never silence for too long, the answer is what it would have been."""

    async def play(at: Scene) -> None:
        said = await at.ask(stream=stream)

        assert (said.status, said.header("x-routed-to"), at.rows[0].outcome) == (200, "mac", "done")
        assert receipt_of(said)["energy_joules"] == pytest.approx(at.rows[0].hindsight_energy_j, rel=1e-5)

    played(play, faults={"mac": Fault(kind, delay_s=0.0002)})


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("dies", 502, "upstream_failed"),
        ("hangs", 504, "upstream_timed_out"),
        ("garbage", 502, "upstream_failed"),
        ("status_500", 500, "internal_error"),
        ("status_429", 429, "rate_limit_exceeded"),
    ],
)
def test_where_all_fail_the_client_is_told(
    kind: FaultKind, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After the last system comes an error of OpenAI's shape; engines' addresses are the operator's, in the log."""

    async def play(at: Scene) -> None:
        said = await at.ask()

        [row] = at.rows
        assert (said.status, code_of(said)) == (status, code)
        assert (row.outcome, row.attempts, row.status) == ("failed", 2, status)
        assert bool(said.header("retry-after")) == (status == 429)
        assert not said.header("x-energy-joules")
        assert b"127.0.0.1" not in said.body
        failed = {record.system for record in caplog.records if record.msg == "an attempt failed"}
        assert failed == {"a100", "mac"}

    played(play, faults={name: Fault(kind) for name in ("mac", "a100")})


def test_the_words_of_the_only_engine_left_are_passed_on() -> None:
    """Where the other system is ill, a 429 stays a 429 with its `Retry-After`: nobody else could be asked."""

    async def play(at: Scene) -> None:
        for _ in range(3):
            at.gateway.core.health.failed(1, "for the test")

        said = await at.ask()

        assert (said.status, code_of(said)) == (429, "rate_limit_exceeded")
        assert said.header("retry-after") == "1"

    played(play, faults={"mac": Fault("status_429")})


@pytest.mark.parametrize("url", ["http://nobody.invalid:80", "http://127.0.0.1:1"], ids=["no such name", "refused"])
def test_an_engine_that_is_not_there_wastes_nothing(url: str) -> None:
    """No name, or nobody at the port: the next system is asked, and no joules were spent."""

    async def play(at: Scene) -> None:
        at.gateway._reread = lambda: at_url(at.gateway.core.settings, url)
        at.gateway.reload()

        said = await at.ask()

        [row] = at.rows
        assert (said.status, row.system, row.attempts, row.wasted_energy_j) == (200, "a100", 2, None)
        assert at.gateway.core.health.conditions()[0].failures

    played(play)


def test_a_reset_is_an_end() -> None:
    """A connection that is reset, before a byte or in the middle of the head, is a failed attempt like any other."""

    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-")
        writer.transport.get_extra_info("socket").setsockopt(*LINGER)
        writer.transport.abort()

    async def play(at: Scene) -> None:
        async with engine(resets) as (_, port):
            at.gateway._reread = lambda: at_url(at.gateway.core.settings, f"http://127.0.0.1:{port}")
            at.gateway.reload()

            assert (await at.ask()).status == 200
            assert (at.rows[0].system, at.rows[0].attempts) == ("a100", 2)

    played(play)


def test_an_engine_that_dies_computing_has_wasted_joules() -> None:
    """Its kept connection dies under a request and nobody is there any more: what it had computed was not for free."""

    async def play(at: Scene) -> None:
        async with engine(speaking_once()) as (scripted, port):
            at.gateway.core = core_of(at_url(at.gateway.core.settings, f"http://127.0.0.1:{port}"))
            assert (await at.ask()).header("x-routed-to") == "mac"
            asking = asyncio.create_task(at.ask())
            await until(lambda: len(scripted.asked) == 2)
            at.gateway.core.upstreams[0]._place = replace(at.gateway.core.upstreams[0]._place, port=1)
            scripted.drop_all()

            assert (await asking).header("x-routed-to") == "a100"
            assert at.rows[1].wasted_energy_j == pytest.approx(at.rows[0].predicted_energy_j, rel=0.5)

    played(play)


def speaking_once() -> Scripted:
    """Answers once, and is then silent."""
    chats = list[bytes]()
    answer = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":8}}'

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chats.append(b"")
        if len(chats) == 1:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))

    return script


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


def test_a_locked_ledger_and_a_full_disk_hold_up_nobody(tmp_path: Path) -> None:
    """Requests are answered while no row can be written; the rows wait, and are written once they can be."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(open_store(f"sqlite:///{path}"), Pace(batch_s=0.01))

    async def play(at: Scene) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            said = [await at.ask() for _ in range(5)]
            await until(lambda: ledger.state().failures["locked"] > 0)
            page = await at.send("GET", "/metrics")

        assert [one.status for one in said] == [200] * 5
        assert 'wattshed_ledger_failures_total{failure="locked"}' in page.body.decode()
        await until(lambda: ledger.state().results["written"] == 5)

    played(play, ledger=ledger)
    assert ledger.close() == 0


def test_an_agent_that_vanishes_leaves_a_reason_and_no_joules() -> None:
    """With its agent the joules of a request come from the meter; without it requests go on and the row says why."""
    hands = Hands()

    async def play(at: Scene) -> None:
        listening, settled = (
            Server(Agent(FakeMeter(hands), session="one", token=TOKEN, now_s=hands).answering),
            list[Settlement](),
        )
        url = f"http://127.0.0.1:{await listening.start('127.0.0.1', 0)}"
        at.gateway.core = core_of(metered(at.gateway.core.settings, url), hands)
        at.gateway.tell = heard(at.gateway.tell, settled)  # type: ignore[method-assign]  # listens
        [polling] = at.gateway._pollings(at.gateway.core)

        for _ in range(3):
            await polling.once()
            hands.ahead_s += 1.0
            await at.ask()
        await polling.once()
        await listening.drain(0)
        said = await at.ask()
        for _ in range(3):
            hands.ahead_s += 60.0
            await polling.once()

        assert said.status == 200
        assert [one.reason for one in settled] == [None, None, None, "agent_gone"]
        assert all((one.energy_j or 0) > 0 for one in settled[:3])
        assert settled[3].energy_j is None
        assert [one.request for one in settled] == [row.request for row in at.rows]

    played(play, now_s=hands)


def heard(tell: Callable[[Event], None], settled: list[Settlement]) -> Callable[[Event], None]:
    """The same, and settlements are kept."""

    def telling(event: Event) -> None:
        tell(event)
        if isinstance(event, Settlement):
            settled.append(event)

    return telling


def metered(settings: Settings, url: str) -> Settings:
    """The same with an agent at `mac` only."""
    mac, a100 = settings.systems
    agent = AgentSettings(url, Secret(TOKEN, source="the test"))
    return replace(settings, systems=(replace(mac, agent=agent), replace(a100, agent=None)))


def test_the_wall_clock_may_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durations are of the monotonic clock: a wall clock that jumps back between two looks at it changes none."""
    steps = iter(datetime(2026, 1, 1, tzinfo=UTC) - timedelta(hours=hour) for hour in range(10))

    class Stepping(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Stepping":
            return cls.fromisoformat(next(steps).isoformat())

    async def play(at: Scene) -> None:
        monkeypatch.setattr(story, "datetime", Stepping)
        for stream in (False, True):
            assert (await at.ask(stream=stream)).status == 200

        assert at.rows[0].arrived_at - at.rows[1].arrived_at == timedelta(hours=1)
        assert all(0 < row.runtime_s < 5 for row in at.rows)

    played(play)


def test_a_machine_that_slept_wakes_up_in_order() -> None:
    """A monotonic clock that leaps costs kept connections, and at most the requests of that moment."""
    hands = Hands()

    async def play(at: Scene) -> None:
        assert (await at.ask()).status == 200
        hands.ahead_s += FOREVER_S

        assert (await at.ask()).status == 200
        assert [row.attempts for row in at.rows] == [1, 1]

    played(play, now_s=hands)


PHASES = {
    "waiting for a slot": (Fault("hangs"), True),
    "before the first byte": (Fault("hangs"), True),
    "streaming": (None, True),
    "computing a whole answer": (None, False),
}


@pytest.mark.parametrize("phase", PHASES)
def test_who_leaves_is_noticed_within_100_ms(phase: str) -> None:
    """The engine stops computing for a client that has gone, in every phase; slots and places are free again."""
    fault, stream = PHASES[phase]

    async def play(at: Scene) -> None:
        mac, loop = at.fleet.servers["mac"].occupancy, asyncio.get_running_loop()
        crowd = 3 if phase == "waiting for a slot" else 1
        asking = [asyncio.create_task(at.ask(stream=stream)) for _ in range(crowd)]
        await until(lambda: len(mac.running) == 1 and at.gateway.core.slots.waiting == (crowd - 1, 0))
        if phase == "streaming":
            await until(lambda: began(at))

        left_s = loop.time()
        for one in asking:
            one.cancel()
        async with asyncio.timeout(5):
            while mac.running or busy(at) != NOTHING:
                await asyncio.sleep(0.001)
        took_s = loop.time() - left_s
        await asyncio.gather(*asking, return_exceptions=True)

        assert took_s < 0.1
        assert [row.outcome for row in at.rows] == ["client_gone"] * crowd
        assert [row.hindsight_energy_j for row in at.rows] == [None] * crowd
        assert at.gateway.core.health.conditions()[0].failures == 0

    faults = {} if fault is None else {"mac": fault}
    played(play, faults=faults, speed_up=10)


def began(at: Scene) -> bool:
    """Whether the first token of the only request has come."""
    return bool(at.gateway.core.live._first_token_at_s)


def test_a_thousand_clients_that_leave_at_random_leave_nothing_behind() -> None:
    """Each goes at some moment of its request, or stays to the end: no slot, task or socket remains, each has a row."""
    rng, leaving = np.random.default_rng(5), 1000

    async def play(at: Scene) -> None:
        port, gate = int(at.client.name.rpartition(":")[2]), asyncio.Semaphore(100)
        assert (await at.ask()).status == 200
        at.rows.clear()
        before = held()

        async def come_and_go(stream: bool, patience_s: float) -> bool:
            async with gate, calling(port) as phone:
                phone.say(message(stream))
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience_s):
                        await phone.reader.readuntil(b"[DONE]" if stream else b"\r\n\r\n")
                        return True
                return False

        chances = zip(rng.random(leaving) < 0.5, rng.uniform(0, 0.15, leaving), strict=True)
        stayed = await asyncio.gather(*(come_and_go(bool(stream), float(wait_s)) for stream, wait_s in chances))

        await until(lambda: busy(at) == NOTHING)
        for upstream in at.gateway.core.upstreams:
            upstream.close()
        await until(lambda: held() <= before)
        outcomes = Counter(row.outcome for row in at.rows)
        assert sum(stayed) <= outcomes["done"]
        assert outcomes["client_gone"] >= 100
        assert set(outcomes) <= {"done", "client_gone", "overloaded"}
        assert all((row.hindsight_energy_j is None) == (row.outcome != "done") for row in at.rows)
        assert len({row.request for row in at.rows}) == len(at.rows)

    played(play, speed_up=300, slots=64, sent_at_once=32)


def held() -> tuple[int, int]:
    """Tasks and file descriptors."""
    return len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir()))


def message(stream: bool) -> bytes:
    """A chat, as it goes over the wire."""
    chat = {"model": "demo", "messages": [{"role": "user", "content": "a b"}], "max_tokens": 8, "stream": stream}
    body = json.dumps(chat).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
