"""A gateway in front of the demo fleet in one event loop, and a client: the whole way of a request, on real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from time import monotonic

import numpy as np

from wattshed.gateway.app import Gateway
from wattshed.gateway.demo.demo import DemoFleet, demo_fleet
from wattshed.gateway.demo.faults import Fault
from wattshed.gateway.events import Event
from wattshed.gateway.ledger.ledger import Ledger, Row
from wattshed.gateway.settings.settings import Settings, SystemSettings
from wattshed.gateway.wire.client import Upstream
from wattshed.gateway.wire.http import Headers, UpstreamTimeouts
from wattshed.gateway.wire.server import Server

CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer as a client has it."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        """The body."""
        document: dict[str, object] = json.loads(self.body)
        return document

    def header(self, name: str) -> str:
        """The value of a header, empty where there is none."""
        return next((value.decode() for known, value in self.headers if known == name.encode()), "")

    @property
    def events(self) -> list[str]:
        """The data of the events of a stream."""
        lines = self.body.decode().splitlines()
        return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


@dataclass
class Scene:
    """What a test has at hand: the fleet, the gateway, its rows, and a client."""

    fleet: DemoFleet
    gateway: Gateway
    client: Upstream
    rows: list[Row] = field(default_factory=list)

    async def ask(self, path: str = CHAT, headers: Mapping[str, str] | None = None, **fields: object) -> Said:
        """Ask the gateway for a chat with these fields on top."""
        body = {"model": "demo", "messages": [{"role": "user", "content": "one two three"}], "max_tokens": 8} | fields
        return await self.send("POST", path, headers, json.dumps(body).encode())

    async def send(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Said:
        """Send anything."""
        sent = tuple((name.encode(), value.encode()) for name, value in (headers or {}).items())
        answer = await self.client.send(method, path, sent, body)
        try:
            return Said(answer.status, answer.headers, await answer.whole(2**24))
        finally:
            answer.close()


@asynccontextmanager
async def scene(
    *,
    faults: Mapping[str, Fault] | None = None,
    speed_up: float = 1e4,
    slots: int = 4,
    sent_at_once: int = 1,
    ledger: Ledger | None = None,
    now_s: Callable[[], float] = monotonic,
    each: Callable[[SystemSettings], SystemSettings] = lambda system: system,
    **changes: object,
) -> AsyncIterator[Scene]:
    """A running gateway, which gives each engine so many requests at once; `changes` are fields of its settings.

    `each` changes what is set for every system.
    """
    async with demo_fleet(speed_up=speed_up, slots=slots, faults=faults) as fleet:
        settings = replace(_quick(fleet.settings(), sent_at_once), **changes)  # type: ignore[arg-type]  # any field
        settings = replace(settings, systems=tuple(map(each, settings.systems)))
        gateway = Gateway(settings, ledger=ledger, now_s=now_s, rng=np.random.default_rng(0))
        rows = list[Row]()
        tell = gateway.tell

        def kept(event: Event) -> None:
            tell(event)
            if isinstance(event, Row):
                rows.append(event)

        gateway.tell = kept  # listens, and lets everything pass
        server = Server(gateway.answer)
        port = await server.start("127.0.0.1", 0)
        client = Upstream(f"http://127.0.0.1:{port}")
        try:
            yield Scene(fleet, gateway, client, rows)
        finally:
            client.close()
            await server.drain(1.0)
            gateway.close()


def _quick(settings: Settings, sent_at_once: int) -> Settings:
    """The same with time-outs that a test can wait for, and without agents, since nobody polls them here."""
    systems = tuple(replace(system, slots=sent_at_once, agent=None) for system in settings.systems)
    timeouts = UpstreamTimeouts(connect_s=1.0, first_byte_s=0.5, silence_s=0.5)
    return replace(settings, systems=systems, upstream=timeouts)


def busy(at: Scene) -> dict[str, object]:
    """Whatever is still held: slots, places in queues, tickets; all zero when nobody is served."""
    core = at.gateway.core
    states = [state for desk in core.desks.values() for state in desk.router.state()]
    return {
        "taken": core.slots.taken,
        "waiting": core.slots.waiting,
        "in_flight": tuple(state.in_flight + state.queued for state in states),
    }


NOTHING = {"taken": (0, 0), "waiting": (0, 0), "in_flight": (0, 0)}
"""What is held when nobody is served."""


def played(play: Callable[[Scene], Awaitable[None]], **changes: object) -> None:
    """Run a scene; afterwards nothing is held."""

    async def run() -> None:
        async with scene(**changes) as at:  # type: ignore[arg-type]  # fields of the settings
            await play(at)
            assert busy(at) == NOTHING

    asyncio.run(run())
