"""The embedded demo: real answers of SmolLM2 on llama.cpp, from two engines with unlike shares of this machine.

    whole      one core            quarter      a quarter of a core (or a thread less, where there are no quotas)

Each is a process that dies with the gateway. Seconds and tokens are real, and measured as the engines start. Joules are
not: two processes of one machine have no meter of their own. So they are *assumed*: the processor seconds of an engine,
which the kernel counts, times watts that the caller states for a busy core of its machine. Receipts, predictors and the
meter of the agents all say so, and nothing else of the machine is counted.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

import msgspec

from wattshed.domain.energy import MeterChannel
from wattshed.domain.system import System
from wattshed.errors import EngineError, InputError
from wattshed.gateway.demo.cpu_share import cpu_s
from wattshed.gateway.demo.llama import MODEL, Kept, Running, Wish, weights
from wattshed.gateway.demo.measured import Subject, measured
from wattshed.gateway.demo.meter import DemoMeter
from wattshed.gateway.metering.agent import Agent
from wattshed.gateway.settings.assembly import Overrides
from wattshed.gateway.settings.file import settings_of
from wattshed.gateway.settings.settings import Settings
from wattshed.gateway.settings.site import Site
from wattshed.gateway.wire.server import Server
from wattshed.predictors.file import save

SHARES: Final = {"whole": 1.0, "quarter": 0.25}
CORE_W: Final = (12.0, 3.0)
"""Watts assumed for a busy core of each, unless the caller knows better: a desktop's and a small computer's, roughly.

No source: an assumption, there to be changed.
"""
SLOTS: Final = 2
SLOT_TOKENS: Final = 1024
EXCHANGE_W: Final = 2.0
"""Watts for a second: with them the quarter is asked first, and the whole core when the quarter is busy."""

START_S: Final = 30.0
LOOPBACK: Final = "127.0.0.1"


class AssumedJoules:
    """Processor seconds of a process times assumed watts; a process that has gone uses no more."""

    def __init__(self, pid: int, core_w: float) -> None:
        self._pid, self.core_w = pid, core_w
        self._known_s = 0.0

    @property
    def energy_j(self) -> float:
        """Joules since the process started; any thread may ask."""
        with suppress(ProcessLookupError):
            self._known_s = cpu_s(self._pid)
        return self._known_s * self.core_w

    @property
    def boundary(self) -> str:
        """Whose joules."""
        return f"assumed, not measured: processor seconds of the engine at {self.core_w:g} W for a busy core"


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedEngine:
    """One engine that runs: where it listens, where its agent does, and how its share of a core is kept.

    The `title` has the assumption in it, so that it is seen wherever the system is named: dashboard, metrics, ledger.
    """

    title: str
    url: str
    agent: str
    kept: Kept
    joules: AssumedJoules


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedFleet:
    """Engines by name, and the folder with their predictors."""

    engines: Mapping[str, EmbeddedEngine]
    folder: Path

    def settings(self, overrides: Overrides | None = None) -> Settings:
        """Settings of a gateway in front of them; `InputError` where the overrides ask for what is not safe."""
        settings, flaws = settings_of(self._document(), Site(self.folder, {}), overrides)
        for flaw in flaws:
            field = ".".join(map(str, flaw.at))
            raise InputError(flaw.problem, path="the demo", field=field, fix=flaw.fix)
        assert settings is not None  # there are flaws, or there are settings
        return settings

    def _document(self) -> dict[str, object]:
        return {
            "models": [{"name": MODEL, "aliases": ["demo"]}],
            "systems": [
                {
                    "name": engine.title,
                    "url": engine.url,
                    "agent": {"url": engine.agent},
                    "slots": SLOTS,
                    "context_tokens": SLOT_TOKENS,
                    "prefix_cache": True,
                    "serves": [{"model": MODEL, "predictor": _file(name), "joules": "assumed"}],
                }
                for name, engine in self.engines.items()
            ],
            "objective": {"exchange_w": EXCHANGE_W},
            "baseline": {"kind": "all_to", "system": self.engines["whole"].title},
        }


@asynccontextmanager
async def embedded_fleet(core_w: tuple[float, float] = CORE_W) -> AsyncIterator[EmbeddedFleet]:
    """Both engines, measured, until the end of the block; `core_w` are the watts of a busy core of each.

    `MissingError` where the packages are not installed, `EngineError` where an engine does not start.
    """
    weights()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wattshed-demo-")))
        engines = {
            name: await _engine(stack, name, assumed_w, folder) for name, assumed_w in zip(SHARES, core_w, strict=True)
        }
        await asyncio.gather(*[_measure(name, engine, folder) for name, engine in engines.items()])
        yield EmbeddedFleet(engines, folder)


async def _engine(stack: AsyncExitStack, name: str, core_w: float, folder: Path) -> EmbeddedEngine:
    """An engine with its agent, until the stack unwinds."""
    process, running = await stack.enter_async_context(_process(name, folder))
    joules = AssumedJoules(process.pid, core_w)
    meter = DemoMeter(joules, monotonic, channels=(MeterChannel("assumed", "cpu", joules.boundary),))
    agent = Server(Agent(meter, session=f"demo-{name}-{process.pid}").answering)
    stack.callback(agent.close)
    told = f"http://{LOOPBACK}:{await agent.start(LOOPBACK, 0)}"
    return EmbeddedEngine(f"{name} ({core_w:g} W assumed)", running.url, told, running.kept, joules)


@asynccontextmanager
async def _process(name: str, folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Running]]:
    """A process with an engine; it stops when its stdin is closed, at the latest when this process ends."""
    wish = msgspec.json.encode(Wish(SHARES[name], SLOTS, SLOT_TOKENS)).decode()
    log = folder / f"{name}.log"
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wattshed.gateway.demo.llama", wish),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for the gateway: engines end after its last stream
        )
    try:
        yield process, await _started(name, process, log)
    finally:
        await _ended(process)


async def _started(name: str, process: asyncio.subprocess.Process, log: Path) -> Running:
    assert process.stdout is not None  # it is a pipe
    try:
        async with asyncio.timeout(START_S):
            return msgspec.json.decode(await process.stdout.readline(), type=Running)
    except (TimeoutError, msgspec.MsgspecError) as error:
        last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
        raise EngineError("engine_gone", f"engine {name} did not start: {last or 'it says nothing'}") from error


async def _ended(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None  # it is a pipe
    process.stdin.close()
    try:
        async with asyncio.timeout(5.0):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _measure(name: str, engine: EmbeddedEngine, folder: Path) -> None:
    """Write the engine's predictor into the folder."""
    system = System(name, MODEL, "share of a core", engine="llama.cpp", precision="Q4_1", kv_cache=True)
    subject = Subject(system, engine.url, lambda: engine.joules.energy_j, engine.joules.boundary)
    save(await measured(subject), folder / _file(name))


def _file(name: str) -> str:
    """The predictor's file, which receipts name as their profile."""
    return f"assumed-watts-{name}.json"
