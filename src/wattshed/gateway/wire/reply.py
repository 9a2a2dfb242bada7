"""The answer to one request, whole or piece by piece, as its sender wants it framed.

    new --whole--> ended
    new --start--> started --send*--> started --end--> ended

Pieces go out at once, each a chunk of its own. `send` comes back when the client has taken enough of what was sent
before, so that a slow reader slows down who writes, and memory stays bounded. An older client, which knows no chunks,
is told the end by the closing of the connection.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from wattshed.gateway.wire.failures import ClientGone
from wattshed.gateway.wire.http import Headers, Request, head, status_line

_BODILESS: Final = frozenset({204, 304})


class Line(Protocol):
    """The connection that an answer goes out on."""

    @property
    def gone(self) -> bool:
        """Whether the client has left."""

    @property
    def closes(self) -> bool:
        """Whether no other answer will follow this one."""

    @property
    def crowded(self) -> bool:
        """Whether the client reads too slowly for more to be written."""

    @property
    def write(self) -> Callable[[bytes], None]:
        """Sends."""

    async def cleared(self) -> None:
        """Wait until the client has read enough."""


class Reply:
    """Answers one request. `started` says that a status has gone out, `ended` that nothing more may follow."""

    __slots__ = ("_chunks", "_line", "_method", "_silent", "closes", "ended", "started")

    def __init__(self, line: Line, method: str, *, chunks: bool) -> None:
        self.started = self.ended = False
        self.closes = False
        self._line, self._method, self._chunks = line, method, chunks
        self._silent = False

    @property
    def gone(self) -> bool:
        """Whether the client has left, so that nobody will read what is still to come."""
        return self._line.gone

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer all at once."""
        if self.started:
            raise _misused()
        framing = b"" if status in _BODILESS else b"content-length: %d\r\n" % len(body)
        front = self._head(status, headers, framing)
        self.ended = True
        if not self._put(front if self._silent else front + body):
            await self._line.cleared()

    async def start(self, status: int, headers: Headers, piece: bytes = b"") -> None:
        """Send the status and headers of an answer whose length is not known yet, with what is there of its body."""
        if self.started:
            raise _misused()
        framing = b"transfer-encoding: chunked\r\n" if self._chunks and status not in _BODILESS else b""
        if not self._put(self._head(status, headers, framing) + self._framed(piece)):
            await self._line.cleared()

    async def send(self, piece: bytes) -> None:
        """Send a piece of the body, and wait while the client reads slowly; `ClientGone` if it has left."""
        if not self.push(piece):
            await self._line.cleared()

    def push(self, piece: bytes) -> bool:
        """The same without waiting: whether there is room for more, else `cleared` says when.

        Written out, since it is called for every token of a stream.
        """
        line = self._line
        if self.ended or not self.started:
            raise _misused()
        if not piece or self._silent:
            return True
        if line.gone:
            raise ClientGone("the client has closed its connection")
        line.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunks else piece)
        return not line.crowded

    async def cleared(self) -> None:
        """Wait until the client has read enough."""
        await self._line.cleared()

    async def end(self, piece: bytes = b"") -> None:
        """Say that this was all, after a last piece."""
        if self.ended or not self.started:
            raise _misused()
        self.ended = True
        last = self._framed(piece) + (b"0\r\n\r\n" if self._chunks and not self._silent else b"")
        if last and not self._put(last):
            await self._line.cleared()

    def _head(self, status: int, headers: Headers, framing: bytes) -> bytes:
        self._silent = self._method == "HEAD" or status in _BODILESS
        self.closes = self._line.closes or not (framing or self._silent)
        if self.closes:
            framing += b"connection: close\r\n"
        elif not self._chunks:  # HTTP/1.0 keeps a connection only where both sides say so
            framing += b"connection: keep-alive\r\n"
        front = head(status_line(status), headers, framing)
        self.started = True
        return front

    def _framed(self, piece: bytes) -> bytes:
        """A piece of the body as it goes out; one of no bytes would end the answer, and stays here."""
        if not piece or self._silent:
            return b""
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunks else piece

    def _put(self, chunk: bytes) -> bool:
        """Write; whether there is room for more."""
        line = self._line
        if line.gone:
            raise ClientGone("the client has closed its connection")
        line.write(chunk)
        return not line.crowded


def _misused() -> RuntimeError:
    return RuntimeError("an answer is given whole, or started once, sent and ended once")


Answering = Callable[[Request, Reply], Awaitable[None]]
"""Answers a request; cancelled as soon as its client has gone."""
