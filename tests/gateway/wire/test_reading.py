"""Bytes become requests, or one refusal, however they are cut."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.gateway.wire.http import WireLimits
from wattshed.gateway.wire.reading import RequestReader

HEAD = b"POST /v1/chat?a=b HTTP/1.1\r\nHost: x\r\n"
THREE = (
    HEAD + b"Content-Length: 5\r\n\r\nhello"
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    + HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n3;e=f\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n"
)

DOUBTFUL = {
    "length and chunks": HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "one length twice": HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "lengths in a list": HEAD + b"Content-Length: 5, 5\r\n\r\nhello",
    "signed length": HEAD + b"Content-Length: +5\r\n\r\nhello",
    "negative length": HEAD + b"Content-Length: -5\r\n\r\nhello",
    "endless length": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "unknown encoding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "encoded twice": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "encoding twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "encoded twice in two lines": HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": HEAD + b"Content-Length : 5\r\n\r\nhello",
    "folded line": HEAD + b"A: b\r\n c\r\n\r\n",
    "bare line feeds": b"POST / HTTP/1.1\nHost: x\n\n",
    "bare carriage return": HEAD + b"A: b\rContent-Length: 5\r\n\r\nhello",
    "zero byte": HEAD + b"A: b\0c\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "whole URL": b"GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "chunk with 0x": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "chunk with a line feed": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    "chunk of overflow": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01",
}


def reader(**limits: int) -> RequestReader:
    """A reader with such limits."""
    return RequestReader(WireLimits(**limits), "127.0.0.1")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, len(THREE)), max_size=20))
def test_requests_do_not_depend_on_how_bytes_are_cut(cuts: list[int]) -> None:
    """Three requests in a row are the same three, cut anywhere."""
    read = reader()
    edges = [0, *sorted(cuts), len(THREE)]

    received = [one for start, stop in pairwise(edges) for one in read.feed(THREE[start:stop])]

    assert [one.request.body for one in received] == [b"hello", b"", b"abcde"]
    assert [one.request.target for one in received] == ["/v1/chat?a=b", "/", "/v1/chat?a=b"]
    assert (received[0].request.path, received[0].request.query) == ("/v1/chat", "a=b")
    assert (read.stage, read.refusal) == ("idle", None)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([*DOUBTFUL.values(), THREE, HEAD, b"\r\n", b"\0"]) | st.binary(max_size=40)))
def test_no_bytes_break_the_reader(pieces: list[bytes]) -> None:
    """Whatever comes is requests, a refusal, or not finished; after a refusal nothing more is a request."""
    read = reader()

    for piece in pieces:
        was_refused = read.refusal is not None
        received = read.feed(piece)
        assert not (was_refused and received)
        assert read.deaf or read.refusal is None


@pytest.mark.parametrize("bytes_of", DOUBTFUL.values(), ids=DOUBTFUL.keys())
def test_what_two_servers_may_read_in_two_ways_is_refused(bytes_of: bytes) -> None:
    """A doubtful message is no request, and neither is anything behind it."""
    read = reader()

    assert read.feed(bytes_of + b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n") == []
    assert read.refusal is not None
    assert read.refusal.status in (400, 505)
    assert read.feed(THREE) == []


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param(HEAD + b"A: " + b"b" * 1000 + b"\r\n\r\n", 431, id="a long header"),
        pytest.param(HEAD + b"A: " + b"b" * 2000, 431, id="a header without end"),
        pytest.param(b"GET /" + b"a" * 2000, 431, id="a target without end"),
        pytest.param(HEAD + b"A: b\r\n" * 20 + b"\r\n", 431, id="many headers"),
        pytest.param(HEAD + b"Content-Length: 101\r\n\r\n", 413, id="a length too large"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n65\r\n" + b"a" * 101, 413, id="chunks too large"),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: " + b"u" * 2000,
            431,
            id="a trailer without end",
        ),
        pytest.param(b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405, id="a tunnel"),
        pytest.param(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, id="another version"),
        pytest.param(HEAD + b"Expect: miracles\r\n\r\n", 417, id="another expectation"),
        pytest.param(HEAD + b"Expect: 100-continue\r\nExpect: miracles\r\n\r\n", 417, id="one of two expectations"),
    ],
)
@pytest.mark.parametrize("step", [7, 100_000])
def test_limits_hold(text: bytes, status: int, step: int) -> None:
    """What is too large or not done here is refused by its own status, coming at once or in small pieces."""
    read = reader(most_head_bytes=500, most_headers=10, most_body_bytes=100)

    received = [one for start in range(0, len(text), step) for one in read.feed(text[start : start + step])]

    assert received + read.feed(b"b" * 501) == []  # what has no end goes on
    assert read.refusal is not None
    assert read.refusal.status == status


def test_the_first_header_of_a_name_counts() -> None:
    """Whoever asks for a header gets the first; all of them are passed on."""
    sent = b"GET / HTTP/1.1\r\nHost: x\r\nX-Key: one\r\nX-Key: two\r\n\r\n"

    [received] = reader().feed(sent)

    assert received.request.header("x-key") == "one"
    assert received.request.header("x-other") is None
    assert received.request.has_prefixed(b"x-k")
    assert len(received.request.headers) == 3


def test_an_upgrade_is_declined() -> None:
    """A request that offers another protocol is answered in this one, and is the last of its connection."""
    read = reader()

    [received] = read.feed(HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello" + THREE)

    assert received.request.body == b"hello"
    assert not received.keeps
    assert read.deaf
    assert read.refusal is None


def test_no_more_than_so_many_requests_wait() -> None:
    """Requests sent ahead beyond the limit are not read."""
    read = reader(most_waiting=2)

    assert len(read.feed(THREE)) == 2
    assert read.deaf
    assert read.refusal is None
