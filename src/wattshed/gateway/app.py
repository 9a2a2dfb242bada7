"""The gateway as a program: starts, answers by path, reads its settings again, drains and stops.

    /v1/chat/completions  /v1/completions  /v1/embeddings      exchange.py
    /v1/models                                                 what clients may ask for
    /v1/route                                                  where a request would go, and why
    /openapi.json                                              what stands here, for programs
    /health  /ready  /metrics  /dashboard  /dashboard/...      for those who run it
    /admin/reload                                              with the admin key

SIGTERM and Ctrl-C stop the listening and let answers come to their end; SIGHUP reads the settings again. New settings
are made into a new `Core` before the old one is let go, so what cannot be read or built changes nothing.
"""

import asyncio
import contextlib
import gc
import hmac
import logging
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from wattshed.errors import WattshedError
from wattshed.gateway.api.body import ROUTES, Route
from wattshed.gateway.api.endpoints import METHODS
from wattshed.gateway.api.openapi import document
from wattshed.gateway.core import Core, Minds
from wattshed.gateway.events import Event, Names, SystemLoad
from wattshed.gateway.exchange import Exchange
from wattshed.gateway.ledger.ledger import Ledger, Pace, Row, Settlement
from wattshed.gateway.metering.polling import Polling, over, parts_of
from wattshed.gateway.metrics.counts import PAGE_TYPE
from wattshed.gateway.placing.routing import routed
from wattshed.gateway.placing.slot_prices import prices_of
from wattshed.gateway.settings.keys import KeyRing
from wattshed.gateway.settings.settings import Settings
from wattshed.gateway.telemetry.board import Board, event_of
from wattshed.gateway.telemetry.board_views import Standing
from wattshed.gateway.telemetry.dashboard import read_page
from wattshed.gateway.telemetry.telemetry import Telemetry
from wattshed.gateway.wire.failures import ClientGone
from wattshed.gateway.wire.http import Headers, Request
from wattshed.gateway.wire.refusals import Refusal
from wattshed.gateway.wire.reply import Reply
from wattshed.gateway.wire.server import Server

if TYPE_CHECKING:
    from wattshed.gateway.telemetry.tracing import Tracing

_log = logging.getLogger(__name__)

JSON: Final[Headers] = ((b"content-type", b"application/json"),)
EVENTS: Final[Headers] = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"))
EVENTS_EVERY_S: Final = 1.0
YOUNG_OBJECTS: Final = 10_000
"""Objects after which Python's collector looks for cycles; 700 by default, which a few requests make."""

PAGE: Final[Headers] = ((b"content-type", PAGE_TYPE),)

_DEFECT: Final = Refusal(500, "internal_error", "the gateway met a defect of its own; its log says more")

Reread = Callable[[], Settings]
"""Reads the settings again; `WattshedError` where they are wrong."""


class Gateway:
    """Answers requests with the core it has now; `reload` gives it another."""

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: Ledger | None = None,
        reread: Reread | None = None,
        hooks: Sequence[Callable[[Event], None]] = (),
        now_s: Callable[[], float] = monotonic,
        rng: np.random.Generator | None = None,
    ) -> None:
        self._now_s, self._rng = now_s, rng or np.random.default_rng()
        self._minds, self._ledger, self._reread = Minds(), ledger, reread
        self.core = self._made(settings)
        self._board, self._page = Board(self._standings, now_s=now_s), read_page()
        self.telemetry = Telemetry(
            _names(self.core),
            records=[self._board.heard, self._keep],
            hooks=hooks,
            fleet=self._loads,
            ledger=(lambda: None) if ledger is None else ledger.state,
            now_s=now_s,
        )
        self.tell: Callable[[Event], None] = self.telemetry.tell
        self.draining = False
        self._watches: list[asyncio.Task[None]] = []

    async def answer(self, request: Request, reply: Reply) -> None:
        """Answer one request; whatever goes wrong is answered too, unless the client has gone."""
        try:
            await self._answer(request, reply)
        except Refusal as refusal:
            if not reply.started:
                await reply.whole(refusal.status, refusal.headers, refusal.as_json())
        except (asyncio.CancelledError, ClientGone):
            raise
        except Exception:  # noqa: BLE001  the border of a request's task: our defects must not take others with them
            _log.exception("a request met a defect of the gateway", extra={"path": request.path})
            if not reply.started:
                await reply.whole(_DEFECT.status, _DEFECT.headers, _DEFECT.as_json())

    def watch(self) -> None:
        """Probe the systems and poll their agents, until `close`, or for a while after a `reload`."""
        self._watches.append(asyncio.get_running_loop().create_task(self._watch(self.core)))

    def reload(self) -> None:
        """Take the settings as they are now; `WattshedError` where they are wrong, and then nothing has changed."""
        if self._reread is None:
            raise Refusal(404, "not_found", "this gateway has no file that could be read again")
        settings = self._reread()
        new, old = self._made(settings, self.core), self.core
        self.core, self.telemetry.names = new, _names(new)
        watches, self._watches = self._watches, []
        self.watch()
        # The old core goes when what has begun on it has ended, and its joules have come.
        pause_s = settings.limits.drain_s + settings.upstream.first_byte_s
        asyncio.get_running_loop().call_later(pause_s, _retire, old, watches, pause_s)
        _log.info("settings were read again", extra={"systems": len(settings.systems)})

    def close(self) -> None:
        """Stop watching, and let go of all connections to engines."""
        _let_go(self.core, self._watches)

    def _keep(self, event: Event) -> None:
        """Write a row down, or the joules of one."""
        if self._ledger is None:
            return
        if isinstance(event, Row):
            self._ledger.append(event)
        elif isinstance(event, Settlement):
            self._ledger.settle(event)

    async def _answer(self, request: Request, reply: Reply) -> None:
        path = request.path
        allowed = METHODS.get(path)
        if allowed is not None and request.method not in allowed:
            raise _disallowed(path, request.method, allowed)
        route = ROUTES.get(path)
        if route is not None:
            if self.draining:
                raise Refusal(503, "draining", "this gateway is stopping; ask another", retry_after_s=1.0)
            await Exchange(self.core, request, reply, tell=self.tell).run(route)
            return
        page = self._pages.get(path)
        if page is None:
            raise Refusal(404, "not_found", f"there is nothing at {path[:200]}")
        await page(request, reply)

    @property
    def _pages(self) -> Mapping[str, Callable[[Request, Reply], Awaitable[None]]]:
        return {
            "/v1/models": self._models,
            "/v1/route": self._route,
            "/health": self._health,
            "/ready": self._ready,
            "/metrics": self._metrics,
            "/dashboard": self._dashboard,
            "/dashboard/state": self._state,
            "/dashboard/events": self._events,
            "/openapi.json": self._openapi,
            "/admin/reload": self._admin_reload,
        }

    async def _models(self, request: Request, reply: Reply) -> None:
        self.core.keys.owner(request.header("authorization"))
        models = [{"id": name, "object": "model", "owned_by": "wattshed"} for name in self.core.names]
        await reply.whole(200, JSON, msgspec.json.encode({"object": "list", "data": models}))

    async def _route(self, request: Request, reply: Reply) -> None:
        """A dry run: the body of a chat, or of completions where it has a prompt."""
        route: Route = "completions" if b'"messages"' not in request.body else "chat"
        placement = Exchange(self.core, request, reply, tell=lambda _: None).dry_run(route)
        await reply.whole(200, JSON, msgspec.json.encode(routed(placement)))

    async def _health(self, _: Request, reply: Reply) -> None:
        """That the process lives."""
        await reply.whole(200, JSON, b'{"status":"ok"}')

    async def _ready(self, _: Request, reply: Reply) -> None:
        """Whether a request would find a system, and which systems have drifted from their predictors."""
        ready = not self.draining and any(
            self.core.health.available(position) for position in range(len(self.core.settings.systems))
        )
        document = {"ready": ready, "drift": self.telemetry.drift.alarms}
        await reply.whole(200 if ready else 503, JSON, msgspec.json.encode(document))

    async def _metrics(self, _: Request, reply: Reply) -> None:
        await reply.whole(200, PAGE, await self.telemetry.page())

    async def _openapi(self, _: Request, reply: Reply) -> None:
        """What stands here; the names of models only where nobody needs a key to read them."""
        core = self.core
        await reply.whole(200, JSON, msgspec.json.encode(document(() if core.keys.locked else core.names)))

    async def _dashboard(self, _: Request, reply: Reply) -> None:
        """The page, which holds nothing; what it shows is asked for with a key."""
        await reply.whole(200, self._page.headers, self._page.body)

    async def _state(self, request: Request, reply: Reply) -> None:
        self.core.keys.owner(request.header("authorization"))
        await reply.whole(200, JSON, self._board.state(self.telemetry.snapshot))

    async def _events(self, request: Request, reply: Reply) -> None:
        """The state once a second, until the client or the gateway goes."""
        self.core.keys.owner(request.header("authorization"))
        await reply.start(200, EVENTS)
        while not self.draining:
            await reply.send(event_of(self._board.state(self.telemetry.snapshot)))
            await asyncio.sleep(EVENTS_EVERY_S)
        await reply.end()

    async def _admin_reload(self, request: Request, reply: Reply) -> None:
        self._require_admin(request)
        try:
            self.reload()
        except Refusal:
            raise
        except WattshedError as error:
            raise Refusal(422, "invalid_value", f"the settings are as they were: {error}") from error
        await reply.whole(200, JSON, b'{"reloaded":true}')

    def _require_admin(self, request: Request) -> None:
        key, authorization = self.core.settings.admin_key, request.header("authorization")
        if authorization is None:
            raise Refusal(401, "invalid_api_key", "this needs the admin key: send 'Authorization: Bearer KEY'")
        said = authorization.removeprefix("Bearer ").encode()
        if key is None or not hmac.compare_digest(said, key.reveal().encode()):
            raise Refusal(403, "forbidden", "this needs the admin key that the settings name")

    def _made(self, settings: Settings, before: Core | None = None) -> Core:
        return Core(settings, _keys(settings), self._minds, now_s=self._now_s, rng=self._rng, before=before)

    def _loads(self) -> list[SystemLoad]:
        core = self.core
        asleep, prices = core.live.asleep(self._now_s()), prices_of(core.policy)
        return [
            SystemLoad(
                system.name,
                core.slots.taken[position],
                core.slots.waiting[position],
                core.health.available(position),
                None if system.agent is None else system.name,
                position in asleep,
                None if prices is None else prices[position],
            )
            for position, system in enumerate(core.settings.systems)
        ]

    def _standings(self) -> list[Standing]:
        systems, conditions = self.core.settings.systems, self.core.health.conditions()
        return [
            Standing(system.name, system.slots, condition)
            for system, condition in zip(systems, conditions, strict=True)
        ]

    async def _watch(self, core: Core) -> None:
        """Probes and polls of one core."""
        async with asyncio.TaskGroup() as group:
            group.create_task(core.health.watch(core.probes()))
            group.create_task(core.tune())
            for polling in self._pollings(core):
                self._minds.metering.poll(polling, group)

    def _settled(self, core: Core, settlement: Settlement) -> None:
        due = core.settled(settlement)
        if due is not None:
            self.tell(due)

    def _pollings(self, core: Core) -> list[Polling]:
        return [
            Polling(
                node,
                over(core.agent(system.agent), None if system.agent.token is None else system.agent.token.reveal()),
                parts_of(system.serves[0].measured.channel),
                name=system.name,
                now_s=self._now_s,
                told=self.tell,
                settled=lambda settlement: self._settled(core, settlement),
            )
            for system, node in zip(core.settings.systems, core.nodes, strict=True)
            if system.agent is not None and node is not None
        ]


async def serve(
    settings: Settings, *, ready: Callable[[int], None] | None = None, reread: Reread | None = None
) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain; `ready` is told the port once it listens."""
    ledger, tracing = _ledger(settings), _tracing(settings)
    gateway = Gateway(settings, ledger=ledger, reread=reread, hooks=() if tracing is None else (tracing.heard,))
    server = Server(gateway.answer, settings.wire)
    try:
        port = await server.start(settings.listen.host, settings.listen.port)
        gateway.watch()
        _settle_collector()
        if ready is not None:
            ready(port)
        await _stopped(gateway)
        gateway.draining = True
        await server.drain(settings.limits.drain_s)
    finally:
        server.close()
        gateway.close()
        if ledger is not None:
            await asyncio.to_thread(ledger.close)
        if tracing is not None:
            await asyncio.to_thread(tracing.close)


def _settle_collector() -> None:
    """Have Python's collector look at what requests leave behind, and not, again and again, at all that was loaded.

    A full collection of what start-up leaves takes 30 ms, in which nobody is answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


async def _stopped(gateway: Gateway) -> None:
    """Wait for a signal to stop; one to reload is obeyed meanwhile."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def reload() -> None:
        try:
            gateway.reload()
        except WattshedError as error:
            _log.error("the settings are as they were", extra={"problem": str(error)})

    with contextlib.suppress(NotImplementedError):  # Windows has no such signals
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, stop.set)
        loop.add_signal_handler(signal.SIGHUP, reload)
    await stop.wait()


def _retire(core: Core, watches: Iterable["asyncio.Task[None]"], pause_s: float) -> None:
    """Let go of what a reload has replaced, or look again later while somebody is served by it."""
    if core.idle:
        _let_go(core, watches)
    else:
        asyncio.get_running_loop().call_later(pause_s, _retire, core, watches, pause_s)


def _let_go(core: Core, watches: Iterable["asyncio.Task[None]"]) -> None:
    for watch in watches:
        watch.cancel()
    core.close()


def _tracing(settings: Settings) -> "Tracing | None":
    """What tells OpenTelemetry's collector; without one nothing of it is loaded."""
    if settings.otel is None:
        return None
    from wattshed.gateway.telemetry.tracing import Tracing

    return Tracing.to(settings.otel)


def _ledger(settings: Settings) -> Ledger | None:
    """The ledger, open; without one no database is loaded."""
    if settings.ledger is None:
        return None
    from wattshed.gateway.ledger.store import open_store

    return Ledger(open_store(settings.ledger.whole_url()), Pace(keep_s=settings.ledger.keep_s))


def _keys(settings: Settings) -> KeyRing:
    """The keys; without a file of them nothing that reads files is loaded."""
    if settings.keys_file is None:
        return KeyRing()
    from wattshed.gateway.settings.keys_file import read_keys

    return read_keys(settings.keys_file)


def _names(core: Core) -> Names:
    """What labels of metrics may say."""
    models, systems = core.settings.models, core.settings.systems
    return Names(
        frozenset(model.name for model in models),
        frozenset(system.name for system in systems),
        frozenset(core.keys.names),
        frozenset(system.name for system in systems if any(one.joules == "assumed" for one in system.serves)),
    )


def _disallowed(path: str, method: str, allowed: tuple[str, ...]) -> Refusal:
    problem = f"{path} takes {' and '.join(allowed)}, not {method}"
    return Refusal(405, "method_not_allowed", problem, allow=allowed)
