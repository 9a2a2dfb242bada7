"""Events of a stream, however the network cuts it."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.sse import Event, SseReader

LINES = st.sampled_from(
    [b"data: {}", b"data:x", b"data", b"data: ", b"data:  y", b": ping", b"event: e", b"id: 1", b"", "data: é".encode()]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n"])), max_size=12)


def lines_of(stream: bytes) -> list[bytes]:
    """Whole lines, as the standard cuts them."""
    return stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]


def told(stream: bytes) -> list[bytes]:
    """Data of every event that is complete, line by line as the standard's algorithm goes."""
    events, values = [], list[bytes]()
    for line in lines_of(stream):
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value.removeprefix(b" "))
        elif not line and values:
            events.append(b"\n".join(values))
            values = []
    return events


def fed(pieces: list[bytes]) -> tuple[list[Event], bytes]:
    """All events of a stream that came in pieces, and what was left over."""
    reader = SseReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events, reader.rest


@settings(deadline=None, max_examples=50)
@given(parts=STREAMS, cuts=st.lists(st.integers(0, 150), max_size=20))
@example([(b"data: a", b"\r\n\r\n"), (b"data: b", b"\r")], list(range(20)))
def test_events_survive_any_cut(parts: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    """Wherever a stream is cut, it has the events of the whole stream, and no byte is lost or added."""
    stream = b"".join(line + end for line, end in parts)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]

    events, rest = fed([stream[start:stop] for start, stop in pairwise(edges)])

    assert b"".join(event.raw for event in events) + rest == stream
    assert [event.data for event in events if event.data is not None] == told(stream)


@settings(deadline=None, max_examples=50)
@given(stream=st.binary(max_size=80) | st.text("data:\r\n x", max_size=80).map(str.encode))
def test_any_bytes_are_a_stream(stream: bytes) -> None:
    """Nothing that an engine sends breaks the reader, byte by byte or whole."""
    whole, single = fed([stream]), fed([stream[at : at + 1] for at in range(len(stream))])

    assert b"".join(event.raw for event in whole[0]) + whole[1] == stream
    assert [event.data for event in whole[0] if event.data] == [event.data for event in single[0] if event.data]


def test_an_event_is_told_at_its_empty_line() -> None:
    """No event waits for the next one, not even where CR LF is cut in two."""
    reader = SseReader()

    assert reader.feed(b"data: a\r\n\r") == [Event(b"data: a\r\n\r", b"a")]
    assert reader.feed(b"\ndata: b\n\n") == [Event(b"\n", None), Event(b"data: b\n\n", b"b")]


def test_data_over_several_lines_are_one() -> None:
    """Their line ends become LF; comments and other fields between them are no data."""
    assert fed([b"data: {\n: ping\nid: 7\ndata:  x\ndata\n\n"])[0][0].data == b"{\n x\n"


def test_a_comment_has_no_data() -> None:
    """A keep-alive is passed on and means nothing."""
    assert fed([b": ping\n\n"]) == ([Event(b": ping\n\n", None)], b"")


def test_an_event_without_end_is_an_error() -> None:
    """What never ends does not fill the memory."""
    reader = SseReader(most_bytes=1000)

    for _ in range(1000):
        reader.feed(b"x")
    with pytest.raises(UpstreamError, match="longer than 1000 bytes") as caught:
        reader.feed(b"x")

    assert caught.value.reason == "malformed"
