"""Requests that try to become two, or to write a header of their own, and a tap that hears what an engine is sent.

    attacker --> gateway --> tap --> engine

Each attack is bytes and how many answers from an engine it may get at most: those of its honest part.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.gateway.fuzzing import heard_in
from tests.gateway.wire.test_reading import DOUBTFUL
from tests.gateway.wires import calling, until

CHAT = b"/v1/chat/completions"
EVIL = b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n"


def body(said: str = "Hi", **fields: object) -> bytes:
    """A chat of a token."""
    messages = [{"role": "user", "content": said}]
    return json.dumps({"model": "llama", "messages": messages, "max_tokens": 1} | fields).encode()


def asking(content: bytes, *lines: bytes, target: bytes = CHAT, last: bool = True) -> bytes:
    """A sound request with further lines in its head, and as a rule the last of its connection."""
    head = [b"POST %b HTTP/1.1" % target, b"Host: x", b"Content-Length: %d" % len(content), *lines]
    return b"\r\n".join([*head, *([b"Connection: close"] if last else []), b"", content])


def chunked(content: bytes, *trailers: bytes, lines: tuple[bytes, ...] = ()) -> bytes:
    """The same in chunks."""
    head = [b"POST %b HTTP/1.1" % CHAT, b"Host: x", b"Transfer-Encoding: chunked", *lines, b"Connection: close", b""]
    return b"\r\n".join([*head, b"%x" % len(content), content, b"0", *trailers, b"", b""])


ATTACKS = {
    **{f"doubtful: {name}": (said.replace(b"/v1/chat?a=b", CHAT) + EVIL, 0) for name, said in DOUBTFUL.items()},
    "an honest request": (asking(body()), 1),
    "a request in the text": (asking(body("\r\n\r\n" + EVIL.decode())), 1),
    "a request behind the body": (asking(body() + EVIL), 0),
    "a request behind a shorter length": (asking(body(), last=False) + EVIL + asking(body()), 2),
    "a length in a trailer": (chunked(body(), b"Content-Length: 5"), 0),
    "a header in a trailer": (chunked(body(), b"X-Evil: 1"), 1),
    "a length that the connection names": (asking(body(), b"Connection: content-length, host", last=False), 1),
    "chunks that the connection names": (chunked(body(), lines=(b"Connection: transfer-encoding",)), 1),
    "a length with an underscore": (asking(body(), b"Content_Length: 0"), 1),
    "another protocol": (asking(body(), b"Connection: upgrade", b"Upgrade: h2c", last=False) + EVIL, 1),
    "another host": (asking(body(), b"X-Forwarded-Host: evil-host"), 1),
    "a line in the target": (asking(body(), target=CHAT + b"?a=b%0d%0aX-Evil:%201"), 1),
    "another path": (asking(body(), target=b"/v1/chat/completions/../../evil"), 0),
    "a line in the model": (asking(body(model="llama\r\nX-Evil: 1")), 0),
    "a line in a wish": (asking(body(), b"X-Wattshed-Lambda: 1\rX-Evil: 1"), 0),
    "a line in a name": (asking(body(), b"X-Request-Id: a\r\n X-Evil: 1"), 0),
    "a half line in a name": (asking(body(), b"X-Request-Id: a\x0bX-Evil: 1"), 0),
    "our own words": (asking(body(), b"X-Wattshed-Evil: 1", b"Proxy-Authorization: evil", b"Cookie: evil"), 1),
}


@dataclass
class Tap:
    """What went to an engine and what came back, a pair for each connection."""

    port: int = 0
    said: list[bytearray] = field(default_factory=list)
    answered: list[bytearray] = field(default_factory=list)

    @property
    def asked(self) -> list[tuple[bytes, bytes]]:
        """Head and body of every request but those for the list of models, which only probes ask for."""
        every = [one for said in self.said for one in requests_in(bytes(said))]
        return [one for one in every if not one[0].startswith(b"GET /v1/models ")]

    @property
    def balanced(self) -> bool:
        """Whether the engine saw as many requests as we do: it answered each once, and nothing more."""
        return all(
            len(list(requests_in(bytes(said)))) == len(re.findall(rb"HTTP/1\.[01] [2-5]\d\d ", answered))
            for said, answered in zip(self.said, self.answered, strict=True)
        )

    def clear(self) -> None:
        """Forget what is over."""
        for text in (*self.said, *self.answered):
            text.clear()


@asynccontextmanager
async def tapped(engine_port: int) -> AsyncIterator[Tap]:
    """A tap before an engine."""
    tap, writers = Tap(), list[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", engine_port)
        writers.extend((writer, ours))
        tap.said.append(bytearray())
        tap.answered.append(bytearray())
        await asyncio.gather(_copy(reader, ours, tap.said[-1]), _copy(theirs, writer, tap.answered[-1]))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    tap.port = server.sockets[0].getsockname()[1]
    try:
        yield tap
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def attack(port: int, tap: Tap, name: str) -> None:
    """Send one attack, and hold that the engine was asked for what is honest and for nothing else."""
    said, most = ATTACKS[name]
    await until(lambda: tap.balanced)
    tap.clear()
    async with calling(port) as phone:
        phone.say(said)
        answers = list(heard_in(await phone.reader.read() if said.find(b"close") > 0 else await _soon(phone.reader)))

    assert len([one for one in answers if one.status == 200]) <= most
    assert len(tap.asked) == most
    await until(lambda: tap.balanced)
    for head, content in tap.asked:
        start, *lines = head.split(b"\r\n")
        names = [line.partition(b":")[0] for line in lines]
        assert start == b"POST %b HTTP/1.1" % CHAT
        assert (names.count(b"content-length"), names.count(b"host")) == (1, 1)
        assert b"transfer-encoding" not in names
        assert not any(name in {b"x-evil", b"upgrade", b"cookie", b"proxy-authorization"} for name in names)
        assert json.loads(content)["max_tokens"] == 1
    assert not any(name == b"x-evil" for one in answers for name, _ in one.fields)


def requests_in(said: bytes) -> list[tuple[bytes, bytes]]:
    """Head and body of each request, cut by their lengths; what is left over counts as one more."""
    found = []
    while said:
        head, _, said = said.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        size = int(length[1]) if length else 0
        found.append((head, said[:size]))
        said = said[size:]
    return found


async def _soon(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side closes, or says no more for a while."""
    heard = b""
    with suppress(TimeoutError):
        while piece := await asyncio.wait_for(reader.read(2**16), 1.0):
            heard += piece
    return heard


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(2**16):
            kept += piece
            writer.write(piece)
            await writer.drain()
    writer.close()
