"""What an engine answers, as it comes in: the end of a connection that whoever asked holds.

An `Answer` outlives its connection's interest in it: once the last byte is in, the connection is free for the next
request, however slowly the answer is read. Before that, an answer that nobody reads stops the reading of the socket,
so that the engine is slowed down and not our memory filled.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Protocol

from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.http import Headers

HIGH_WATER_BYTES: Final = 262_144
"""Bytes of an answer that are held unread before the socket is left alone."""


class Line(Protocol):
    """The connection that an answer comes in on."""

    def resume(self) -> None:
        """There is room again."""

    def abort(self) -> None:
        """Close at once."""


class Answer:
    """An engine's answer: `status` and `headers` (framing left out) are there at once, the body as it comes.

    `chunks` can be read once, or `pour`ed. `close` must be called in the end: it drops the connection unless all of the
    answer came.
    """

    __slots__ = (
        "_complete",
        "_connection",
        "_failure",
        "_full",
        "_held_bytes",
        "_pieces",
        "_sink",
        "_spoiled",
        "_wake",
        "headers",
        "status",
    )

    def __init__(self, connection: Line) -> None:
        self.status = 0
        self.headers: Headers = ()
        self._connection: Line | None = connection
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._complete = False
        self._failure: UpstreamError | None = None
        self._wake: asyncio.Future[None] | None = None
        self._sink: Callable[[bytes], bool] | None = None
        self._full = False
        self._spoiled: Exception | None = None

    @property
    def chunks(self) -> AsyncIterator[bytes]:
        """The body, in pieces as they came; what came together comes together. `UpstreamError` where it breaks off."""
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._over():
                raise StopAsyncIteration
            await self._changed()
        return self._taken()

    async def pour(self, sink: Callable[[bytes], bool], cleared: Callable[[], Awaitable[None]]) -> None:
        """Give the rest of the body to `sink`, each piece within the read that brings it; as `chunks`, but quicker.

        Where `sink` says that there is no room for more, pieces are held until `cleared` has come back. What `sink`
        raises is raised here, and ends the pouring. A future and a turn of the loop a piece are a third of its cost.
        """
        while True:
            if self._spoiled is not None:
                raise self._spoiled
            if self._full:
                self._full = False
                await cleared()
            elif self._pieces:
                self._full = not sink(self._taken())
            elif self._over():
                return
            else:
                self._sink = sink
                await self._changed()

    def _over(self) -> bool:
        """Whether nothing more will come; the failure where that is because it broke off."""
        if self._failure is not None:
            raise self._failure
        return self._complete

    def _taken(self) -> bytes:
        """All that is held; there is room again."""
        pieces, self._pieces, self._held_bytes = self._pieces, [], 0
        if self._connection is not None:
            self._connection.resume()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def whole(self, most_bytes: int) -> bytes:
        """The rest of the body; `malformed` where it has more than `most_bytes`."""
        pieces, length = [], 0
        while self._pieces or not self._over():
            if not self._pieces:
                await self._changed()
                continue
            pieces.append(self._taken())
            length += len(pieces[-1])
            if length > most_bytes:
                self.close()
                raise UpstreamError("malformed", f"the answer has more than {most_bytes} bytes")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def begun(self) -> None:
        """Wait for status and headers."""
        while not self.status:
            if self._failure is not None:
                raise self._failure
            await self._changed()

    def close(self) -> None:
        """Nobody reads on; twice does no harm."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def head_came(self, status: int, headers: Headers) -> None:
        """The connection: status and headers."""
        self.status, self.headers = status, headers
        self._notify()

    def piece_came(self, piece: bytes) -> bool:
        """The connection: what a read brought of the body; whether there is room for more."""
        if self._sink is not None:
            try:
                if self._sink(piece):
                    return True
                self._full = True
            except Exception as error:  # noqa: BLE001  raised again in the task: here it would look like the engine's
                self._spoiled = error
            self._sink = None  # the task pours on
            self._notify()
            return True
        self._pieces.append(piece)
        self._held_bytes += len(piece)
        self._notify()
        return self._held_bytes < HIGH_WATER_BYTES

    def ended(self, failure: UpstreamError | None = None) -> None:
        """The connection: that was all, or it broke off."""
        self._complete, self._failure, self._connection = failure is None, failure, None
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _changed(self) -> None:
        """Wait for the connection; whoever is cancelled here closes it at once."""
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._wake = self._sink = None
