"""One connection to an engine, as asyncio's protocol and llhttp's callbacks.

    kept --ask--> asked --head--> answering --last byte--> kept, or closed where either side wants that
                    |                 |
                    `-- silence, close, nonsense --> failed, and closed

While an answer is full of pieces that nobody has read, its socket is not read either.
"""

import asyncio
import socket
from collections.abc import Callable
from math import inf
from typing import Final, Protocol, cast

import httptools
import msgspec

from wattshed.gateway.wire.answer import Answer
from wattshed.gateway.wire.failures import Reason, UpstreamError
from wattshed.gateway.wire.http import UpstreamTimeouts, forwardable

MOST_HEAD_BYTES: Final = 65_536
"""Longest head of an answer; llama.cpp's and vLLM's are below 1,000."""

STATUSES: Final = range(100, 600)
"""What a status may be (RFC 9110, section 15); llhttp lets 000 pass, which would not look like an answer."""


class Pool(Protocol):
    """Where connections come from and return to."""

    name: str
    timeouts: UpstreamTimeouts
    now_s: Callable[[], float]

    def keep(self, connection: "Outgoing") -> None:
        """It may be used again."""

    def forget(self, connection: "Outgoing") -> None:
        """It is closed."""


class _Progress(msgspec.Struct):
    """How far the answer to one request has come. `framed` says that it tells its end by a length or by chunks."""

    heard_bytes: int = 0
    interim: bool = False
    begun: bool = False
    framed: bool = False
    complete: bool = False
    keeps: bool = False
    malformed: bool = False


class Outgoing(asyncio.Protocol):
    """One connection to an engine. `kept_at_s` is since when it has been free."""

    def __init__(self, pool: Pool) -> None:
        self.closed = False
        self.kept_at_s = 0.0
        self._pool = pool
        self._answer: Answer | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._progress = _Progress()
        self._paused = False
        self._deadline_s = self._ends_by_s = inf

    def ask(self, message: bytes) -> Answer:
        """Send a request, and return its answer, which has not begun yet."""
        self._answer = answer = Answer(self)
        self._headers, self._progress = [], _Progress()
        at_s, timeouts = self._pool.now_s(), self._pool.timeouts
        self._deadline_s = at_s + timeouts.first_byte_s
        self._ends_by_s = inf if timeouts.whole_s is None else at_s + timeouts.whole_s
        if self.closed:
            self._fail("gone_before_answer", "closed the connection before it was asked")
        else:
            self._transport.write(message)
        return answer

    def resume(self) -> None:
        """The answer has room again."""
        if self._paused:
            self._paused = False
            self._deadline_s = self._pool.now_s() + self._pool.timeouts.silence_s
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, without a word to whoever reads the answer."""
        self._answer = None
        self.closed = True
        self._transport.abort()

    def look(self, now_s: float) -> None:
        """Give up on an engine that is silent for too long, or on a connection that nobody has used for long."""
        if self._answer is not None:
            if now_s > self._deadline_s:
                self._fail("timed_out", "was silent for too long")
            elif now_s > self._ends_by_s:
                self._fail("timed_out", "took too long over the whole answer")
        elif now_s - self.kept_at_s > self._pool.timeouts.idle_s:
            self.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the engine has accepted."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop has a class of its own
        self.kept_at_s = self._pool.now_s()
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, chunk: bytes) -> None:
        """asyncio: bytes have come."""
        if self._answer is None:
            self.abort()  # nobody has asked for anything
            return
        progress, pool = self._progress, self._pool
        progress.heard_bytes += len(chunk)
        self._deadline_s = pool.now_s() + pool.timeouts.silence_s
        try:
            self._parser.feed_data(chunk)
        except httptools.HttpParserError:
            progress.malformed = True
        has_room = True
        if self._pieces:  # what one read brought is passed on as one, at once
            pieces, self._pieces = self._pieces, []
            has_room = self._answer.piece_came(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if progress.complete and progress.begun:
            self._settle(self._answer)
        elif progress.malformed or (not progress.begun and progress.heard_bytes > MOST_HEAD_BYTES):
            self._fail("malformed", "sent no proper HTTP/1.1 answer")
        elif not has_room:
            self._pause()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: the socket is closed."""
        self.closed = True
        self._pool.forget(self)
        if self._answer is None:
            return
        if error is None and self._progress.begun and not self._progress.framed:
            self._answer.ended()  # an answer without a length ends where the connection does
        elif self._progress.heard_bytes:
            self._fail("broken_midway", "closed the connection in the middle of an answer")
        else:
            self._fail("gone_before_answer", "closed the connection before answering")

    def on_message_begin(self) -> None:
        """llhttp: the first byte of an answer; behind the one that was asked for there is none."""
        self._progress.malformed |= self._progress.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a header, or a trailer, which is left out."""
        if not self._progress.begun:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """llhttp: the empty line."""
        progress, status = self._progress, self._parser.get_status_code()
        progress.interim = 100 <= status < 200
        progress.malformed |= status not in STATUSES or status == 101
        if self._answer is None or progress.interim or progress.malformed:
            return
        fields = dict(self._headers)
        progress.framed = (
            b"content-length" in fields
            or b"chunked" in fields.get(b"transfer-encoding", b"").lower()
            or status in (204, 304)
        )
        progress.begun = True
        self._answer.head_came(status, forwardable(tuple(self._headers)))

    def on_body(self, body: bytes) -> None:
        """llhttp: a piece of the body."""
        if not self._progress.malformed:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        """llhttp: the last byte of an answer, or of a mere sign of life before it (RFC 9110, section 15.2)."""
        if self._progress.interim:
            self._headers.clear()
        elif not self._progress.complete:
            self._progress.complete = True
            self._progress.keeps = self._parser.should_keep_alive()

    def _pause(self) -> None:
        """Read no more until the answer has room; meanwhile silence is not the engine's fault."""
        self._paused, self._deadline_s = True, inf
        self._transport.pause_reading()

    def _settle(self, answer: Answer) -> None:
        """The answer is all there: free the connection."""
        self._answer = None
        if self._progress.keeps and not self._progress.malformed and not self._transport.is_closing():
            self.kept_at_s = self._pool.now_s()
            self._pool.keep(self)
        else:
            self.abort()
        answer.ended()

    def _fail(self, reason: Reason, problem: str) -> None:
        answer = self._answer
        self.abort()
        if answer is not None:
            answer.ended(UpstreamError(reason, f"{self._pool.name} {problem}"))
