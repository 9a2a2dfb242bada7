"""Server-sent events, told apart wherever the network cut them.

Lines end with LF, CRLF or CR and an event with an empty line; a line that starts with a colon is a comment. The bytes
of all events, and of the half that is still incomplete, are the bytes that came: what is passed on is what was sent.
Source: WHATWG HTML, section 9.2.6, without its byte order mark, which no engine sends.
"""

import re
from typing import Final, NamedTuple

from wattshed.gateway.wire.failures import UpstreamError

MOST_EVENT_BYTES: Final = 16 * 2**20
"""Longest event that is waited for: what comes without end would fill the memory."""

DONE: Final = b"[DONE]"
"""Data of the last event of OpenAI's streams; some servers leave it out."""

_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_HALF_END: Final = 3
"""Bytes of an end, CR LF CR LF, that may have come already."""


class Event(NamedTuple):
    """One event: its bytes with the empty line that ends it, and its data, `None` where it has none (a comment).

    A tuple rather than a dataclass, because there is one a token.
    """

    raw: bytes
    data: bytes | None


class SseReader:
    """Puts the events of one stream together; `rest` has come of the next one, and in the end is what is torn."""

    __slots__ = ("_after_cr", "_crs", "_most_bytes", "rest")

    def __init__(self, most_bytes: int = MOST_EVENT_BYTES) -> None:
        self._most_bytes, self.rest = most_bytes, bytearray()
        self._crs = self._after_cr = False

    def feed(self, received: bytes) -> list[Event]:
        """The events that are complete now, in order; `UpstreamError` where one never ends.

        An empty line that is cut between CR and LF counts at the CR, and the LF is an event without data.
        """
        if self._after_cr and received:
            self._after_cr = False
            if received.startswith(b"\n"):
                return [Event(b"\n", None), *self.feed(received[1:])]
        self._crs |= b"\r" in received
        events = [_event(raw) for raw in (self._with_crs(received) if self._crs else self._with_lfs(received))]
        self._crs &= bool(self.rest)
        if len(self.rest) > self._most_bytes:
            raise UpstreamError("malformed", f"an event of the stream is longer than {self._most_bytes} bytes")
        return events

    def _with_lfs(self, received: bytes) -> list[bytes]:
        """Whole events, where no CR is near: as engines write them."""
        seen = max(len(self.rest) - 1, 0)
        self.rest += received
        end = self.rest.rfind(b"\n\n", seen)
        if end < 0:
            return []
        whole = bytes(self.rest[:end])
        del self.rest[: end + 2]
        return [raw + b"\n\n" for raw in whole.split(b"\n\n")]

    def _with_crs(self, received: bytes) -> list[bytes]:
        """Whole events, whatever ends their lines."""
        seen, start = max(len(self.rest) - _HALF_END, 0), 0
        self.rest += received
        raws = []
        for end in _END.finditer(self.rest, seen):
            raws.append(bytes(self.rest[start : end.end()]))
            start = end.end()
        del self.rest[:start]
        self._after_cr = not self.rest and received.endswith(b"\r")
        return raws


def _event(raw: bytes) -> Event:
    if raw.startswith(b"data: ") and raw.endswith(b"\n\n") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return Event(raw, raw[6:-2])
    lines = [line.partition(b":") for line in raw.splitlines()]
    values = [value.removeprefix(b" ") for name, _, value in lines if name == b"data"]
    return Event(raw, b"\n".join(values) if values else None)
