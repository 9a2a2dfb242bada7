"""The side of the gateway that engines see: requests out over kept connections, answers in.

    send --> a kept connection --closed before any byte--> a new one --> Answer
         `-> none kept ----------------------------------> a new one --> Answer

llama.cpp says that it keeps a connection and closes it after each stream; any server may close one just as we write. A
request on a kept connection that closes before a byte of the answer is sent once more, on a new one; nothing else is
ever sent twice. Where requests go is settled when the `Upstream` is made: no request can name another place.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from wattshed.gateway.wire.answer import Answer
from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.http import FRAMING, TARGET, Headers, Sweep, UpstreamTimeouts, head
from wattshed.gateway.wire.outgoing import Outgoing

__all__ = ["Answer", "Upstream", "UpstreamTimeouts"]

MOST_KEPT: Final = 256
"""Connections kept for later use; beyond that they are closed after their answer."""

_WRITTEN: Final = FRAMING | {b"accept-encoding"}
"""Headers that we write ourselves."""

_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""No HEAD: its answer announces a body that does not come."""


class Upstream:
    """One engine, by its URL: `http` or `https`, a host, and perhaps a path that goes before every other."""

    def __init__(
        self,
        base_url: str,
        timeouts: UpstreamTimeouts | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._place = _Place.of(base_url)
        self.name = self._place.netloc
        self.timeouts, self.now_s = timeouts or UpstreamTimeouts(), now_s
        self._tls = (tls or ssl.create_default_context()) if self._place.secure else None
        self._connections: Sweep[Outgoing] = Sweep(self.timeouts.shortest_s, now_s)
        self._kept: dict[Outgoing, None] = {}

    @property
    def connections(self) -> int:
        """Connections that are open, kept ones included."""
        return len(self._connections)

    async def send(
        self,
        method: str,
        path: str,
        headers: Headers,
        body: bytes = b"",
        *,
        meanwhile: Callable[[], object] | None = None,
    ) -> Answer:
        """The answer as soon as its head is there, to be closed by the caller; `UpstreamError` where none comes.

        `path` may have a query. Framing, `Host` and `Accept-Encoding` are ours: bodies come as they are.
        `meanwhile` is done once the request is out, while the engine computes.
        Cancelling closes the connection at once.
        """
        message = self._message(method, path, headers, body)
        kept = self._take()
        answer = (kept or await self._connect()).ask(message)
        try:
            if meanwhile is not None:
                meanwhile()
            await answer.begun()
        except UpstreamError as failure:
            if kept is None or failure.reason != "gone_before_answer":
                raise
            answer = (await self._again(failure)).ask(message)
            await answer.begun()
        except Exception:
            answer.close()  # whatever `meanwhile` raises, nobody has the answer
            raise
        return answer

    def close(self) -> None:
        """Close every connection, busy ones too."""
        for connection in self._connections.members():
            connection.abort()
        self._kept.clear()

    def keep(self, connection: Outgoing) -> None:
        """A connection is free again."""
        if len(self._kept) < MOST_KEPT:
            self._kept[connection] = None
        else:
            connection.abort()

    def forget(self, connection: Outgoing) -> None:
        """A connection is closed."""
        self._connections.discard(connection)
        self._kept.pop(connection, None)

    def _take(self) -> Outgoing | None:
        """The kept connection that was used last, so that the others grow old and are closed."""
        oldest_s = self.now_s() - self.timeouts.idle_s
        while self._kept:
            connection, _ = self._kept.popitem()
            if not connection.closed and connection.kept_at_s >= oldest_s:
                return connection
            connection.abort()
        return None

    async def _again(self, failure: UpstreamError) -> Outgoing:
        """A new connection; where nobody is there, the old failure: the engine may have died computing the answer."""
        try:
            return await self._connect()
        except UpstreamError as error:
            raise failure from error

    async def _connect(self) -> Outgoing:
        loop, place = asyncio.get_running_loop(), self._place
        try:
            async with asyncio.timeout(self.timeouts.connect_s):
                _, connection = await loop.create_connection(
                    lambda: Outgoing(self), place.host, place.port, ssl=self._tls
                )
        except TimeoutError as error:
            raise UpstreamError(
                "connect_failed", f"{self.name}: no connection in {self.timeouts.connect_s:g} s"
            ) from error
        except (OSError, UnicodeError) as error:  # the latter from host names that no name server could know
            raise UpstreamError("connect_failed", f"{self.name}: no connection ({error})") from error
        if not connection.closed:  # added here, since uvloop does not tell a connection whose making was cancelled
            self._connections.add(connection)
        return connection

    def _message(self, method: str, path: str, headers: Headers, body: bytes) -> bytes:
        start = _start(method, self._place.prefix + path, self._place.netloc)
        framed = body or method not in ("GET", "DELETE", "OPTIONS")
        framing = b"content-length: %d\r\n" % len(body) if framed else b""
        return head(start, headers, framing, written=_WRITTEN) + body


@lru_cache(maxsize=256)
def _start(method: str, path: str, host: str) -> bytes:
    """A request's first line, and the headers that never change."""
    target = path.encode("ascii", "replace")
    if method not in _METHODS or TARGET.fullmatch(target) is None:
        raise ValueError("a request needs a known method, and a path of visible ASCII that begins with a slash")
    line = b"%b %b HTTP/1.1\r\n" % (method.encode("ascii"), target)
    return line + b"host: %b\r\naccept-encoding: identity\r\n" % host.encode("ascii")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a URL points."""

    host: str
    port: int
    netloc: str
    prefix: str
    secure: bool

    @classmethod
    def of(cls, base_url: str) -> "_Place":
        """The parts of a URL; ValueError where it is none of ours."""
        parts = urlsplit(base_url)
        plain = not (parts.query or parts.fragment or parts.username or parts.password)
        if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
            raise ValueError(f"an upstream is http://host:port or https://host:port, got {base_url!r}")
        if re.fullmatch(r"[\x21-\x7e]+", parts.netloc) is None:
            raise ValueError(f"the host of an upstream is ASCII, got {base_url!r}")
        secure = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if secure else 80), parts.netloc, parts.path.rstrip("/"), secure)
