"""A gateway between clients and engines that say what nobody should, and what must hold of it all the same.

Both sides are real sockets in one event loop. Whatever comes, the gateway answers in proper HTTP/1.1 or closes, it
meets no defect of its own, and nothing is held when all is over. An answer is read by a parser of its own here, because
the gateway's would forgive its own mistakes. What is said is drawn in `fuzz_texts.py`.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from tests.gateway.fuzz_texts import Sent
from tests.gateway.wires import engine, until
from wattshed.gateway.app import Gateway
from wattshed.gateway.demo.demo import demo_fleet
from wattshed.gateway.events import Event
from wattshed.gateway.fleet.health import HealthSettings
from wattshed.gateway.ledger.ledger import Row
from wattshed.gateway.settings.settings import Settings
from wattshed.gateway.wire.http import UpstreamTimeouts, WireLimits, loop_factory
from wattshed.gateway.wire.server import Server

QUIET_S = 5.0
"""After so long a silence the gateway counts as hanging."""

_STATUS_LINE = re.compile(rb"HTTP/1\.1 [1-5]\d\d [ -~]*")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9a-z]+): ([^\r\n\0]*)")
_NEVER_OPEN = HealthSettings(failures_in_row=10**6, window=1, most_failed=1.0, slow_start_s=0.0)
_IMPATIENT = WireLimits(head_timeout_s=0.05, body_timeout_s=0.05, idle_timeout_s=0.05)
_QUICK = UpstreamTimeouts(connect_s=1.0, first_byte_s=1.0, silence_s=1.0)


@dataclass(frozen=True)
class Heard:
    """One answer of the gateway, as it stands on the wire; `torn` where it broke off."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    torn: bool = False

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header."""
        return [value for known, value in self.fields if known == name]


@dataclass
class Between:
    """A gateway, what it logged as defects of its own, its rows, and what its engine says if that is scripted."""

    gateway: Gateway
    port: int
    caught: list[logging.LogRecord]
    reply: tuple[bytes, ...] = ()
    rows: list[Row] = field(default_factory=list)

    async def say(self, sent: Sent) -> list[Heard]:
        """All that comes back to these bytes, which are the last that are sent; nobody is held when it is over."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(QUIET_S):
                for piece in sent.pieces:
                    writer.write(piece)
                    await asyncio.sleep(0)
                return list(heard_in(await reader.read()))
        except ConnectionError:
            return []
        finally:
            writer.transport.abort()
            await until(lambda: held(self.gateway) == 0)

    def told(self, event: Event) -> None:
        """Keep a row."""
        if isinstance(event, Row):
            self.rows.append(event)


@dataclass(frozen=True)
class Played:
    """How one example went: what the client heard, and the rows of the ledger."""

    heard: list[Heard]
    rows: list[Row]


Play = Callable[[Sent, tuple[bytes, ...]], Played]


@contextmanager
def stage(*, scripted: bool) -> Iterator[Play]:
    """One gateway for many examples, in front of the demo's engines or of one that says what it is told."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        context = _between(scripted=scripted)
        at = runner.run(context.__aenter__())

        def play(sent: Sent, reply: tuple[bytes, ...] = ()) -> Played:
            at.reply = reply
            heard = runner.run(at.say(sent))
            rows, caught = at.rows.copy(), at.caught.copy()
            at.rows.clear()
            at.caught.clear()
            assert [f"{record.getMessage()}: {record.exc_info}" for record in caught] == []
            assert not any(b'"internal_error"' in one.body for one in heard if b"demo was told" not in one.body)
            return Played(heard, rows)

        try:
            yield play
        finally:
            runner.run(context.__aexit__(None, None, None))


@asynccontextmanager
async def _between(*, scripted: bool) -> AsyncIterator[Between]:
    at: list[Between] = []

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in at[0].reply:
            if not writer.transport.is_closing():
                writer.write(piece)
            await asyncio.sleep(0)
        writer.close()

    caught: list[logging.LogRecord] = []
    with _listening(caught):
        async with demo_fleet(speed_up=1e6, slots=64) as fleet, engine(script) as (_, engine_port):
            settings = _patient(fleet.settings(), f"http://127.0.0.1:{engine_port}" if scripted else None)
            told: list[Callable[[Event], None]] = []
            gateway = Gateway(settings, hooks=[lambda event: told[0](event)], rng=np.random.default_rng(0))
            server = Server(
                gateway.answer, WireLimits() if scripted else _IMPATIENT
            )  # sound requests end by themselves
            at.append(Between(gateway, await server.start("127.0.0.1", 0), caught))
            told.append(at[0].told)
            try:
                yield at[0]
            finally:
                await server.drain(1.0)
                gateway.close()


def _patient(settings: Settings, url: str | None) -> Settings:
    """Breakers that never open, many slots, no agents; `url` in place of each engine's."""
    systems = tuple(replace(one, url=url or one.url, agent=None, slots=64) for one in settings.systems)
    return replace(settings, systems=systems, upstream=_QUICK, health=_NEVER_OPEN)


@contextmanager
def _listening(caught: list[logging.LogRecord]) -> Iterator[None]:
    """Catch what the gateway logs as an error."""
    listener, log = logging.Handler(logging.ERROR), logging.getLogger("wattshed")
    listener.emit = caught.append  # type: ignore[method-assign]  # a list is all that it is for
    log.addHandler(listener)
    try:
        yield
    finally:
        log.removeHandler(listener)


def held(gateway: Gateway) -> int:
    """Slots, places in queues and tickets that somebody has."""
    core = gateway.core
    states = [state for desk in core.desks.values() for state in desk.router.state()]
    return sum(core.slots.taken) + sum(core.slots.waiting) + sum(state.in_flight + state.queued for state in states)


def heard_in(said: bytes) -> Iterator[Heard]:
    """Every answer that stands on the wire; AssertionError where it is not proper HTTP/1.1 to the last byte."""
    while said:
        head, empty, said = said.partition(b"\r\n\r\n")
        start, *lines = head.split(b"\r\n")
        assert empty, f"half a head: {head[:80]!r}"
        assert _STATUS_LINE.fullmatch(start), start
        matches = [_FIELD.fullmatch(line) for line in lines]
        assert all(matches), lines
        fields = tuple((one[1], one[2]) for one in matches if one)
        status = int(start.split()[1])
        if status < 200 or status in (204, 304):
            yield Heard(status, fields, b"")
            continue
        body, said, torn = _body(dict(fields), said)
        yield Heard(status, fields, body, torn)


def _body(fields: dict[bytes, bytes], rest: bytes) -> tuple[bytes, bytes, bool]:
    """A body, what follows it, and whether it broke off."""
    if b"transfer-encoding" not in fields:
        if b"content-length" not in fields:  # for a client that knows no chunks
            assert fields[b"connection"] == b"close"
            return rest, b"", False
        length = int(fields[b"content-length"])
        assert len(rest) >= length, "the body is shorter than it said"
        return rest[:length], rest[length:], False
    assert b"content-length" not in fields
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        assert rest[length : length + 2] == b"\r\n"
        body, rest = body + rest[:length], rest[length + 2 :]
        if not length:
            return body, rest, False
    return body, b"", True  # the only way to say that the rest is missing
