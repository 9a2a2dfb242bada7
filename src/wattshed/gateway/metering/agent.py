"""What `wattshed agent` says on a node: the joules of its meters over HTTP, to whoever has the token.

    GET /energy                 an instant of the node's clock, and no joules yet
    GET /energy?since=INSTANT   joules from then to now, by part and by channel, or reasons, and the new instant
    GET /metrics                the same counted since the start, for Prometheus
    GET /health                 that it runs, to anybody

The agent keeps no state of its askers: each window is the asker's own, so several gateways do not disturb each other,
and windows add up, because each begins at the instant that the last one ended at. `session` changes when the agent
starts again: instants of another session are not compared with. `took_s` says how long the answer was in the making,
so that the asker can tell when, on its own clock, the window ended.
"""

import asyncio
import hmac
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, get_args
from urllib.parse import parse_qs

import msgspec

from wattshed.domain.energy import ChannelEnergy, MeterChannel, Part, WindowEnergy
from wattshed.domain.schema import AGENT_METRICS
from wattshed.errors import UsageError
from wattshed.gateway.metrics.counts import PAGE_TYPE, Counts, page
from wattshed.gateway.wire.http import Headers, Request, is_loopback
from wattshed.gateway.wire.refusals import Refusal
from wattshed.gateway.wire.reply import Reply

LEAST_TOKEN: Final = 16
"""Characters of a token; fewer could be guessed."""

_JSON: Final[Headers] = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
_PAGE: Final[Headers] = ((b"content-type", PAGE_TYPE),)


class Sensing(Protocol):
    """What the agent asks of a meter; every `Meter` has it."""

    @property
    def channels(self) -> tuple[MeterChannel, ...]:
        """What it counts."""
        ...

    def mark(self) -> float:
        """An instant of the node's monotonic clock, in s."""
        ...

    def between(self, start_s: float, stop_s: float) -> WindowEnergy:
        """Joules by channel between two marks; may wait for the sample that closes the window."""
        ...


@dataclass(frozen=True, slots=True)
class Amount:
    """Joules of one part or channel over a window, or the reason for none; `boundary` says whose joules."""

    name: str
    boundary: str
    energy_j: float | None
    reason: str | None

    @classmethod
    def of(cls, energy: ChannelEnergy) -> "Amount":
        """What a meter said."""
        return cls(energy.channel.name, energy.channel.boundary, energy.energy_j, energy.reason)


@dataclass(frozen=True, slots=True)
class Told:
    """The agent's answer: instants are of the node's clock, and mean something within one `session` only."""

    session: str
    at_s: float
    since_s: float | None
    took_s: float
    parts: tuple[Amount, ...] = ()
    channels: tuple[Amount, ...] = ()


def require_token(host: str, token: str | None) -> None:
    """`UsageError` where anybody could ask from elsewhere, or the token could be guessed."""
    if token is None and not is_loopback(host):
        raise UsageError(
            f"--host {host} is open to other machines and there is no token; pass --token-file, or --host 127.0.0.1"
        )
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(
            f"the token has to be {LEAST_TOKEN} or more printable ASCII characters; make one: openssl rand -hex 32"
        )


class Agent:
    """Answers for the meter of a node; `answering` is handed to the server."""

    def __init__(
        self,
        meter: Sensing,
        *,
        session: str,
        token: str | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._meter, self._session, self._token, self._now_s = meter, session, token, now_s
        self._turn = asyncio.Lock()  # a meter is asked by one at a time, each in a thread, for it may wait
        self._counts = Counts(AGENT_METRICS)
        self._since_s = dict.fromkeys((channel.name for channel in meter.channels), meter.mark())

    async def answering(self, request: Request, reply: Reply) -> None:
        """One request."""
        try:
            headers, body = await self._answer(request)
        except Refusal as refusal:
            await reply.whole(refusal.status, refusal.headers, refusal.as_json())
            return
        await reply.whole(200, headers, body)

    async def _answer(self, request: Request) -> tuple[Headers, bytes]:
        if request.path not in ("/energy", "/metrics", "/health"):
            raise Refusal(404, "not_found", "an agent has /energy, /metrics and /health")
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "method_not_allowed", f"ask {request.path} with GET")
        if request.path == "/health":
            return _JSON, b'{"status":"ok"}'
        self._authenticate(request.header("authorization"))
        if request.path == "/metrics":
            return _PAGE, await self._page()
        return _JSON, msgspec.json.encode(await self._told(_since_s(request.query)))

    def _authenticate(self, authorization: str | None) -> None:
        scheme, _, shown = (authorization or "").partition(" ")
        right = hmac.compare_digest(shown.strip().encode("latin-1", "replace"), (self._token or "").encode())
        if self._token is not None and not (right and scheme.lower() == "bearer"):
            raise Refusal(401, "invalid_api_key", "this agent needs its token: send 'Authorization: Bearer TOKEN'")

    async def _told(self, since_s: float | None) -> Told:
        async with self._turn:
            return await asyncio.to_thread(self._measured, since_s)

    def _measured(self, since_s: float | None) -> Told:
        at_s, marked_s = self._meter.mark(), self._now_s()
        if since_s is None:
            return Told(self._session, at_s, None, self._now_s() - marked_s)
        if since_s > at_s:
            raise Refusal(400, "invalid_value", "`since` is later than now; ask again without it", param="since")
        window = self._meter.between(since_s, at_s)
        parts = [(part, energy) for part in get_args(Part) if (energy := window.part(part)) is not None]
        return Told(
            self._session,
            at_s,
            since_s,
            self._now_s() - marked_s,
            tuple(Amount(part, one.channel.boundary, one.energy_j, one.reason) for part, one in parts),
            tuple(map(Amount.of, window.channels)),
        )

    async def _page(self) -> bytes:
        async with self._turn:
            await asyncio.to_thread(self._count)
            return page(self._counts)

    def _count(self) -> None:
        """Add what each channel counted since it was last added; what came too soon to be told waits."""
        at_s = self._meter.mark()
        for since_s in set(self._since_s.values()):
            if since_s < at_s:
                for energy in self._meter.between(since_s, at_s).channels:
                    if self._since_s.get(energy.channel.name) == since_s:
                        self._add(energy, at_s, at_s - since_s)

    def _add(self, energy: ChannelEnergy, at_s: float, duration_s: float) -> None:
        channel = energy.channel
        if energy.reason == "window_too_short":
            return
        self._since_s[channel.name] = at_s
        if energy.energy_j is None:
            self._counts.add("wattshed_agent_gaps_total", 1.0, channel.name, energy.reason or "")
            return
        self._counts.add("wattshed_agent_joules_total", energy.energy_j, channel.name, channel.part)
        self._counts.set("wattshed_agent_power_watts", energy.energy_j / duration_s, channel.name, channel.part)


def _since_s(query: str) -> float | None:
    given = parse_qs(query).get("since")
    if given is None:
        return None
    try:
        since_s = float(given[-1])
    except ValueError:
        since_s = math.nan
    if not math.isfinite(since_s):
        raise Refusal(400, "invalid_value", "`since` is an instant that this agent told before", param="since")
    return since_s
