"""Engines that fail, before and after the first byte: what clients see of it, and what is counted."""

import asyncio
import json
import re
import socket
import struct
from dataclasses import replace

import pytest

from tests.gateway.faults.play import Hands, at_url, code_of, core_of
from tests.gateway.scene import Said, Scene, played
from tests.gateway.wires import Scripted, engine, until
from wattshed.gateway.demo.faults import Fault, FaultKind

LINGER = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""A socket that is closed with this is reset."""


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


def named(fault: Fault) -> str:
    """A fault in the name of a test."""
    return fault.kind if fault.after_tokens is None else f"{fault.kind}-after-{fault.after_tokens}"


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


def test_a_role_that_comes_first_goes_on_at_once_and_is_no_token() -> None:
    """What an engine says before it has read the prompt is passed on, and the time to the first token goes on."""
    hands, reading = Hands(), asyncio.Event()

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        writer.write(b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n')
        await reading.wait()
        writer.write(b'data: {"choices":[{"index":0,"delta":{"content":"yes"}}]}\n\ndata: [DONE]\n\n')
        writer.close()

    async def play(at: Scene) -> None:
        async with engine(script) as (_, port):
            at.gateway.core = core_of(at_url(at.gateway.core.settings, f"http://127.0.0.1:{port}"), hands)
            body = b'{"model":"demo","messages":[{"role":"user","content":"Is it?"}],"stream":true,"max_tokens":8}'
            answer = await at.client.send("POST", "/v1/chat/completions", (), body)
            first = await anext(answer.chunks)
            hands.ahead_s += 5.0
            reading.set()
            rest = await answer.whole(2**20)
            answer.close()

            assert b'"role"' in first
            assert b'"yes"' in rest
            await until(lambda: len(at.rows) == 1)
            assert 5.0 <= (at.rows[0].ttft_s or 0.0) < 6.0

    played(play, now_s=hands)
