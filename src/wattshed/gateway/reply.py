"""The answer to one request, whole or piece by piece, as its sender wants it framed.

    new --whole--> ended
    new --start--> started --send*--> started --end--> ended

Pieces go out at once, each a chunk of its own. `send` comes back when the client has taken enough of what was sent
before, so that a slow reader slows down who writes, and memory stays bounded. An older client, which knows no chunks,
is told the end by the closing of the connection.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from wattshed.gateway.failures import ClientGone
from wattshed.gateway.wire import Headers, Request, head, status_line

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

    def write(self, chunk: bytes) -> None:
        """Send."""

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
        self._require(not self.started)
        framing = b"" if status in _BODILESS else b"content-length: %d\r\n" % len(body)
        front = self._head(status, headers, framing)
        self.ended = True
        await self._write(front if self._silent else front + body)

    async def start(self, status: int, headers: Headers) -> None:
        """Send the status and headers of an answer whose length is not known yet."""
        self._require(not self.started)
        framing = b"transfer-encoding: chunked\r\n" if self._chunks and status not in _BODILESS else b""
        await self._write(self._head(status, headers, framing))

    async def send(self, piece: bytes) -> None:
        """Send a piece of the body, and wait while the client reads slowly; `ClientGone` if it has left."""
        if not self.push(piece):
            await self._line.cleared()

    def push(self, piece: bytes) -> bool:
        """The same without waiting: whether there is room for more, else `cleared` says when."""
        self._require(self.started and not self.ended)
        if not piece or self._silent:  # a chunk of no bytes would end the answer
            return True
        return self._written(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunks else piece)

    async def cleared(self) -> None:
        """Wait until the client has read enough."""
        await self._line.cleared()

    async def end(self) -> None:
        """Say that this was all."""
        self._require(self.started and not self.ended)
        self.ended = True
        if self._chunks and not self._silent:
            await self._write(b"0\r\n\r\n")

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

    async def _write(self, chunk: bytes) -> None:
        if not self._written(chunk):
            await self._line.cleared()

    def _written(self, chunk: bytes) -> bool:
        """Write; whether there is room for more."""
        if self._line.gone:
            raise ClientGone("the client has closed its connection")
        self._line.write(chunk)
        return not self._line.crowded

    def _require(self, allowed: bool) -> None:
        if not allowed:
            raise RuntimeError("an answer is given whole, or started once, sent and ended once")


Answering = Callable[[Request, Reply], Awaitable[None]]
"""Answers a request; cancelled as soon as its client has gone."""
