"""The client against engines that misbehave, and the whole wire: client, gateway, engine, all over real sockets."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.wires import HOST, PLAIN, Engine, Scripted, calling, echo, engine, run, serving, speaking, until
from wattshed.gateway.wire.client import Answer, Upstream, UpstreamTimeouts
from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.http import Headers, Request, forwardable
from wattshed.gateway.wire.outgoing import MOST_HEAD_BYTES
from wattshed.gateway.wire.server import Reply

OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b"Content-Length: 2\r\n\r\nok"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"

on_both_loops = pytest.mark.parametrize("own_loop", [False, True], ids=["uvloop", "asyncio"])


def upstream(port: int, **timeouts: float) -> Upstream:
    """An upstream on this machine, with such time-outs."""
    return Upstream(f"http://127.0.0.1:{port}", UpstreamTimeouts(**timeouts))


async def ask(to: Upstream, path: str = "/v1", headers: Headers = ()) -> bytes:
    """One exchange, read to its end."""
    with closing(await to.send("POST", path, headers, b"hello")) as answer:
        return await answer.whole(10_000_000)


async def reason(to: Upstream) -> str:
    """Why one exchange failed."""
    with pytest.raises(UpstreamError) as failure:
        await ask(to)
    return failure.value.reason


def stalling(*pieces: bytes) -> Scripted:
    """A script that says these pieces and then nothing, until the other side leaves."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await speaking(*pieces)(reader, writer)
        await reader.read()
        raise ConnectionResetError

    return script


def closing_after(*pieces: bytes) -> Scripted:
    """A script that says these pieces and closes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await speaking(*pieces)(reader, writer)
        writer.close()

    return script


@on_both_loops
def test_connections_are_kept(own_loop: bool) -> None:
    """Answers that end in order, by length or by chunks, leave their connection for the next request."""

    async def test() -> tuple[list[bytes], int]:
        async with engine(speaking(CHUNKS, b"2\r\nok\r\n0\r\n\r\n")) as (scripted, port), closing_of(port) as to:
            return [await ask(to) for _ in range(5)], scripted.connections

    bodies, connections = run(test(), own_loop=own_loop)

    assert bodies == [b"ok"] * 5
    assert connections == 1


@on_both_loops
def test_a_kept_connection_that_closes_is_replaced(own_loop: bool) -> None:
    """An engine that promises to keep connections and closes them at the next request costs no request."""

    async def test() -> tuple[list[bytes], int]:
        served: set[asyncio.StreamWriter] = set()

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if writer in served:
                writer.transport.abort()
            served.add(writer)
            writer.write(WHOLE)

        async with engine(script) as (scripted, port), closing_of(port) as to:
            return [await ask(to) for _ in range(6)], scripted.connections

    bodies, connections = run(test(), own_loop=own_loop)

    assert bodies == [b"ok"] * 6
    assert connections == 6


def test_llama_cpp_closes_after_each_stream() -> None:
    """An answer that ends in order and is followed by a close is whole, and so is the next."""

    async def test() -> list[bytes]:
        async with engine(closing_after(CHUNKS, b"2\r\nok\r\n0\r\n\r\n")) as (_, port), closing_of(port) as to:
            return [await ask(to) for _ in range(20)]

    assert run(test()) == [b"ok"] * 20


def test_nothing_is_sent_twice_on_a_new_connection() -> None:
    """A new connection that closes before any byte is a failure at once, for the router to judge."""

    async def test() -> tuple[str, int]:
        async with engine(closing_after()) as (scripted, port), closing_of(port) as to:
            return await reason(to), len(scripted.asked)

    assert run(test()) == ("gone_before_answer", 1)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(closing_after(), "gone_before_answer", id="closes at once"),
        pytest.param(closing_after(OK), "broken_midway", id="closes in the head"),
        pytest.param(closing_after(OK + b"Content-Length: 5\r\n\r\nok"), "broken_midway", id="closes in the body"),
        pytest.param(closing_after(CHUNKS, b"2\r\nok\r\n"), "broken_midway", id="closes between chunks"),
        pytest.param(stalling(), "timed_out", id="says nothing"),
        pytest.param(stalling(OK), "timed_out", id="stops in the head"),
        pytest.param(stalling(CHUNKS, b"2\r\nok\r\n"), "timed_out", id="stops in the body"),
        pytest.param(speaking(b"SSH-2.0-OpenSSH\r\n"), "malformed", id="speaks another protocol"),
        pytest.param(speaking(CHUNKS, b"xyz\r\n"), "malformed", id="speaks in no chunks"),
        pytest.param(
            speaking(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk"), "malformed", id="has two lengths"
        ),
        pytest.param(
            speaking(OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "malformed",
            id="has a length and chunks",
        ),
        pytest.param(speaking(OK + b"A: " + b"b" * MOST_HEAD_BYTES), "malformed", id="has a head without end"),
        pytest.param(speaking(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), "malformed", id="changes the protocol"),
        pytest.param(speaking(b"HTTP/1.1 000 x\r\nContent-Length: 2\r\n\r\nok"), "malformed", id="has status 000"),
        pytest.param(speaking(b"HTTP/1.1 600 x\r\nContent-Length: 2\r\n\r\nok"), "malformed", id="has status 600"),
    ],
)
@on_both_loops
def test_failures_have_reasons(script: Scripted, expected: str, own_loop: bool) -> None:
    """Whatever an engine does wrong has one name, and leaves no connection."""

    async def test() -> tuple[str, int]:
        async with engine(script) as (_, port), closing_of(port, first_byte_s=0.1, silence_s=0.1) as to:
            failed = await reason(to)
            await until_empty(to)
            return failed, to.connections

    assert run(test(), own_loop=own_loop) == (expected, 0)


@on_both_loops
def test_an_answer_may_take_so_long_and_no_longer(own_loop: bool) -> None:
    """An engine that is never silent, and never comes to its end either, is given up after `whole_s`."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await speaking(OK + b"Content-Length: 9000000\r\n\r\n")(reader, writer)
        while not writer.is_closing():
            writer.write(b".")
            await asyncio.sleep(0)
        raise ConnectionResetError

    async def test() -> tuple[str, int]:
        async with engine(drip) as (_, port), closing_of(port, silence_s=5.0, whole_s=0.1) as to:
            failed = await reason(to)
            await until_empty(to)
            return failed, to.connections

    assert run(test(), own_loop=own_loop) == ("timed_out", 0)


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "http://no-such-host.invalid", "http://a..b"])
def test_no_connection_is_a_reason(url: str) -> None:
    """A refused connection, and a name that nobody knows, are `connect_failed`."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        to = Upstream(url.format(port=unused.getsockname()[1]))

    assert run(reason(to)) == "connect_failed"


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        pytest.param(
            (b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + WHOLE,), b"ok", id="signs of life"
        ),
        pytest.param((b"HTTP/1.0 200 OK\r\n\r\nol", b"d"), b"old", id="ends by closing"),
        pytest.param((CHUNKS, b"2;a=b\r\nok\r\n0\r\nTrailer: x\r\n\r\n"), b"ok", id="extensions and trailers"),
        pytest.param((b"HTTP/1.1 204 None\r\n\r\n",), b"", id="no body"),
    ],
)
def test_unusual_answers_are_read(pieces: tuple[bytes, ...], body: bytes) -> None:
    """What HTTP/1.1 allows and engines rarely do is read as it is meant."""

    async def test() -> bytes:
        async with engine(closing_after(*pieces)) as (_, port), closing_of(port) as to:
            return await ask(to)

    assert run(test()) == body


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, 60), max_size=6))
def test_answers_do_not_depend_on_how_bytes_are_cut(cuts: list[int]) -> None:
    """An answer in chunks is the same however its bytes arrive."""
    text = CHUNKS + b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    edges = [0, *sorted(cuts), len(text)]

    async def test() -> bytes:
        pieces = [text[start:stop] for start, stop in pairwise(edges)]

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)

        async with engine(script) as (_, port), closing_of(port) as to:
            return await ask(to)

    assert run(test()) == b"onetwo"


def test_bytes_that_nobody_asked_for_are_never_an_answer() -> None:
    """A second answer behind the first does not become the answer to the next request."""

    async def test() -> tuple[list[bytes], int]:
        script = speaking(WHOLE + OK + b"Content-Length: 4\r\n\r\nevil")
        async with engine(script) as (scripted, port), closing_of(port) as to:
            return [await ask(to) for _ in range(3)], scripted.connections

    assert run(test()) == ([b"ok"] * 3, 3)


def test_old_connections_are_closed() -> None:
    """A connection that nobody uses is closed after its time."""

    async def test() -> None:
        async with engine(speaking(WHOLE)) as (scripted, port), closing_of(port, idle_s=0.1) as to:
            await ask(to)
            await asyncio.wait_for(scripted.left.wait(), 2)
            await until_empty(to)

    run(test())


@on_both_loops
@pytest.mark.parametrize("pieces", [(), (CHUNKS, b"2\r\nok\r\n")], ids=["before the answer", "in its middle"])
def test_cancelling_closes_the_connection(pieces: tuple[bytes, ...], own_loop: bool) -> None:
    """The engine sees its socket closed within 100 ms of a request's being cancelled."""

    async def test() -> float:
        async with engine(stalling(*pieces)) as (scripted, port), closing_of(port) as to:
            asking = asyncio.ensure_future(ask(to))
            await asyncio.sleep(0.05)
            cancelled_at_s = time.monotonic()
            asking.cancel()
            await asyncio.wait_for(scripted.left.wait(), 5)
            with pytest.raises(asyncio.CancelledError):
                await asking
            return time.monotonic() - cancelled_at_s

    assert run(test(), own_loop=own_loop) < 0.1


@on_both_loops
def test_an_answer_that_nobody_reads_slows_the_engine(own_loop: bool) -> None:
    """Bytes are left in the sockets, and none is lost when reading goes on."""
    pieces = 200

    async def test() -> tuple[int, int]:
        sent_bytes = 0

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent_bytes
            writer.write(OK + b"Content-Length: %d\r\n\r\n" % (pieces * 65_536))
            for _ in range(pieces):
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent_bytes += 65_536

        async with engine(script) as (_, port), closing_of(port, silence_s=0.1) as to:
            answer = await to.send("GET", "/", ())
            await asyncio.sleep(0.3)  # longer than an engine may be silent: it is not the engine that is
            unread_bytes = sent_bytes
            return unread_bytes, len(await answer.whole(1 << 30))

    unread_bytes, read_bytes = run(test(), own_loop=own_loop)

    assert unread_bytes < pieces * 65_536
    assert read_bytes == pieces * 65_536


def test_an_answer_may_be_too_large() -> None:
    """Reading a whole answer stops at the most that the caller takes, and closes."""

    async def test() -> None:
        async with engine(stalling(CHUNKS, b"5\r\nhello\r\n")) as (scripted, port), closing_of(port) as to:
            answer = await to.send("GET", "/", ())
            with pytest.raises(UpstreamError, match="more than 4 bytes"):
                await answer.whole(4)
            await asyncio.wait_for(scripted.left.wait(), 1)

    run(test())


def test_what_belongs_to_one_connection_stays_there() -> None:
    """Neither way do hop-by-hop headers cross, nor those that Connection names; the rest does."""

    async def test() -> tuple[bytes, Headers]:
        told = b"Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n"
        async with engine(speaking(OK + told)) as (scripted, port), closing_of(port) as to:
            asked = ((b"connection", b"x-mine"), (b"te", b"trailers"), (b"x-mine", b"1"), (b"x-other", b"2"))
            with closing(await to.send("POST", "/v1?a=b", forwardable(asked), b"hello")) as answer:
                return scripted.asked[0], answer.headers

    asked, headers = run(test())

    assert asked.startswith(b"POST /v1?a=b HTTP/1.1\r\nhost: 127.0.0.1:")
    assert asked.endswith(b"\r\naccept-encoding: identity\r\nx-other: 2\r\ncontent-length: 5\r\n\r\n")
    assert headers == ((b"x-end", b"2"),)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET /x HTTP/1.1\r\nA: b\r\n\r\nGET", "/", ()),
        ("HEAD", "/", ()),
        ("GET", "/a b", ()),
        ("GET", "/\r\nA: b", ()),
        ("GET", "http://elsewhere/", ()),
        ("GET", "@elsewhere/", ()),
        ("GET", "/", ((b"a", b"b\r\nc: d"),)),
        ("GET", "/", ((b"a\r\nc", b"d"),)),
    ],
)
def test_no_request_becomes_two(method: str, path: str, headers: Headers) -> None:
    """Whatever could end a line, or name another host, is refused before a byte is sent."""

    async def test() -> int:
        async with engine(speaking(WHOLE)) as (scripted, port), closing_of(port) as to:
            with pytest.raises(ValueError, match=r"header|path"):
                await to.send(method, path, headers)
            return scripted.connections

    assert run(test()) == 0


@pytest.mark.parametrize(
    "url", ["ftp://a", "http://", "http://user:key@a", "http://a?b", "a:80", "http://a:x", "http://ä"]
)
def test_an_upstream_is_a_plain_url(url: str) -> None:
    """Anything but scheme, host, port and path is refused."""
    with pytest.raises(ValueError):  # noqa: PT011 - the standard library has its own words for some
        Upstream(url)


def test_a_path_of_the_upstream_goes_before_every_other() -> None:
    """An engine that lives below a path is asked there."""

    async def test() -> bytes:
        async with engine(speaking(WHOLE)) as (scripted, port):
            to = Upstream(f"http://127.0.0.1:{port}/below/")
            await ask(to)
            to.close()
            return scripted.asked[0]

    assert run(test()).startswith(b"POST /below/v1 HTTP/1.1\r\n")


@on_both_loops
def test_https(tmp_path: Path, own_loop: bool) -> None:
    """An engine behind TLS is spoken to when its certificate is trusted, and is `connect_failed` when not."""
    key, certificate = certified(tmp_path)

    async def test() -> tuple[bytes, str]:
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=certificate)
        server.load_cert_chain(certificate, key)
        async with engine(speaking(WHOLE), ssl=server) as (_, port):
            trusting = Upstream(f"https://localhost:{port}", tls=client)
            body = await ask(trusting)
            trusting.close()
            await until_empty(trusting)
            return body, await reason(Upstream(f"https://localhost:{port}"))

    assert run(test(), own_loop=own_loop) == (b"ok", "connect_failed")


@on_both_loops
def test_small_requests_are_not_held_back(own_loop: bool) -> None:
    """TCP_NODELAY is set on every connection that is made."""

    async def test() -> int:
        async with engine(speaking(WHOLE)) as (_, port), closing_of(port) as to:
            await ask(to)
            [connection] = to._connections.members()
            made = connection._transport.get_extra_info("socket")
            return int(made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    assert run(test(), own_loop=own_loop) != 0


@on_both_loops
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((), id="before the first byte"),
        pytest.param((OK + b"Content-Length: 9\r\n\r\n", b"half"), id="not streamed"),
        pytest.param((CHUNKS, b"2\r\nok\r\n"), id="streaming"),
    ],
)
def test_the_engine_learns_at_once_that_the_client_has_left(pieces: tuple[bytes, ...], own_loop: bool) -> None:
    """From the client's going to the closing of the engine's socket, through the gateway, pass less than 100 ms."""

    async def test() -> float:
        async with (
            engine(stalling(*pieces)) as (scripted, port),
            closing_of(port) as to,
            serving(Through(to)) as (_, near),
            calling(near) as phone,
        ):
            phone.say(b"POST /v1 HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello")
            await until_asked(scripted)
            phone.hang_up()
            left_at_s = time.monotonic()
            await asyncio.wait_for(scripted.left.wait(), 5)
            return time.monotonic() - left_at_s

    assert run(test(), own_loop=own_loop) < 0.1


@on_both_loops
def test_a_crowd_that_leaves_at_random_leaves_no_connection(own_loop: bool) -> None:
    """A hundred clients that go at any point leave nothing open on either side, and the next is served."""

    async def answering(request: Request, reply: Reply) -> None:
        await reply.start(200, PLAIN)
        for _ in range(10):
            await reply.send(b"x" * 100)
            await asyncio.sleep(0.001)
        await reply.end()

    async def visit(near: int, visitor: int) -> None:
        async with calling(near) as phone:
            phone.say(b"GET /v1 HTTP/1.1\r\n" + HOST + b"\r\n")
            await asyncio.sleep(visitor % 9 * 0.003)

    async def test() -> bytes:
        async with (
            serving(answering) as (far, port),
            closing_of(port, idle_s=0.1) as to,
            serving(Through(to)) as (_, near),
        ):
            await asyncio.gather(*(visit(near, visitor) for visitor in range(100)))
            async with calling(near) as phone:
                phone.say(b"GET /v1 HTTP/1.1\r\n" + HOST + b"\r\n")
                answer = await phone.hear(b"0\r\n\r\n")
            await until_empty(to)
            await until(lambda: len(far.connections) == 0)
            return answer

    answer = run(test(), own_loop=own_loop)

    assert answer.count(b"x" * 100) == 10


def test_bodies_pass_byte_for_byte() -> None:
    """A megabyte goes through server, client, and back, unchanged."""
    body = bytes(range(256)) * 4096

    async def test() -> bytes:
        async with (
            serving(echo) as (_, port),
            closing_of(port) as far,
            serving(Through(far)) as (_, near),
            closing_of(near) as to,
        ):
            with closing(await to.send("PUT", "/b", (), body)) as answer:
                return await answer.whole(1 << 30)

    assert run(test()) == b"PUT /b " + body


class Through:
    """A gateway that does nothing but pass requests on and answers back."""

    def __init__(self, to: Upstream) -> None:
        self._to = to

    async def __call__(self, request: Request, reply: Reply) -> None:
        """Pass one request on."""
        answer: Answer = await self._to.send(request.method, request.target, forwardable(request.headers), request.body)
        with closing(answer):
            await reply.start(answer.status, answer.headers)
            async for piece in answer.chunks:
                await reply.send(piece)
            await reply.end()


@asynccontextmanager
async def closing_of(port: int, **timeouts: float) -> AsyncIterator[Upstream]:
    """An upstream on this machine that is closed in the end, with no connection left."""
    to = upstream(port, **timeouts)
    try:
        yield to
    finally:
        to.close()
        await until_empty(to)


async def until_empty(to: Upstream) -> None:
    """Wait until no connection is open."""
    await until(lambda: to.connections == 0)


async def until_asked(scripted: Engine) -> None:
    """Wait until a request has come, and a moment for the answer to begin."""
    await until(lambda: bool(scripted.asked))
    await asyncio.sleep(0.03)


def certified(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for localhost that nobody but its holder trusts."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs the openssl command")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = [program, *kind, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate
