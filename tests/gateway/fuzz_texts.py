"""What is drawn for the fuzzing: requests and answers that are nearly right, spoilt in places, and cut anywhere."""

import json
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import strategies as st

from tests.gateway.json_texts import VALUES

PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/route", "/v1/models", "/openapi.json"]
EVENT_STREAM = b"content-type: text/event-stream"


@dataclass(frozen=True)
class Sent:
    """Bytes, in the pieces that they come in. `streams` and `wants_usage` say what they ask for."""

    pieces: tuple[bytes, ...]
    streams: bool = False
    wants_usage: bool = False


def asking(body: bytes, *headers: bytes, path: str = PATHS[0]) -> bytes:
    """A request that is the last of its connection."""
    lines = b"".join(header + b"\r\n" for header in headers)
    framing = b"Host: x\r\nConnection: close\r\nContent-Length: %d\r\n" % len(body)
    return b"POST %b HTTP/1.1\r\n%b%b\r\n%b" % (path.encode(), framing, lines, body)


def cut(text: bytes, cuts: list[int]) -> tuple[bytes, ...]:
    """The text in pieces."""
    edges = [0, *sorted(min(place, len(text)) for place in cuts), len(text)]
    return tuple(text[start:stop] for start, stop in pairwise(edges))


@st.composite
def _spoilt(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> bytes:
    """A text with a few bytes put in, taken out or changed; most often none."""
    text = bytearray(draw(texts))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(text)))
        new = draw(st.sampled_from([b"", b"\r", b"\n", b"\0", b" ", b"\x80", b"\r\n\r\n", b'"', b"{", b"0"]))
        text[at : at + draw(st.integers(0, 4))] = new
    return bytes(text)


_CUTS = st.lists(st.integers(0, 1500), max_size=6)

_FIELDS = st.dictionaries(
    st.sampled_from(
        [
            "model",
            "messages",
            "prompt",
            "input",
            "stream",
            "stream_options",
            "max_tokens",
            "n",
            "tools",
            "functions",
            "response_format",
            "user",
        ]
    ),
    VALUES | st.sampled_from(['"llama-2-7b"', "true", "8", "1" + "0" * 30, '[{"role":"user","content":"a"}]', '"a b"']),
    max_size=4,
)
_SOUND = {"model": '"llama-2-7b"', "messages": '[{"role":"user","content":"a"}]', "prompt": '"a"', "input": '"a"'}


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    fields = {**_SOUND, "max_tokens": "4", **draw(_FIELDS)}
    return ("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}").encode()


_WISHES = st.builds(
    lambda name, value: b"X-Wattshed-%b: %b" % (name, value),
    st.sampled_from([b"Lambda", b"Exchange-Watts", b"Max-P95-Seconds", b"Max-Joules", b"Output-Tokens"]),
    st.sampled_from([b"0", b"1", b"0.5", b"1e-300", b"1e300", b"1e12", b"nan", b"-0", b"", b"1_0", b"\xff"]),
)
_LINES = st.sampled_from(
    b"""Transfer-Encoding: chunked
transfer-encoding: gzip
Content-Length: 5
Content-Length: 0
Connection: host, content-length
Connection: keep-alive
TE: x
Upgrade: h2c
Expect: 100-continue
Host: y
X-Request-Id: a\x80b
Authorization: Bearer \xff
Cookie: a=b
Content-Type: text/plain
Content-Encoding: gzip
Accept-Encoding: gzip
a:b\t
A:\x01""".split(b"\n")
)


@st.composite
def _messages(draw: st.DrawFn) -> bytes:
    """One request."""
    body = draw(_spoilt(_bodies()) | st.binary(max_size=40))
    lines = draw(st.lists(_WISHES | _LINES, max_size=3))
    if draw(st.booleans()):
        return asking(body, *lines, path=draw(st.sampled_from(PATHS)))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in cut(body, draw(_CUTS)) if one) + b"0\r\n\r\n"
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked" % draw(st.sampled_from(PATHS)).encode()
    return b"\r\n".join([head, *lines, b"", chunks])


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """What a client says: one request or two, spoilt, and cut."""
    text = draw(_spoilt(st.lists(_messages(), min_size=1, max_size=2).map(b"".join)))
    return Sent(cut(text, draw(_CUTS)))


@st.composite
def sound_requests(draw: st.DrawFn) -> Sent:
    """A chat that every engine would answer."""
    streams, wants_usage = draw(st.booleans()), draw(st.booleans())
    body: dict[str, object] = {"model": "llama-2-7b", "messages": [{"role": "user", "content": "a"}], "max_tokens": 4}
    body |= {"stream": streams} | ({"stream_options": {"include_usage": True}} if wants_usage else {})
    return Sent((asking(json.dumps(body).encode()),), streams, wants_usage)


_COUNTS = st.sampled_from(["0", "1", "7", "9" * 12, "9" * 30, "-1", "1.5", "null", '"7"'])
_USAGES = st.builds('{{"prompt_tokens":{},"completion_tokens":{}}}'.format, _COUNTS, _COUNTS) | VALUES
_DOCUMENTS = st.builds(
    '{{"id":"a","choices":{},"usage":{},"x":{}}}'.format,
    st.sampled_from(["[]", '[{"message":{"content":"}"}}]', "null", "{}"]),
    _USAGES,
    VALUES,
).map(str.encode)

TEXTS = [
    b'data: {"choices":[{"delta":{"content":"Hi \\" [DONE]"}}]}\n\n',
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n',
    b'data: {"choices":[{"delta":{}}],"usage":null}\r\n\r\n',
    b'data: {"error":{"message":"no"}}\n\n',
    b"data: [DONE]\n\n",
    b": ping\n\n",
]
_SAID = st.sampled_from(
    [*TEXTS, b"event: x\ndata: {}\n\n", b"data:{\ndata:}\n\n", b"data: x\n\n", b"\n\n", b"data: {}\r\r", b"data\n\n"]
) | _DOCUMENTS.map(lambda one: b"data: " + one + b"\n\n")
_STREAMS = st.lists(_SAID, max_size=6).map(b"".join)

_STATUSES = st.sampled_from([b"200 OK"] * 8 + [b"500 No", b"429 Wait", b"404", b"204 X", b"307 X", b"100 C", b"101 S"])
_THEIRS = st.sampled_from(
    b"""Set-Cookie: a=b
X-Energy-Joules: 1
X-Routed-To: me
X-Request-Id: a
Connection: x-a
x-a: \xff
Retry-After: 1
Content-Encoding: gzip
Trailer: a
Transfer-Encoding: gzip
A: b\rC: d
A b: c""".split(b"\n")
)


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, ...]:
    """What an engine says: a document or a stream, framed in any way, spoilt, and cut."""
    streams = draw(st.booleans())
    body = draw(_spoilt(_STREAMS if streams else _DOCUMENTS))
    kind = draw(st.sampled_from([EVENT_STREAM if streams else b"content-type: application/json"] * 5 + [b"x: y"]))
    lines = [kind, *draw(st.lists(_THEIRS, max_size=2))]
    framing = draw(st.sampled_from(["length", "chunks", "end", "short"]))
    if framing == "chunks":
        lines.append(b"Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in cut(body, draw(_CUTS)) if one) + b"0\r\n\r\n"
    elif framing != "end":
        lines.append(b"Content-Length: %d" % (len(body) + (7 if framing == "short" else 0)))
    head = b"\r\n".join([b"HTTP/1.1 " + draw(_STATUSES), *lines, b"", b""])
    return cut(draw(_spoilt(st.just(head + body))), draw(_CUTS))
