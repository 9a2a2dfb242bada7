"""HTTP/1.1 as both sides of the gateway speak it: values, limits, and what keeps one message from becoming two.

Names of headers are lower case, values are bytes as they came. Framing (length, chunks, kept connections) is decided
anew on each side and never copied across; nor is what belongs to one connection only (RFC 9110, section 7.6.1).
Nothing that could end a line gets into a head, whoever supplied it: that is a ValueError of ours, not a second message.
"""

import asyncio
import re
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from ipaddress import ip_address
from math import inf
from typing import Final, Generic, Protocol, TypeVar

import msgspec

Headers = tuple[tuple[bytes, bytes], ...]

_OF_ONE_CONNECTION: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"}
    | {b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings"}
)
"""Hop-by-hop headers: RFC 9110, section 7.6.1, and those of RFC 2616 and RFC 7540 that old senders use."""

FRAMING: Final = _OF_ONE_CONNECTION | {b"content-length", b"host", b"expect"}
"""What the sender of a message writes itself."""

TARGET: Final = re.compile(rb"/[\x21-\x7e]*")
"""A path on this server, with its query. A whole URL is refused: where requests go is for the configuration to say."""

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode("ascii")) for status in HTTPStatus
}


class Request(msgspec.Struct, frozen=True):
    """A whole request. `client` is the address that it came from.

    A Struct and no dataclass, as all values here that are made once a request: 0.1 us each in place of 1.3.
    """

    method: str
    target: str
    headers: Headers
    body: bytes
    client: str
    _first: dict[bytes, bytes] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self._first:  # who reads requests has looked already
            msgspec.structs.force_setattr(self, "_first", firsts(self.headers))

    @property
    def path(self) -> str:
        """The target without its query, as it was sent."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the question mark, not decoded."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The first value of a header; `name` in lower case."""
        value = self._first.get(name.encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    def has_prefixed(self, prefix: bytes) -> bool:
        """Whether the name of a header begins so."""
        for name in self._first:  # noqa: SIM110  a generator takes four times as long
            if name.startswith(prefix):
                return True
        return False


@dataclass(frozen=True, slots=True)
class WireLimits:
    """The most that one client may send, and how slowly.

    `most_waiting` requests may be sent ahead of their answers; what comes beyond is not read, and the connection
    closes after the last of them. A write must make way within `write_timeout_s` for the client to count as reading.
    """

    most_head_bytes: int = 32_768
    most_headers: int = 100
    most_body_bytes: int = 33_554_432
    most_waiting: int = 16
    most_connections: int = 10_000
    head_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    idle_timeout_s: float = 75.0
    write_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        durations_s = (self.head_timeout_s, self.body_timeout_s, self.idle_timeout_s, self.write_timeout_s)
        if min(durations_s) <= 0 or min(self.most_head_bytes, self.most_headers, self.most_connections) < 1:
            raise ValueError("limits of the wire are above zero")


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """How long an engine may be silent.

    `first_byte_s` covers the whole computing of an answer that is not streamed. A connection unused for `idle_s` is
    closed rather than used again: uvicorn, which serves vLLM, closes after 5 s. `whole_s` is for the whole of an
    answer, from asking to its last byte, its client's pauses included; `None` is no limit.
    """

    connect_s: float = 5.0
    first_byte_s: float = 600.0
    silence_s: float = 60.0
    idle_s: float = 4.0
    whole_s: float | None = None

    def __post_init__(self) -> None:
        if min(self.connect_s, self.shortest_s) <= 0:
            raise ValueError("time-outs of an upstream are above zero")

    @property
    def shortest_s(self) -> float:
        """The least of those that are watched over."""
        return min(self.first_byte_s, self.silence_s, self.idle_s, inf if self.whole_s is None else self.whole_s)


def firsts(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The first value of each header."""
    return dict(reversed(headers))


def forwardable(headers: Headers, *, dropped: Set[bytes] = FRAMING) -> Headers:
    """The headers that may go on to the other side: all but those `dropped`, and those that `Connection` names."""
    if b"connection" in dict(headers):
        options = b",".join([value for name, value in headers if name == b"connection"])
        dropped = dropped | {option.strip().lower() for option in options.split(b",")}
    return tuple([header for header in headers if header[0] not in dropped])


def bearer(token: str) -> Headers:
    """The header that shows a token."""
    return ((b"authorization", b"Bearer " + token.encode()),)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; of a name but `localhost` nobody knows what it means tomorrow."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def status_line(status: int) -> bytes:
    """The first line of an answer."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def head(start: bytes, headers: Headers, framing: bytes, *, written: Set[bytes] = FRAMING) -> bytes:
    """A whole head: first line, the headers but for those `written` there, and our own framing.

    ValueError for a line too many.
    """
    lines = [_opening(name) + value + b"\r\n" for name, value in headers if name not in written]
    block = b"".join(lines)
    if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines) or b"\0" in block:
        raise ValueError("the value of a header holds a line break or a zero byte")
    return start + block + framing + b"\r\n"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop: uvloop where it is installed, else Python's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class Watched(Protocol):
    """Something that may have waited too long."""

    def look(self, now_s: float) -> None:
        """Give up on whatever is overdue."""


Member = TypeVar("Member", bound=Watched)


class Sweep(Generic[Member]):
    """Looks at its members every `period_s`, while there are any: one timer, however many connections.

    An end is noticed up to a period late.
    """

    def __init__(self, shortest_s: float, now_s: Callable[[], float]) -> None:
        self._period_s = min(1.0, max(0.01, shortest_s / 8))
        self._now_s = now_s
        self._members: dict[Member, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._members)

    def members(self) -> tuple[Member, ...]:
        """All of them, in order of their coming."""
        return tuple(self._members)

    def add(self, member: Member) -> None:
        """Look at it from now on."""
        self._members[member] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._period_s, self._tick)

    def discard(self, member: Member) -> None:
        """Look at it no more; harmless for a stranger."""
        self._members.pop(member, None)
        if not self._members and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._period_s, self._tick)
        now_s = self._now_s()
        for member in self.members():
            member.look(now_s)


@lru_cache(maxsize=1024)
def _opening(name: bytes) -> bytes:
    """How the line of a header begins; ValueError unless its name is a token in lower case."""
    if _NAME.fullmatch(name) is None:
        raise ValueError("the name of a header is a token in lower case")
    return name + b": "
