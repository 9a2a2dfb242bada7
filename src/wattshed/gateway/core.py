"""What one reading of the settings makes: routers, slots, breakers, connections and keys.

A reload makes a new one beside the old: requests that have begun end on the old one. What was learned of clients
(`Minds`) is handed on, and so is what the machines are doing (`Machines`) where they stay as they are. A machine's
position is its index in `settings.systems`; each model has a router of its own over the machines that serve it, so its
systems count anew. Slots belong to machines and are shared by models, and so is what every machine is doing now
(`LiveFleet`): the predicted wait knows the requests of all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from msgspec import structs

from wattshed.gateway.api.body import Call
from wattshed.gateway.api.usage import Usage
from wattshed.gateway.attribution.energy import NodeEnergy, Terms, Tokens
from wattshed.gateway.fleet.admission import Allowances, Slots
from wattshed.gateway.fleet.health import Health
from wattshed.gateway.fleet.live import LiveFleet
from wattshed.gateway.fleet.part import Shared
from wattshed.gateway.fleet.served import ServedSystem
from wattshed.gateway.ledger.ledger import Settlement
from wattshed.gateway.metering.nodes import Metering
from wattshed.gateway.placing.among import among, priced_among
from wattshed.gateway.placing.prefixes import PrefixIndex
from wattshed.gateway.placing.router import Router
from wattshed.gateway.placing.slot_prices import KnownPrices, SlotPrices, begun
from wattshed.gateway.placing.tokens import TokenEstimate
from wattshed.gateway.settings.keys import KeyRing
from wattshed.gateway.settings.settings import AgentSettings, Serving, Settings, SystemSettings
from wattshed.gateway.story import fresh_names
from wattshed.gateway.wire.client import Upstream
from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.http import bearer
from wattshed.policies.policy import Policy
from wattshed.policies.priced import Priced
from wattshed.predictors.batch import BatchPredictor
from wattshed.predictors.length import LengthKey, LengthPredictor

ENDLESS_TOKENS: Final = 2**62
"""The context of a system that has none in the settings."""

MOST_PROBE_BYTES: Final = 2**20
"""Longest list of models that is read."""


@dataclass(frozen=True, slots=True)
class Stand:
    """One model on one machine, at a position of that model's router."""

    machine: int
    system: SystemSettings
    serving: Serving


class Attempt(NamedTuple):
    """One of the systems that a request tried; made once an attempt, hence a bare tuple."""

    request: str
    number: int

    def __str__(self) -> str:
        return f"{self.request}#{self.number}"


@dataclass(frozen=True, slots=True, eq=False)
class ModelDesk:
    """All that serves one model."""

    stands: tuple[Stand, ...]
    router: Router


@dataclass(frozen=True, slots=True, eq=False)
class Minds:
    """What was learned from traffic, and whose joules are awaited: what outlives a reload."""

    latest: dict[str, Attempt] = field(default_factory=dict)
    metering: Metering = field(default_factory=Metering)
    lengths: LengthPredictor = field(default_factory=LengthPredictor)
    slot_prices: KnownPrices = field(default_factory=dict)
    tokens: TokenEstimate = field(default_factory=TokenEstimate)


@dataclass(frozen=True, slots=True, eq=False)
class Machines:
    """What the machines are doing, whoever asked them: their slots, who runs and who sleeps, and how well they are."""

    slots: Slots
    live: LiveFleet
    health: Health

    @classmethod
    def of(cls, settings: Settings, now_s: Callable[[], float]) -> "Machines":
        """Machines that nobody has asked yet."""
        systems = settings.systems
        return cls(
            Slots([system.slots for system in systems], most_waiting=settings.limits.most_queued),
            LiveFleet(systems, now_s()),
            Health(len(systems), settings.health, now_s=now_s),
        )


class Core:
    """One generation of the gateway; `before` is the one that it takes over from.

    Where a reload leaves the machines as they are, requests of both generations share their slots.
    """

    def __init__(
        self,
        settings: Settings,
        keys: KeyRing,
        minds: Minds,
        *,
        now_s: Callable[[], float],
        rng: np.random.Generator,
        before: "Core | None" = None,
    ) -> None:
        systems, limits = settings.systems, settings.limits
        self.settings, self.keys, self.minds, self.now_s = settings, keys, minds, now_s
        self.names = settings.names()
        self.fresh_names = fresh_names(rng.spawn(1)[0])  # a child's draws take none from the policies
        self._tokenizers = {one.name: one.vocabulary for one in settings.models if one.vocabulary is not None}
        self.prefixes = PrefixIndex(limits.most_prefix_blocks)
        kept = None if before is None else before.machines_for(settings)
        self._machines: Machines = kept or Machines.of(settings, now_s)
        self.slots, self.live, self.health = self._machines.slots, self._machines.live, self._machines.health
        self.exchanges = 0
        self.allowances = Allowances(now_s=now_s)
        self.upstreams = tuple(Upstream(one.url, one.upstream or settings.upstream, now_s=now_s) for one in systems)
        self._agents: list[Upstream] = []
        self._latest = minds.latest
        self.policy, self._tuned = self._tuning()
        self.desks = {model.name: self._desk(model.name, rng) for model in settings.models}
        self.nodes = tuple(map(self._node, systems))  # last: nodes may be the old core's, and must not change in vain

    @property
    def idle(self) -> bool:
        """Whether no request is on this generation."""
        return self.exchanges == 0

    def machines_for(self, settings: Settings) -> Machines | None:
        """What the machines are doing, if these settings have the same ones."""
        return self._machines if _of_machines(self.settings) == _of_machines(settings) else None

    def taking(self, stands: Sequence[Stand], tried: Set[int]) -> tuple[bool, ...]:
        """Which stands may be given a request that was at those `tried`: they are well, and their queues have room.

        One in a slow start is spared beyond its share, unless there is no other.
        """
        if not (tried or self.health.troubled or self.slots.crowded):
            return (True,) * len(stands)
        full, available = self.slots.full, self.health.available
        well = tuple(
            [at not in tried and available(one.machine) and not full(one.machine) for at, one in enumerate(stands)]
        )
        if not self.health.troubled:
            return well
        warm = tuple(is_well and self._warm(stand) for is_well, stand in zip(well, stands, strict=True))
        return warm if any(warm) else well

    def began(self, stand: Stand, attempt: Attempt, expected: Tokens) -> None:
        """A request is on a machine: whatever its meter counts is partly the request's."""
        node = self.nodes[stand.machine]
        if node is not None:
            self._latest[attempt.request] = attempt
            node.began(str(attempt), self.now_s(), expected)

    def first_token(self, stand: Stand, attempt: Attempt) -> None:
        """Its first token has come."""
        node = self.nodes[stand.machine]
        if node is not None:
            node.first_token(str(attempt), self.now_s())

    def finished(self, stand: Stand, attempt: Attempt, tokens: Tokens | None) -> None:
        """It is there no more."""
        node = self.nodes[stand.machine]
        if node is not None:
            node.finished(str(attempt), self.now_s(), tokens)

    def settled(self, settlement: Settlement) -> Settlement | None:
        """The joules of a request as its row takes them; `None` for those of an attempt that another followed."""
        request = settlement.request.partition("#")[0]
        if settlement.request != str(self._latest.get(request)):
            return None
        del self._latest[request]
        return replace(settlement, request=request)

    def counted(self, model: str, call: Call, body: bytes) -> Call:
        """The call with its tokens as the model's tokenizer counts them, where it has one."""
        tokenizer = self._tokenizers.get(model)
        return call if tokenizer is None else structs.replace(call, counted=tokenizer.counted(body))

    def learn(self, call: Call, key: LengthKey, usage: Usage) -> None:
        """What an engine counted, for the next forecasts."""
        self.minds.tokens.observe(key.model, call.prompt_bytes, usage.input_tokens, counted=call.counted)
        if call.route != "embeddings":
            each = round(usage.output_tokens / call.choices)
            cut = call.most_output_tokens is not None and each >= call.most_output_tokens
            self.minds.lengths.observe(key, each, cut=cut)

    def remember(self, model: str, position: int, call: Call) -> None:
        """An engine has read this conversation."""
        stand = self.desks[model].stands[position]
        if stand.system.prefix_cache:
            self.prefixes.remember(stand.machine, call.blocks)

    def probes(self) -> list[Callable[[], Awaitable[None]]]:
        """A probe for each machine: it lives if it lists its models."""
        return [partial(self._probe, machine) for machine in range(len(self.upstreams))]

    async def _probe(self, machine: int) -> None:
        """Ask a machine for its models; one that sleeps, and was well before, is let sleep."""
        asleep = machine in self.live.asleep(self.now_s())
        if not asleep or self.health.conditions()[machine].circuit != "closed":
            await _listed(self.upstreams[machine], self.settings.systems[machine])

    def agent(self, agent: AgentSettings) -> Upstream:
        """A connection to a node's agent."""
        upstream = Upstream(agent.url, now_s=self.now_s)
        self._agents.append(upstream)
        return upstream

    async def tune(self) -> None:
        """Have the prices of slots follow the work, where they find themselves; until cancelled."""
        tuning, tuned = self.settings.tuning, self._tuned
        while tuning is not None and tuned is not None:
            await asyncio.sleep(tuning.every_s)
            self.charge(tuned.observe(self.now_s()))

    def charge(self, policy: Priced) -> None:
        """Decide by these prices from now on."""
        self.policy = policy
        owners = [(name, policy.objective) for name in self._system_names]
        self.minds.slot_prices.update(zip(owners, policy.prices, strict=True))
        for desk in self.desks.values():
            desk.router.adopt(priced_among(policy, [stand.machine for stand in desk.stands]))

    def close(self) -> None:
        """Close all connections to engines and agents."""
        for upstream in (*self.upstreams, *self._agents):
            upstream.close()

    def _warm(self, stand: Stand) -> bool:
        most = self.health.most_in_flight(stand.machine, stand.system.slots)
        return most == stand.system.slots or self.slots.taken[stand.machine] < most

    @property
    def _system_names(self) -> list[str]:
        return [system.name for system in self.settings.systems]

    def _tuning(self) -> tuple[Policy, SlotPrices | None]:
        """The policy to begin with, and what finds its prices, where they find themselves."""
        settings, policy = self.settings, self.settings.policy
        if settings.tuning is None or not isinstance(policy, Priced):
            return policy, None
        start = begun(policy, self.minds.slot_prices, self._system_names)
        slots = [system.slots for system in settings.systems]
        return start, SlotPrices(settings.tuning, self.live, slots, start=start, at_s=self.now_s())

    def _node(self, system: SystemSettings) -> NodeEnergy | None:
        """Whose joules the machine's agent counts are, if it has one."""
        if system.agent is None:
            return None
        return self.minds.metering.node(system.agent.url, _terms(system), self.now_s())

    def _desk(self, model: str, rng: np.random.Generator) -> ModelDesk:
        settings = self.settings
        stands = tuple(
            Stand(machine, system, serving)
            for machine, system in enumerate(settings.systems)
            if (serving := system.serving(model)) is not None
        )
        moved = {stand.machine: position for position, stand in enumerate(stands)}
        router = Router(
            [_served(stand) for stand in stands],
            among(self.policy, moved),
            baseline=among(settings.baseline, moved),
            shadow=None if settings.shadow is None else among(settings.shadow, moved),
            now_s=self.now_s,
            rng=rng,
            most_wait_s=settings.limits.most_wait_s,
            shared=Shared(self.live, tuple(moved)),
        )
        return ModelDesk(stands, router)


def _of_machines(settings: Settings) -> tuple[object, ...]:
    """All that slots, sleep and health hang on: where it is the same, so are the machines."""
    machines = tuple(
        (one.name, one.url, one.slots, one.sleeps_after_s, one.wake_s, one.wake_energy_j) for one in settings.systems
    )
    return machines, settings.limits.most_queued, settings.health


async def _listed(upstream: Upstream, system: SystemSettings) -> None:
    """Ask for the list of models; `UpstreamError` where an engine cannot even do that."""
    key = () if system.api_key is None else bearer(system.api_key.reveal())
    answer = await upstream.send("GET", "/v1/models", key)
    try:
        await answer.whole(MOST_PROBE_BYTES)
        if answer.status >= 500:
            raise UpstreamError("malformed", f"{upstream.name} answers {answer.status}")
    finally:
        answer.close()


def _terms(system: SystemSettings) -> Terms:
    """How the joules of a machine are split: by work where a batch predictor says what work costs, else by presence."""
    batches = [one.measured.predictor for one in system.serves if one.measured.predictor.kind == "batch"]
    if not batches:
        return Terms()
    return Terms(BatchPredictor(batches[0]).weights(system.slots, idle_power_w=0.0))


def _served(stand: Stand) -> ServedSystem:
    system, serving = stand.system, stand.serving
    return ServedSystem(
        system.name,
        serving.measured.predictor,
        system.slots,
        system.context_tokens or ENDLESS_TOKENS,
        variants={serving.model: serving.upstream_model},
        wake_energy_j=system.wake_energy_j,
        wake_s=system.wake_s,
        sleeps_after_s=system.sleeps_after_s,
        host_power_w=system.host_power_w,
    )
