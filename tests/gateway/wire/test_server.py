"""The server against clients that send raw bytes, on both event loops."""

import asyncio
import socket
import time
from typing import Any

import pytest

from tests.gateway.wires import HOST, PLAIN, calling, echo, run, said, serving, until
from wattshed.gateway.wire.failures import ClientGone
from wattshed.gateway.wire.http import Request, WireLimits
from wattshed.gateway.wire.server import Reply

GET = b"GET /a HTTP/1.1\r\n" + HOST
LAST = b"Connection: close\r\n\r\n"

on_both_loops = pytest.mark.parametrize("own_loop", [False, True], ids=["uvloop", "asyncio"])


class Held:
    """Answers that come to nothing until the test allows; notes when they are cancelled."""

    def __init__(self, *, streams: bool = False) -> None:
        self.began, self.cancelled, self.release = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._streams = streams

    async def __call__(self, request: Request, reply: Reply) -> None:
        """Begin, and wait."""
        try:
            if self._streams:
                await reply.start(200, PLAIN)
                await reply.send(b"first")
            self.began.set()
            await self.release.wait()
            await (reply.end() if self._streams else reply.whole(200, PLAIN, b"done"))
        except asyncio.CancelledError:
            assert reply.gone
            self.cancelled.set()
            raise


@on_both_loops
def test_a_whole_answer_has_a_length(own_loop: bool) -> None:
    """An answer given at once is framed by its length, and the connection serves the next request."""

    async def test() -> bytes:
        async with serving(echo) as (_, port):
            return await said(port, b"POST /a?b HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi" + GET + LAST)

    answers = run(test(), own_loop=own_loop)

    assert answers == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\nPOST /a?b hi"
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 7\r\nconnection: close\r\n\r\nGET /a "
    )


@on_both_loops
def test_every_piece_goes_out_at_once(own_loop: bool) -> None:
    """A client has each piece before the next is made, as a chunk; empty pieces do not end the answer."""
    steps: asyncio.Queue[None] = asyncio.Queue()

    async def answering(request: Request, reply: Reply) -> None:
        await reply.start(200, PLAIN)
        for piece in (b"one", b"", b"two"):
            await steps.get()
            await reply.send(piece)
        await reply.end()

    async def test() -> list[bytes]:
        async with serving(answering) as (_, port), calling(port) as phone:
            phone.say(GET + b"\r\n")
            heard = [await phone.hear(b"\r\n\r\n")]
            for end in (b"one\r\n", b"", b"two\r\n"):
                steps.put_nowait(None)
                heard += [await phone.hear(end)] if end else []
            return [*heard, await phone.hear(b"0\r\n\r\n")]

    head, *chunks = run(test(), own_loop=own_loop)

    assert b"transfer-encoding: chunked\r\n" in head
    assert chunks == [b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n"]


def test_pipelined_requests_are_answered_in_order() -> None:
    """A slow first request holds back the quick second, and each is answered once."""

    async def answering(request: Request, reply: Reply) -> None:
        await asyncio.sleep(0.05 if request.path == "/slow" else 0)
        await reply.whole(200, (), request.path.encode())

    async def test() -> bytes:
        async with serving(answering, WireLimits(most_waiting=3)) as (_, port):
            names = [b"slow", b"b", b"c", b"beyond-the-limit"]
            return await said(port, b"".join(b"GET /%b HTTP/1.1\r\n" % name + HOST + b"\r\n" for name in names))

    bodies = [part.partition(b"\r\n\r\n")[2] for part in run(test()).split(b"HTTP/1.1 ")[1:]]

    assert bodies == [b"/slow", b"/b", b"/c"]


def test_refusals_are_openai_shaped_and_close() -> None:
    """What is no request gets the envelope that official clients read, and then the connection ends."""

    async def test() -> bytes:
        async with serving(echo) as (_, port):
            return await said(port, GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n" + GET + b"\r\n")

    answer = run(test())

    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b'{"error":{"message":' in answer
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "header",
    [(b"x-a", b"b\r\nset-cookie: c"), (b"x-a", b"b\nc: d"), (b"x-a\r\nb", b"c"), (b"x a", b"b"), (b"x-a", b"b\0")],
)
def test_no_header_of_an_answer_becomes_two(header: tuple[bytes, bytes]) -> None:
    """A line break in a header is a fault of whoever answers: status 500, and nothing of it on the wire."""

    async def answering(request: Request, reply: Reply) -> None:
        await reply.whole(200, (header,), b"")

    async def test() -> bytes:
        async with serving(answering) as (_, port):
            return await said(port, GET + b"\r\n")

    answer = run(test())

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"x-a" not in answer
    assert b"x a" not in answer


def test_framing_headers_of_an_answer_are_ours() -> None:
    """A length, an encoding or a connection option that came from elsewhere is not copied."""

    async def answering(request: Request, reply: Reply) -> None:
        foreign = ((b"content-length", b"99"), (b"transfer-encoding", b"gzip"), (b"connection", b"upgrade"))
        await reply.whole(200, (*foreign, (b"x-own", b"kept")), b"ok")

    async def test() -> bytes:
        async with serving(answering) as (_, port), calling(port) as phone:
            phone.say(GET + b"\r\n")
            return await phone.hear(b"\r\n\r\n")

    assert run(test()) == b"HTTP/1.1 200 OK\r\nx-own: kept\r\ncontent-length: 2\r\n\r\n"


@on_both_loops
@pytest.mark.parametrize("streams", [False, True], ids=["before the first byte", "while streaming"])
@pytest.mark.parametrize("half", [False, True], ids=["reset", "closed"])
def test_who_leaves_is_noticed_at_once(own_loop: bool, streams: bool, half: bool) -> None:
    """The task that answers is cancelled within 100 ms of the client's going, and no connection is left."""

    async def test() -> float:
        held = Held(streams=streams)
        async with serving(held) as (server, port), calling(port) as phone:
            phone.say(GET + b"\r\n")
            await held.began.wait()
            left_at_s = time.monotonic()
            if half:
                phone.writer.write_eof()
            else:
                phone.hang_up()
            await asyncio.wait_for(held.cancelled.wait(), 5)
            noticed_s = time.monotonic() - left_at_s
            await until(lambda: len(server.connections) == 0)
            return noticed_s

    assert run(test(), own_loop=own_loop) < 0.1


def test_who_leaves_behind_pipelined_requests_is_noticed() -> None:
    """Requests that wait behind the one being answered do not hide that their sender has gone."""

    async def test() -> None:
        held = Held()
        async with serving(held, WireLimits(most_waiting=2)) as (_, port), calling(port) as phone:
            phone.say((GET + b"\r\n") * 10)
            await held.began.wait()
            phone.hang_up()
            await asyncio.wait_for(held.cancelled.wait(), 0.1)

    run(test())


def test_writing_to_who_has_left_is_an_error() -> None:
    """An answer that goes on after its client has gone finds out at the next piece."""
    outcome: list[type[BaseException]] = []

    async def answering(request: Request, reply: Reply) -> None:
        await reply.start(200, PLAIN)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                await reply.send(b"more")
            except ClientGone as gone:
                outcome.append(type(gone))

    async def test() -> None:
        async with serving(answering) as (_, port), calling(port) as phone:
            phone.say(GET + b"\r\n")
            await phone.hear(b"\r\n\r\n")
            phone.hang_up()
            await until(lambda: bool(outcome))

    run(test())

    assert outcome == [ClientGone]


@on_both_loops
def test_a_slow_reader_slows_the_writer(own_loop: bool) -> None:
    """Pieces are not made faster than they are read; one who reads nothing at all is cut off in time."""
    sent_bytes = 0

    async def answering(request: Request, reply: Reply) -> None:
        nonlocal sent_bytes
        await reply.start(200, PLAIN)
        while True:
            await reply.send(b"x" * 65_536)
            sent_bytes += 65_536

    async def test() -> None:
        limits = WireLimits(write_timeout_s=0.2)
        async with serving(answering, limits) as (server, port):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(GET + b"\r\n")
                await until(lambda: sent_bytes > 0 and len(server.connections) == 0)

    run(test(), own_loop=own_loop)

    assert sent_bytes < 64_000_000  # what both kernels' buffers take, and no more


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(GET[:9], b"HTTP/1.1 408 ", id="half a head"),
        pytest.param(
            b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nhalf", b"HTTP/1.1 408 ", id="half a body"
        ),
        pytest.param(GET + b"\r\n", b"HTTP/1.1 200 ", id="silence after an answer"),
    ],
)
def test_who_is_slow_is_cut_off(text: bytes, answer: bytes) -> None:
    """Half a request is answered by 408 after its time, and a connection without one is closed."""

    async def test() -> bytes:
        limits = WireLimits(head_timeout_s=0.1, body_timeout_s=0.1, idle_timeout_s=0.1)
        async with serving(echo, limits) as (_, port):
            return await said(port, text)

    heard = run(test())

    assert heard[:13] == answer
    assert heard.count(b"HTTP/1.1 ") == min(1, len(answer))


def test_a_byte_now_and_then_moves_no_deadline() -> None:
    """A head that drips in is cut off all the same."""

    async def test() -> bytes:
        async with serving(echo, WireLimits(head_timeout_s=0.15)) as (_, port), calling(port) as phone:
            for byte in GET * 2:
                phone.say(bytes([byte]))
                await asyncio.sleep(0.01)
                if phone.reader._buffer:  # type: ignore[attr-defined]  # asyncio offers no look without waiting
                    break
            return await phone.hear_all()

    assert run(test()).startswith(b"HTTP/1.1 408 ")


def test_leave_to_send_a_body_is_given_once() -> None:
    """A client that expects 100-continue gets it before its body, and 413 instead for a body too large."""

    async def test() -> tuple[bytes, bytes, bytes]:
        asking = b"POST /a HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        async with serving(echo, WireLimits(most_body_bytes=100)) as (_, port), calling(port) as phone:
            phone.say(asking % 2)
            leave = await phone.hear(b"\r\n\r\n")
            phone.say(b"hi")
            answer = await phone.hear(b"hi")
            return leave, answer, await said(port, asking % 101)

    leave, answer, refusal = run(test())

    assert leave == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert refusal.startswith(b"HTTP/1.1 413 ")


@on_both_loops
def test_a_refusal_reaches_who_is_still_sending(own_loop: bool) -> None:
    """The answer to a body too large is not lost by closing a socket that has unread bytes."""

    async def test() -> bytes:
        async with serving(echo, WireLimits(most_body_bytes=1000)) as (_, port), calling(port) as phone:
            phone.say(b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 5000000\r\n\r\n" + b"x" * 5_000_000)
            return await phone.hear_all()

    assert run(test(), own_loop=own_loop).startswith(b"HTTP/1.1 413 ")


def test_older_clients_are_told_the_end_by_closing() -> None:
    """HTTP/1.0 gets no chunks, and its connection is kept only for an answer with a length."""

    async def stream(request: Request, reply: Reply) -> None:
        await reply.start(200, PLAIN)
        await reply.send(b"all")
        await reply.end()

    async def test() -> tuple[bytes, bytes]:
        async with serving(stream) as (_, port), serving(echo) as (_, other):
            keeping = b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
            return await said(port, keeping), await said(other, keeping + b"GET /b HTTP/1.0\r\n\r\n")

    streamed, whole = run(test())

    assert streamed == b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\nall"
    assert whole.count(b"connection: keep-alive") == 1
    assert whole.endswith(b"GET /b ")


def test_head_and_204_have_no_body() -> None:
    """Where HTTP has no place for a body none is sent, and the connection stays in step."""

    async def answering(request: Request, reply: Reply) -> None:
        await reply.whole(204 if request.method == "GET" else 200, (), b"body")

    async def test() -> bytes:
        async with serving(answering) as (_, port):
            return await said(port, b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n" + GET + LAST)

    assert run(test()) == (
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nHTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
    )


@pytest.mark.parametrize("begun", [False, True])
def test_who_fails_to_answer_takes_nobody_along(begun: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that fails is 500, or breaks off visibly once it has begun; the log has why, the others go on."""

    async def answering(request: Request, reply: Reply) -> None:
        if request.path == "/fail":
            if begun:
                await reply.start(200, ())
            raise LookupError("no such thing")
        await echo(request, reply)

    async def test() -> tuple[bytes, bytes]:
        async with serving(answering) as (_, port), calling(port) as phone:
            phone.say(GET + b"\r\n")
            await phone.hear(b"/a ")
            try:
                failed = await said(port, b"GET /fail HTTP/1.1\r\n" + HOST + b"\r\n")
            except ConnectionResetError:
                failed = b""
            phone.say(GET + b"\r\n")
            return failed, await phone.hear(b"/a ")

    failed, other = run(test())

    assert failed.startswith(b"" if begun else b"HTTP/1.1 500 ")
    assert not failed.endswith(b"0\r\n\r\n")
    assert other.startswith(b"HTTP/1.1 200 ")
    assert "no such thing" in caplog.text


@on_both_loops
def test_draining_lets_answers_finish(own_loop: bool) -> None:
    """What is being answered comes to its end, what is idle is closed, and nobody new is let in."""

    async def test() -> tuple[bytes, bytes]:
        held = Held()
        async with serving(held) as (server, port), calling(port) as idle, calling(port) as busy:
            busy.say(GET + b"\r\n")
            await held.began.wait()
            drained = asyncio.ensure_future(server.drain(5))
            unused = await idle.hear_all()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            held.release.set()
            answer = await busy.hear_all()
            idle.hang_up()
            busy.hang_up()
            await drained
            return unused, answer

    unused, answer = run(test(), own_loop=own_loop)

    assert unused == b""
    assert b"connection: close" in answer
    assert answer.endswith(b"done")


@on_both_loops
def test_draining_has_an_end(own_loop: bool) -> None:
    """An answer that outlasts the time of draining is cancelled, and its task has ended when draining has."""

    async def test() -> bool:
        held = Held(streams=True)
        async with serving(held) as (server, port), calling(port) as phone:
            phone.say(GET + b"\r\n")
            await held.began.wait()
            await server.drain(0.05)
            return held.cancelled.is_set()

    assert run(test(), own_loop=own_loop)


def test_connections_have_a_limit() -> None:
    """Beyond the limit a connection is told to come back later."""

    async def test() -> bytes:
        async with serving(echo, WireLimits(most_connections=1)) as (_, port), calling(port) as phone:
            phone.say(GET + b"\r\n")
            await phone.hear(b"/a ")
            return await said(port, b"")

    refusal = run(test())

    assert refusal.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in refusal


@on_both_loops
def test_small_writes_are_not_held_back(own_loop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """TCP_NODELAY is set on every connection that is accepted."""
    options: list[int] = []

    async def test() -> None:
        async with serving(echo) as (server, port), calling(port) as phone:
            phone.say(GET + b"\r\n")
            await phone.hear(b"/a ")
            [connection] = server.connections.members()
            accepted: Any = connection._transport.get_extra_info("socket")
            options.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    run(test(), own_loop=own_loop)

    assert options[0] != 0


@on_both_loops
def test_a_crowd_that_leaves_at_random_leaves_nothing(own_loop: bool) -> None:
    """Two hundred clients that go at any point leave no connection and no task."""

    async def answering(request: Request, reply: Reply) -> None:
        await reply.start(200, PLAIN)
        for _ in range(20):
            await reply.send(b"x" * 1000)
            await asyncio.sleep(0.001)
        await reply.end()

    async def visit(port: int, visitor: int) -> None:
        async with calling(port) as phone:
            phone.say((GET + b"\r\n")[: visitor % 40])
            await asyncio.sleep(visitor % 7 * 0.004)

    async def test() -> int:
        async with serving(answering) as (server, port):
            await asyncio.gather(*(visit(port, visitor) for visitor in range(200)))
            await until(lambda: len(server.connections) == 0)
        return len(asyncio.all_tasks())

    assert run(test(), own_loop=own_loop) == 1
