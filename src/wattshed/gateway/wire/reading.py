"""Requests out of bytes, without a socket: feed what came, take the whole requests that it completes.

    idle --first byte--> head --empty line--> body --last byte--> idle

llhttp parses strictly: it refuses folded lines, bare line feeds, two lengths, a length beside chunks, and numbers that
are none. What it leaves open is decided here, always for refusing, because a message that two servers may read in two
ways is how requests are smuggled. After a refusal the reader is deaf: nothing behind a doubtful message is a request.

Memory is bounded by the limits and one read: no more than a head's worth may come without completing something.
"""

from typing import Final, Literal

import httptools
import msgspec

from wattshed.gateway.wire.http import TARGET, Request, WireLimits, firsts
from wattshed.gateway.wire.refusals import Refusal

Stage = Literal["idle", "head", "body"]

_NOTHING: Final[list["Received"]] = []


class Received(msgspec.Struct, frozen=True):
    """A whole request, and how its sender wants the answer: `chunks` are understood, the connection `keeps`."""

    request: Request
    chunks: bool
    keeps: bool


class RequestReader:
    """Reads the requests of one connection.

    `phase` grows whenever the stage changes, so that whoever keeps time-outs can tell one head from the next.
    `wants_continue` says that the client waits for leave to send its body.
    """

    def __init__(self, limits: WireLimits, client: str) -> None:
        self.stage: Stage = "idle"
        self.phase = 0
        self.refusal: Refusal | None = None
        self.deaf = False
        self.wants_continue = False
        self._limits, self._client = limits, client
        self._parser = httptools.HttpRequestParser(self)
        self._received: list[Received] = []
        self._progressed = False
        self._stalled_bytes = 0
        self._start_over()

    def feed(self, chunk: bytes) -> list[Received]:
        """The requests that these bytes complete, in order; look at `refusal` and `deaf` after it."""
        if self.deaf:
            return _NOTHING
        self._progressed = False
        try:
            self._parser.feed_data(chunk)
        except httptools.HttpParserUpgrade as upgrade:
            if not self.deaf:
                self._decline(chunk[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(_malformed())
        if self.stage != "idle" or not self._progressed:  # else a request has just been completed
            self._measure(len(chunk))
        received, self._received = self._received, []
        return received

    def on_message_begin(self) -> None:
        """llhttp: the first byte of a request."""
        self.stage = "head"
        self.phase += 1

    def on_url(self, url: bytes) -> None:
        """llhttp: a piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a header, or a trailer, which nobody here has a use for."""
        self._progressed = True
        self._head_bytes += len(name) + len(value)
        if self.stage == "head":
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """llhttp: the empty line."""
        self._progressed = True
        self.stage = "body"
        self.phase += 1
        self._method = self._parser.get_method()
        self._version = self._parser.get_http_version()
        fields = self._fields = firsts(self._headers)
        refusal = self._unclear(fields) or self._excessive(fields)
        if refusal is not None:
            self._refuse(refusal)
        self.wants_continue = b"expect" in fields and self._version == "1.1"

    def on_body(self, body: bytes) -> None:
        """llhttp: a piece of the body."""
        self._progressed = True
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.most_body_bytes:
            self._refuse(self._too_large())
        elif not self.deaf:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """llhttp: the last byte of a request."""
        self._progressed = True
        if self._parser.should_upgrade() and not self.deaf:
            return  # llhttp has skipped the body: see `_decline`
        self.stage = "idle"
        self.phase += 1
        self.wants_continue = False
        if not self.deaf:
            self._take()
        self._start_over()

    def _decline(self, rest: bytes) -> None:
        """Read a request that offers another protocol again, without its offer, as the last of its connection.

        RFC 9110 section 7.8 allows that, Java's client counts on it, and llhttp would skip the body.
        """
        offer = (b"connection", b"upgrade", b"http2-settings")
        lines = [b"%b: %b\r\n" % header for header in self._headers if header[0] not in offer]
        start = b"%b %b HTTP/%b\r\n" % (self._method, self._url, self._version.encode("ascii"))
        self._parser = httptools.HttpRequestParser(self)
        self._start_over()
        try:
            self._parser.feed_data(b"%b%bConnection: close\r\n\r\n%b" % (start, b"".join(lines), rest))
        except httptools.HttpParserError:
            self._refuse(_malformed())

    def _take(self) -> None:
        keeps = self._parser.should_keep_alive()
        target, method = self._url.decode("ascii"), self._method.decode("ascii")
        request = Request(method, target, tuple(self._headers), b"".join(self._body), self._client, self._fields)
        self._received.append(Received(request, self._version == "1.1", keeps))
        self.deaf = not keeps or len(self._received) >= self._limits.most_waiting

    def _unclear(self, fields: dict[bytes, bytes]) -> Refusal | None:
        """What another server might read in another way, or we do not do."""
        if self._version not in ("1.0", "1.1"):
            return Refusal(505, "invalid_request", "this server speaks HTTP/1.1")
        if self._method == b"CONNECT":
            return Refusal(405, "method_not_allowed", "this server opens no tunnels")
        if TARGET.fullmatch(self._url) is None:
            return Refusal(400, "invalid_request", "the target of a request is a path that begins with a slash")
        if self._count(b"host") != 1 and (self._version == "1.1" or b"host" in fields):
            return Refusal(400, "invalid_request", "a request has one Host header")
        if b"transfer-encoding" in fields:
            chunked = fields[b"transfer-encoding"].lower() == b"chunked"
            if not chunked or self._count(b"transfer-encoding") > 1 or self._version == "1.0":
                return Refusal(400, "invalid_request", "the only transfer encoding is chunked, in HTTP/1.1")
        return None

    def _count(self, name: bytes) -> int:
        """How many headers have this name; mostly none is there twice."""
        if len(self._fields) == len(self._headers):
            return int(name in self._fields)
        return [one for one, _ in self._headers].count(name)

    def _excessive(self, fields: dict[bytes, bytes]) -> Refusal | None:
        if self._head_bytes + len(self._url) > self._limits.most_head_bytes:
            return self._too_long()
        if len(self._headers) > self._limits.most_headers:
            return Refusal(431, "headers_too_large", f"at most {self._limits.most_headers} headers are read")
        if int(fields.get(b"content-length", b"0")) > self._limits.most_body_bytes:
            return self._too_large()
        expected = {value.lower() for name, value in self._headers if name == b"expect"} if b"expect" in fields else ()
        if expected and expected != {b"100-continue"}:
            return Refusal(417, "invalid_request", "the only expectation that is met is 100-continue")
        return None

    def _measure(self, arrived_bytes: int) -> None:
        """Refuse a head that is too long, or bytes without end that complete nothing."""
        self._stalled_bytes = 0 if self._progressed else self._stalled_bytes + arrived_bytes
        if max(self._stalled_bytes, self._head_bytes + len(self._url)) > self._limits.most_head_bytes:
            self._refuse(self._too_long())

    def _too_long(self) -> Refusal:
        problem = f"the head of a request has at most {self._limits.most_head_bytes} bytes"
        return Refusal(431, "headers_too_large", problem)

    def _too_large(self) -> Refusal:
        return Refusal(413, "body_too_large", f"the body of a request has at most {self._limits.most_body_bytes} bytes")

    def _refuse(self, refusal: Refusal) -> None:
        """Keep the first refusal, unless the bytes came behind the last request that is read."""
        if not self.deaf:
            self.refusal, self.deaf = refusal, True

    def _start_over(self) -> None:
        self._stalled_bytes = 0
        self._url: bytes = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes: int = 0
        self._body: list[bytes] = []
        self._body_bytes = 0


def _malformed() -> Refusal:
    return Refusal(400, "invalid_request", "the request is not well-formed HTTP/1.1")
