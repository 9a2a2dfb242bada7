"""Requests of known lengths through a real gateway in front of the demo fleet, once a policy, to compare its joules.

    queries --client, HTTP--> gateway --HTTP--> demo engines --counter--> agents
                                 |                                          |
                                 `--- rows: predicted, baseline     joules of requests: attributed

Each policy has a fleet and a gateway of its own and begins knowing nothing: how many tokens a prompt has and how long
its answer will be it learns as it goes, except under `informed`, whose client says how long.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import msgspec
import numpy as np

from wattshed.domain.query import Query
from wattshed.gateway.app import Gateway
from wattshed.gateway.demo.demo import DEMO_MODEL, LOOPBACK, DemoFleet, demo_fleet
from wattshed.gateway.demo.words import word
from wattshed.gateway.events import Event, NodeWindow
from wattshed.gateway.ledger.ledger import Row, Settlement
from wattshed.gateway.settings.assembly import Overrides
from wattshed.gateway.settings.settings import Settings
from wattshed.gateway.wire.client import Upstream
from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.http import Headers
from wattshed.gateway.wire.server import Server
from wattshed.policies.policy import Policy

Rule = Literal["threshold", "argmin", "informed", "baseline"]
"""Who decides: the paper's threshold on the input; least predicted energy, for lengths that were learned or told; or
nobody, with everything on one machine."""

RULES: Final[tuple[Rule, ...]] = get_args(Rule)

AT_ONCE: Final = 4
"""Requests under way at a time: enough that both machines work, and few enough that their order matters little."""

_MOST_SETTLING_S: Final = 30.0
"""How long the last joules are waited for: twice as long as a window may wait for those in it."""

_MOST_BYTES: Final = 2**22
_HEADERS: Final[Headers] = ((b"content-type", b"application/json"),)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one policy came to; sums are over the requests that were answered, which may be fewer than were sent.

    Joules: predicted before each answer, over the forecast of its length; in hindsight, for the tokens that there were;
    attributed by the meters to the `attributed` requests that have any; of the baseline, for the same tokens; and
    metered, what the engines have spent in all.
    """

    rule: Rule
    policy: str
    sent: int
    answered: int
    attributed: int
    served: Mapping[str, int]
    predicted_energy_j: float
    hindsight_energy_j: float
    attributed_energy_j: float
    baseline_energy_j: float
    metered_energy_j: float

    @property
    def saved(self) -> float | None:
        """Share of the baseline's joules that attributed ones are below it; `None` unless every request has some."""
        if not 0 < self.answered == self.attributed:
            return None
        return 1 - self.attributed_energy_j / self.baseline_energy_j


async def replay(
    queries: Sequence[Query], rule: Rule, *, speed_up: float, ended: Callable[[], None] = lambda: None
) -> Replayed:
    """Send the queries, a few at a time, and wait for their joules; `ended` hears of each answer."""
    books = _Books()
    async with demo_fleet(speed_up=speed_up) as fleet:
        settings = _settings(fleet, rule)
        async with _gateway(settings, books) as client:
            await books.metering(len(fleet.agents))
            waiting = iter([_Message.of(query, told=rule == "informed") for query in queries])
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(_send(client, waiting, ended))
            await books.settle()
        return books.closed(rule, settings.policy.name, len(queries), fleet)


class _Books:
    """What the gateway tells of each request, as it is told."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._settled: dict[str, Settlement] = {}
        self._metered: set[str] = set()
        self._heard = asyncio.Event()

    def hear(self, event: Event) -> None:
        """Keep rows and their joules, and which nodes have told a window."""
        if isinstance(event, Row):
            self._rows[event.request] = event
        elif isinstance(event, Settlement):
            self._settled[event.request] = event
        elif isinstance(event, NodeWindow):
            self._metered.add(event.node)
        self._heard.set()

    async def metering(self, nodes: int) -> None:
        """Wait until so many nodes have told a window: the first one begins before anybody has read a counter."""
        await self._until(lambda: len(self._metered) == nodes)

    async def settle(self) -> None:
        """Wait until every answer has its joules, or a reason for none; those that take too long have none."""
        await self._until(lambda: all(row.request in self._settled for row in self._answered()))

    def closed(self, rule: Rule, policy: str, sent: int, fleet: DemoFleet) -> Replayed:
        """The sums."""
        rows = self._answered()
        settled = [one for row in rows if (one := self._settled.get(row.request)) is not None]
        attributed_j = [one.energy_j for one in settled if one.energy_j is not None]
        return Replayed(
            rule,
            policy,
            sent,
            len(rows),
            len(attributed_j),
            {name: Counter(row.system for row in rows)[name] for name in fleet.urls},
            sum(row.predicted_energy_j or 0.0 for row in rows),
            sum(row.hindsight_energy_j or 0.0 for row in rows),
            sum(attributed_j),
            sum(row.baseline_energy_j or 0.0 for row in rows),
            fleet.energy_j,
        )

    async def _until(self, met: Callable[[], bool]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_MOST_SETTLING_S):
                while not met():
                    self._heard.clear()
                    await self._heard.wait()

    def _answered(self) -> list[Row]:
        return [row for row in self._rows.values() if row.outcome == "done" and row.hindsight_energy_j is not None]


@asynccontextmanager
async def _gateway(settings: Settings, books: _Books) -> AsyncIterator[Upstream]:
    """A running gateway, as `wattshed serve` runs it, and a client of it."""
    gateway = Gateway(settings, hooks=[books.hear], rng=np.random.default_rng(0))
    server = Server(gateway.answer, settings.wire)
    client = Upstream(f"http://{LOOPBACK}:{await server.start(LOOPBACK, 0)}")
    try:
        gateway.watch()
        yield client
    finally:
        client.close()
        await server.drain(1.0)
        gateway.close()


async def _send(client: Upstream, waiting: Iterator["_Message"], ended: Callable[[], None]) -> None:
    """Ask for one answer after the other, for as long as any message waits."""
    for message in waiting:
        with suppress(UpstreamError):  # the gateway's row says what became of it
            answer = await client.send("POST", "/v1/chat/completions", message.headers, message.body)
            try:
                await answer.whole(_MOST_BYTES)
            finally:
                answer.close()
        ended()


@dataclass(frozen=True, slots=True)
class _Message:
    """One request as it is sent."""

    headers: Headers
    body: bytes

    @classmethod
    def of(cls, query: Query, *, told: bool) -> "_Message":
        """A chat of so many words. The wish in its body is for the engine; the gateway reads the header, where told."""
        prompt = "".join(map(word, range(query.input_tokens)))
        chat: dict[str, object] = {"model": DEMO_MODEL, "messages": [{"role": "user", "content": prompt}]}
        hint = (b"x-wattshed-output-tokens", b"%d" % query.output_tokens)
        wish = {"demo": {"output_tokens": query.output_tokens}}
        return cls((*_HEADERS, hint) if told else _HEADERS, msgspec.json.encode(chat | wish))


def _settings(fleet: DemoFleet, rule: Rule) -> Settings:
    """The demo's settings with another policy."""
    settings = fleet.settings(Overrides(port=0))
    return replace(settings, policy=_policy(settings, rule), shadow=None)


def _policy(settings: Settings, rule: Rule) -> Policy:
    if rule in {"argmin", "informed"}:
        return settings.policy
    if rule == "baseline":
        return settings.baseline
    assert settings.shadow is not None  # the demo's settings have the paper's threshold there
    return settings.shadow
