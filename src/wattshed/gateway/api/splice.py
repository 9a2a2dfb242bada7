"""Changing members of a JSON object by their place in its bytes, so that all other bytes stay as they were.

Objects are whole and valid when they come here: whoever calls has had them parsed. Their bytes are read as Latin-1, in
which a character is a byte, so places in the text are places in the body; keys and values in question are ASCII.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

_KEY: Final = re.compile(r'[ \t\r\n,]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\r\n]*:[ \t\r\n]*')

_SCANNER: Final = json.JSONDecoder(parse_int=str, parse_float=str, strict=False)
"""Finds where a value ends. Numbers stay text: those of 5,000 digits, which Python would refuse, are JSON too."""


_SPACES, _OPENING = b" \t\r\n", ord("{")
_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_MARKS: Final = bytes(set(range(256)) - set(b'{}[]"'))


class Edit(NamedTuple):
    """What shall stand in place of the bytes from `start` to before `stop`."""

    start: int
    stop: int
    new: bytes


class Member(NamedTuple):
    """One member of an object: its key, and where its value starts and stops."""

    key: str
    start: int
    stop: int


class _Object(msgspec.Struct):
    """Any JSON object."""


_OBJECT: Final = msgspec.json.Decoder(_Object)


def members(body: bytes) -> Iterator[Member]:
    """The members of the object that the bytes are, in order, repeated keys included."""
    text = body.decode("latin-1")
    at = text.index("{") + 1
    while found := _KEY.match(text, at):
        key = found[1][1:-1] if "\\" not in found[1] else str(_SCANNER.decode(found[1]))
        _, at = _SCANNER.raw_decode(text, found.end())
        yield Member(key, found.end(), at)


def spliced(body: bytes, edits: Iterable[Edit]) -> bytes:
    """The body with edits that do not overlap."""
    parts: list[bytes] = []
    at = 0
    for start, stop, new in sorted(edits):
        parts += body[at:start], new
        at = stop
    return b"".join((*parts, body[at:]))


def is_object(body: bytes) -> bool:
    """Whether the bytes are one JSON object."""
    try:
        _OBJECT.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def is_deeper(body: bytes, most: int) -> bool:
    """Whether valid JSON is nested more deeply: few brackets never are, many are told from those within strings."""
    if body.count(b"{") + body.count(b"[") <= most:
        return False
    marks = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_MARKS)
    brackets = b"".join(marks.split(b'"')[::2]).translate(_SQUARE)
    for _ in range(most):
        brackets = brackets.replace(b"[]", b"")  # the innermost level, everywhere
    return bool(brackets)


def with_last(text: bytes, name: str, value: bytes) -> bytes:
    """The object that ends the text, with one more member; as the last of its name it is the one that counts."""
    end = text.rindex(b"}")
    before = end - 1
    while text[before] in _SPACES:
        before -= 1
    comma = b"" if text[before] == _OPENING else b","
    return b'%b%b"%b":%b%b' % (text[:end], comma, name.encode("ascii"), value, text[end:])
