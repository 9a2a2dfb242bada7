"""Both ends of a wire for tests: a server under test, clients that send raw bytes, and engines that do as scripted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from wattshed.gateway.wire.http import Request, WireLimits, loop_factory
from wattshed.gateway.wire.reply import Answering, Reply
from wattshed.gateway.wire.server import Server

Result = TypeVar("Result")
Scripted = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

PLAIN = ((b"content-type", b"text/plain"),)
HOST = b"Host: x\r\n"


def run(test: Coroutine[Any, Any, Result], *, own_loop: bool = False) -> Result:
    """What a test's coroutine returns, on uvloop where it is installed or on Python's own loop."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop if own_loop else loop_factory()) as runner:
        return runner.run(test)


async def echo(request: Request, reply: Reply) -> None:
    """Answers with method, target and body."""
    await reply.whole(200, PLAIN, b"%b %b %b" % (request.method.encode(), request.target.encode(), request.body))


class Phone:
    """A client that sends what it is told, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, text: bytes) -> None:
        """Send."""
        self.writer.write(text)

    async def hear(self, end: bytes) -> bytes:
        """Everything up to and with `end`."""
        async with asyncio.timeout(5):
            return await self.reader.readuntil(end)

    async def hear_all(self) -> bytes:
        """Everything until the other side closes."""
        async with asyncio.timeout(5):
            return await self.reader.read()

    def hang_up(self) -> None:
        """Leave, in the middle of whatever it is."""
        self.writer.transport.abort()


@asynccontextmanager
async def serving(answering: Answering, limits: WireLimits | None = None) -> AsyncIterator[tuple[Server, int]]:
    """A server and its port."""
    server = Server(answering, limits)
    port = await server.start("127.0.0.1", 0)
    try:
        yield server, port
    finally:
        await server.drain(0)


@asynccontextmanager
async def calling(port: int) -> AsyncIterator[Phone]:
    """A connection to it."""
    phone = Phone(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield phone
    finally:
        phone.hang_up()
        await asyncio.sleep(0)


async def said(port: int, text: bytes) -> bytes:
    """All that a server says to these bytes, until it closes."""
    async with calling(port) as phone:
        phone.say(text)
        return await phone.hear_all()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something to come true; TimeoutError if it takes seconds."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


class Engine:
    """A server that does as scripted; `asked` has every head that it read, `connections` how many were made to it."""

    def __init__(self, script: Scripted) -> None:
        self.asked: list[bytes] = []
        self.connections = 0
        self.left = asyncio.Event()
        """Set when the other side has closed a connection."""
        self._script = script
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: every request is read whole and given to the script, until either side closes."""
        self.connections += 1
        self._writers.append(writer)
        try:
            while not writer.transport.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head)
                await reader.readexactly(int(_field(head, b"content-length") or 0))
                await self._script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()

    def drop_all(self) -> None:
        """Close every connection at once."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def engine(script: Scripted, **options: Any) -> AsyncIterator[tuple[Engine, int]]:
    """Such a server and its port."""
    scripted = Engine(script)
    listener = await asyncio.start_server(scripted.serve, "127.0.0.1", 0, **options)
    try:
        yield scripted, listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        scripted.drop_all()
        await asyncio.sleep(0.01)


def speaking(*pieces: bytes) -> Scripted:
    """A script that says these pieces to every request."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return script


def _field(head: bytes, name: bytes) -> bytes | None:
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    return next((value.strip() for known, _, value in lines if known == name), None)
