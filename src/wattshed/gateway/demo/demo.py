"""The demo fleet: engines that speak OpenAI's API and cost what measured machines cost, so that nobody needs hardware.

    POST /v1/chat/completions, /v1/completions, /v1/embeddings    GET /v1/models, /health
    GET  /demo/state     joules so far, who runs, who waits, and what was answered last
    POST /demo/fault     {"kind": ..., "requests": ..., "delay_s": ..., "after_tokens": ...}, or {} for none

The two paths of the demo itself answer on loopback only. `machine.py` has the seconds and joules, `words.py`
what is said, `faults.py` what may go wrong, and `meter.py` the agents; here are the server, and the fleet of
two with settings for a gateway.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec

from wattshed.errors import InputError
from wattshed.gateway.api.body import ROUTES, Route
from wattshed.gateway.demo.faults import JSON, Fault, Telling, wished
from wattshed.gateway.demo.machine import Machine, Occupancy, quickened
from wattshed.gateway.demo.meter import demo_agent
from wattshed.gateway.demo.words import Asked, asked
from wattshed.gateway.settings.assembly import Overrides
from wattshed.gateway.settings.file import settings_of
from wattshed.gateway.settings.settings import Settings, SystemSettings
from wattshed.gateway.settings.site import BUNDLED, DEMO_PREDICTORS, Site
from wattshed.gateway.wire.http import Request, is_loopback
from wattshed.gateway.wire.refusals import Refusal
from wattshed.gateway.wire.reply import Reply
from wattshed.gateway.wire.server import Server
from wattshed.predictors.file import load

DEMO_MODEL: Final = "llama-2-7b"
MEASURED_MODEL: Final = "Llama-2 (7B)"
DEMO_SYSTEMS: Final = {"mac": ("M1-Pro", 2048), "a100": ("Swing AMD+A100", 4096)}
"""Which measured system each of the fleet imitates, and its context in tokens: about as far as it was measured."""

LOOPBACK: Final = "127.0.0.1"

_KEPT: Final = 1000
"""Requests that are remembered, for whoever checks receipts."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One request of the past: its exact tokens and joules. `output_tokens` are those sent, all of them or not."""

    route: Route
    input_tokens: int
    output_tokens: int
    energy_j: float
    complete: bool


class DemoServer:
    """One engine. `fault` may be changed at any time; `answered` has the last requests, the latest last."""

    def __init__(self, machine: Machine, *, fault: Fault | None = None, now_s: Callable[[], float] = monotonic) -> None:
        self.machine, self.fault = machine, fault
        self.occupancy = Occupancy(machine, now_s)
        self.answered: deque[Answered] = deque(maxlen=_KEPT)
        self._serial = 0
        self._server = Server(self._answer)

    async def start(self, host: str = LOOPBACK, port: int = 0) -> int:
        """Listen, and return the port."""
        return await self._server.start(host, port)

    async def stop(self) -> None:
        """Close everything, in the middle of answers too."""
        self._server.close()
        await self._server.drain(1.0)

    def die(self) -> None:
        """Reset all connections, as the end of a process does; new ones are taken again."""
        for connection in self._server.connections.members():
            connection.drop()

    def state(self) -> Mapping[str, object]:
        """Joules so far, who runs, who waits, and the last requests."""
        return {
            "machine": self.machine.name,
            "energy_j": self.occupancy.energy_j,
            "running": len(self.occupancy.running),
            "waiting": self.occupancy.waiting,
            "answered": list(self.answered),
        }

    async def _answer(self, request: Request, reply: Reply) -> None:
        try:
            if request.method == "POST" and request.path in ROUTES:
                await self._generate(asked(ROUTES[request.path], request.body), reply)
            else:
                await reply.whole(200, JSON, self._told(request))
        except Refusal as refusal:
            await reply.whole(refusal.status, refusal.headers, refusal.as_json())

    def _told(self, request: Request) -> bytes:
        """What is not generated; `Refusal` 404 for paths that are not there, or not for this client."""
        match request.method, request.path:
            case "GET", "/health":
                return b'{"status":"ok"}'
            case "GET", "/v1/models":
                model = {"id": DEMO_MODEL, "object": "model", "created": 0, "owned_by": "wattshed demo"}
                return msgspec.json.encode({"object": "list", "data": [model]})
            case "GET", "/demo/state" if is_loopback(request.client):
                return msgspec.json.encode(self.state())
            case "POST", "/demo/fault" if is_loopback(request.client):
                self.fault = wished(request.body)
                return b"{}"
        raise Refusal(404, "not_found", f"there is no {request.method} {request.path} here")

    async def _generate(self, wanted: Asked, reply: Reply) -> None:
        """Answer one request when the machine is free, and remember what it was."""
        if wanted.input_tokens + wanted.output_tokens > self.machine.context_tokens:
            tokens = f"{wanted.input_tokens} + {wanted.output_tokens} tokens"
            problem = f"{tokens} do not fit into a context of {self.machine.context_tokens}"
            raise Refusal(400, "context_length_exceeded", problem, param="messages")
        fault = self._next_fault()
        if fault is not None and fault.refusal is not None:
            raise fault.refusal
        self._serial += 1
        telling = Telling(wanted, self._serial, reply, fault, self.die)
        async with self.occupancy.run(self.machine.pace(wanted.input_tokens, wanted.output_tokens)) as run:
            try:
                await telling.tell(run)
            finally:
                run.stop()
                m, k = wanted.input_tokens, telling.tokens
                self.answered.append(Answered(wanted.route, m, k, run.energy_j, k == wanted.output_tokens))

    def _next_fault(self) -> Fault | None:
        """The fault of this request; one that is counted wears off."""
        fault = self.fault
        if fault is None or fault.requests is None:
            return fault
        self.fault = replace(fault, requests=fault.requests - 1) if fault.requests > 1 else None
        return fault if fault.requests > 0 else None


@dataclass(frozen=True, slots=True, eq=False)
class DemoFleet:
    """Running engines by name, where they are, and where the agents are that tell their joules."""

    servers: Mapping[str, DemoServer]
    urls: Mapping[str, str]
    agents: Mapping[str, str]

    @property
    def energy_j(self) -> float:
        """Joules of all of them since they were started."""
        return sum(server.occupancy.energy_j for server in self.servers.values())

    def settings(self, overrides: Overrides | None = None) -> Settings:
        """Settings of a gateway in front of the fleet: least energy, and the paper's threshold in the shadow.

        `InputError` where the overrides ask for what is not safe.
        """
        settings, flaws = settings_of(demo_document(self.urls, self.agents), Site(Path.cwd(), {}), overrides)
        for flaw in flaws:
            field = ".".join(map(str, flaw.at))
            raise InputError(flaw.problem, path="the demo", field=field, fix=flaw.fix)
        assert settings is not None  # there are flaws, or there are settings
        return replace(settings, systems=tuple(map(self._quickened, settings.systems)))

    def _quickened(self, system: SystemSettings) -> SystemSettings:
        """The system as quick as its engine, so that the seconds that are predicted are those that pass."""
        speed_up = self.servers[system.name].machine.speed_up
        return replace(
            system,
            serves=tuple(
                replace(one, measured=replace(one.measured, predictor=quickened(one.measured.predictor, speed_up)))
                for one in system.serves
            ),
        )


@asynccontextmanager
async def demo_fleet(
    *, speed_up: float = 1.0, host: str = LOOPBACK, slots: int = 1, faults: Mapping[str, Fault] | None = None
) -> AsyncIterator[DemoFleet]:
    """The M1 Pro and the A100 node, each with its agent, listening on free ports until the end of the block."""
    faults = faults or {}
    servers = {
        name: DemoServer(machine, fault=faults.get(name)) for name, machine in demo_machines(speed_up, slots).items()
    }
    agents = {name: Server(demo_agent(name, one.occupancy, monotonic).answering) for name, one in servers.items()}
    try:
        urls = {name: f"http://{host}:{await server.start(host)}" for name, server in servers.items()}
        told = {name: f"http://{LOOPBACK}:{await agent.start(LOOPBACK, 0)}" for name, agent in agents.items()}
        yield DemoFleet(servers, urls, told)
    finally:
        for agent in agents.values():
            agent.close()
            await agent.drain(1.0)
        for server in servers.values():
            await server.stop()


def demo_machines(speed_up: float = 1.0, slots: int = 1) -> dict[str, Machine]:
    """The machines of the fleet by name, with the predictors that ship with the package."""
    fitted = load(DEMO_PREDICTORS)
    return {
        name: Machine(system, fitted.predictor(system, MEASURED_MODEL), context_tokens, slots, speed_up)
        for name, (system, context_tokens) in DEMO_SYSTEMS.items()
    }


def demo_document(urls: Mapping[str, str], agents: Mapping[str, str]) -> dict[str, object]:
    """What stands in gateway.yaml for the fleet at these URLs, with agents at those."""
    return {
        "models": [{"name": DEMO_MODEL, "aliases": ["demo"]}],
        "systems": [
            {
                "name": name,
                "url": urls[name],
                "agent": {"url": agents[name]},
                "context_tokens": context_tokens,
                "serves": [
                    {
                        "model": DEMO_MODEL,
                        "predictor": BUNDLED,
                        "measured_system": system,
                        "measured_model": MEASURED_MODEL,
                    }
                ],
            }
            for name, (system, context_tokens) in DEMO_SYSTEMS.items()
        ],
        "baseline": {"kind": "all_to", "system": "a100"},
        "shadow": {"kind": "threshold", "below": "mac", "above": "a100", "most_tokens": 32},
    }
