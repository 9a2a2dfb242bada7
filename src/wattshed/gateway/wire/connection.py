"""One client's connection: requests in, answers out in their order, one task a request.

    open --> [idle -> reading -> answering]* --> left --> gone

The socket is read all the while, so that a client that leaves is noticed at once, in whatever phase, and the task is
cancelled there and then. A client that closes only its sending half has left, too: the two look alike.

We leave gently: after the last answer we say that no more comes and read on for a moment, because closing a socket
with unread bytes destroys what was sent over it before.

Time-outs are two deadlines, for reading and for writing, that a sweep looks at; they are no timers of their own.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Protocol, cast

from wattshed.gateway.wire.failures import ClientGone
from wattshed.gateway.wire.http import Request, Sweep, WireLimits, head, status_line
from wattshed.gateway.wire.reading import Received, RequestReader
from wattshed.gateway.wire.refusals import Refusal
from wattshed.gateway.wire.reply import Answering, Reply

LINGER_S: Final = 2.0
"""How long a connection that we have closed is read, for the other side to see what was said last."""

_log = logging.getLogger(__name__)


class Listener(Protocol):
    """What a connection needs of the server that it belongs to."""

    answering: Answering
    limits: WireLimits
    now_s: Callable[[], float]
    draining: bool
    connections: "Sweep[Connection]"

    def forget(self, connection: "Connection") -> None:
        """A connection is gone."""

    def unwind(self, task: asyncio.Task[None]) -> None:
        """A cancelled task is coming to its end."""


class Connection(asyncio.Protocol):
    """One client's connection, and the request of it that is being answered."""

    def __init__(self, server: Listener) -> None:
        self.gone = False
        self.crowded = False
        self._server = server
        self._waiting: deque[Received] = deque()
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._read_by_s = self._write_by_s = inf
        self._phase = 0
        self._left = self._lingered = False

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._task is not None

    @property
    def closes(self) -> bool:
        """Whether the answer that is being given is the last one."""
        return (self._reader.deaf or self._server.draining) and not self._waiting

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a client has connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop has a class of its own
        self.write: Callable[[bytes], None] = self._transport.write
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = transport.get_extra_info("peername")
        self._reader = RequestReader(self._server.limits, peer[0] if peer else "")
        crowd = len(self._server.connections) >= self._server.limits.most_connections
        self._server.connections.add(self)
        if crowd:
            self._refuse(Refusal(503, "overloaded", "too many connections; try again later", 1.0))
        else:
            self._read_by_s = self._server.now_s() + self._server.limits.idle_timeout_s

    def data_received(self, chunk: bytes) -> None:
        """asyncio: bytes have come."""
        reader = self._reader
        self._waiting.extend(reader.feed(chunk))
        if len(self._waiting) >= self._server.limits.most_waiting:
            reader.deaf = True
        if self._task is None:
            if reader.wants_continue and reader.refusal is None and not self._waiting:
                reader.wants_continue = False
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._proceed()
        else:
            self._set_deadline()

    def eof_received(self) -> None:
        """asyncio: the client sends no more; what it has not read of finished answers may still go out."""
        if self._task is not None:
            self.drop()

    def connection_lost(self, _error: Exception | None) -> None:
        """asyncio: the socket is closed."""
        self._abandon()
        self._server.forget(self)

    def pause_writing(self) -> None:
        """asyncio: the client reads too slowly."""
        self.crowded = True
        self._write_by_s = self._server.now_s() + self._server.limits.write_timeout_s

    def resume_writing(self) -> None:
        """asyncio: the client has read enough."""
        self.crowded = False
        self._write_by_s = inf
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def cleared(self) -> None:
        """Wait until the client has read enough; ends by cancellation if it never does."""
        while self.crowded and not self.gone:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def look(self, now_s: float) -> None:
        """Give up on a client that is overdue, with a word if it is in the middle of a request."""
        if now_s > self._write_by_s:
            self.drop()
        elif now_s <= self._read_by_s:
            return
        elif self._left:
            self._linger(now_s)
        elif self._task is not None:
            self._reader.deaf = True
            self._read_by_s = inf
        elif self._reader.stage == "idle":
            self._leave()
        else:
            self._reader.deaf = True
            self._refuse(Refusal(408, "request_timed_out", "the request took too long to arrive"))

    def _linger(self, now_s: float) -> None:
        """Drop a connection that was closed, unless the client is still reading the last answer."""
        if self._lingered or not self._transport.get_write_buffer_size():
            self.drop()
        self._lingered, self._read_by_s = True, now_s + self._server.limits.write_timeout_s

    def leave_when_idle(self) -> None:
        """Close unless a request is being read or answered; then after it."""
        if self._task is None and self._reader.stage == "idle":
            self._leave()

    def drop(self) -> None:
        """Close at once; whoever answers is cancelled."""
        self._abandon()
        self._transport.abort()

    def _proceed(self) -> None:
        """Answer the next request, or see what else is to be done."""
        if self._left or self.gone:
            return
        if self._waiting:
            received = self._waiting.popleft()
            self._read_by_s = inf
            reply = Reply(self, received.request.method, chunks=received.chunks)
            self._task = asyncio.get_running_loop().create_task(self._answer(received.request, reply))
        elif self._reader.refusal is not None:
            self._refuse(self._reader.refusal)
        elif self._reader.deaf or (self._server.draining and self._reader.stage == "idle"):
            self._leave()
        else:
            self._set_deadline()

    async def _answer(self, request: Request, reply: Reply) -> None:
        """The task of one request."""
        try:
            await self._server.answering(request, reply)
        except ClientGone:
            return
        except asyncio.CancelledError:
            self.drop()
            raise
        except Exception:  # noqa: BLE001 - the border of a task: whoever answers may fail in any way, and others go on
            _log.exception("answering %s %s failed", request.method, request.path)
        if self.gone:
            return
        self._task = None
        if reply.ended and not reply.closes:
            self._proceed()
        elif reply.ended:
            self._leave()
        elif reply.started:
            self.drop()  # the only way to say that the rest is missing
        else:
            self._refuse(Refusal(500, "internal_error", "the gateway failed to answer; its log says why"))

    def _refuse(self, refusal: Refusal) -> None:
        """Say why, and close."""
        body = refusal.as_json()
        framing = b"content-length: %d\r\nconnection: close\r\n" % len(body)
        if not self._transport.is_closing():
            self._transport.write(head(status_line(refusal.status), refusal.headers, framing) + body)
        self._leave()

    def _leave(self) -> None:
        """Say that no more comes, and wait for the other side to close."""
        self._left = self._reader.deaf = True
        self._waiting.clear()
        self._read_by_s = self._server.now_s() + LINGER_S
        if not self._transport.is_closing():
            self._transport.write_eof()

    def _abandon(self) -> None:
        """Cancel whoever answers, once."""
        self.gone = True
        self._waiting.clear()
        task, self._task = self._task, None
        if task is not None:
            self._server.unwind(task)
            task.cancel()

    def _set_deadline(self) -> None:
        """By when the next bytes must have come, from the stage that reading is in."""
        stage, limits = self._reader.stage, self._server.limits
        if stage == "idle":
            allowed_s = limits.idle_timeout_s if self._task is None else inf
        elif self._phase == self._reader.phase:
            return  # more of the same head or body moves no deadline: a byte now and then would never end
        else:
            allowed_s = limits.head_timeout_s if stage == "head" else limits.body_timeout_s
        self._phase = self._reader.phase
        self._read_by_s = self._server.now_s() + allowed_s
