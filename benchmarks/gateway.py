"""What the gateway costs with everything switched on, beside other gateways that are there, in one run.

Ours runs as `wattshed serve --config`, with keys, receipts, a ledger in SQLite, metrics and a shadow policy, before 2
and before 10 systems; the others as they come, without any of that. All stand before the same upstream, which answers
at once, and take turns, round by round, so that a busy machine is busy for all: read the ratios.

    CPU ms/request, /stream   of the gateway's process and its children, threads included; a stream has 64 chunks
    added p50, p99            at 200 requests/s, open loop, counted from when a request was due, less the upstream's own
    start                     from the command until it listens
    place us                  mean time that placing took, from ours own metrics

Peers live in environments of their own under `~/.cache/wattshed-bench` (or `--cache`), made when they are missing; one
that cannot be installed or started is named as such. LiteLLM takes minutes to install and is measured with `--litellm`.
"""

import argparse
import asyncio
import gc
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from compileall import compile_dir
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import psutil
import yaml
from gateway_wire import JSON, ask, cpu_s, free_port, role

import wattshed
from wattshed.gateway.settings.keys_file import add_key
from wattshed.gateway.wire.client import Upstream
from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.http import Headers, loop_factory

ROUNDS, REQUESTS, STREAMS, AT_ONCE = 3, 500, 64, 16
RATE_HZ, PACED = 200.0, 400
SETTLE_S: Final = 0.5
"""After a turn, so that what a gateway put off (rows for its ledger) is counted as its own."""

MOST_START_S, MOST_WARM_S = 90.0, 20.0
HERE, CACHE = Path(__file__).parent, Path.home() / ".cache" / "wattshed-bench"
MEASURED = ("M1-Pro", "Swing AMD+A100")


class Peer(NamedTuple):
    """Another gateway: what pip installs, and the arguments of its command, with places for our ports."""

    name: str
    requirement: str
    command: str


_ROUTER = (
    "--host 127.0.0.1 --port {port} --worker-urls {engine} --policy round_robin --log-level error "
    "--prometheus-port {spare}"
)
PEERS = (
    Peer("vllm-router", "vllm-router==0.1.17", "vllm-router " + _ROUTER),
    Peer("smg", "smg", "smg launch " + _ROUTER),
)
LITELLM = Peer("litellm", "litellm[proxy]==1.81.13", "litellm --config {folder}/litellm.yaml --port {port}")


@dataclass
class Lane:
    """One way to the upstream, and what was measured on it, a value a round."""

    name: str
    url: str
    process: psutil.Process
    start_s: float
    headers: Headers
    request_cpu_s: list[float] = field(default_factory=list)
    stream_cpu_s: list[float] = field(default_factory=list)
    latency_s: list[float] = field(default_factory=list)

    async def warm(self) -> str | None:
        """Wait until it answers, and have it make connections and fill memories; what is wrong where it does not."""
        client, problem = Upstream(self.url), None
        until_s = time.perf_counter() + MOST_WARM_S
        while time.perf_counter() < until_s:
            try:
                await ask(client, b"false", self.headers)
                await self._cpu_s(client, b"false", REQUESTS // 2)
                await self._cpu_s(client, b"true", AT_ONCE)
            except (AssertionError, UpstreamError) as error:
                problem = str(error)
                await asyncio.sleep(0.2)
            else:
                return None
        return problem

    async def measure(self) -> None:
        """One round."""
        client = Upstream(self.url)
        self.request_cpu_s.append(await self._cpu_s(client, b"false", REQUESTS))
        self.stream_cpu_s.append(await self._cpu_s(client, b"true", STREAMS))
        self.latency_s += await self._paced(client)
        client.close()

    async def _cpu_s(self, client: Upstream, streamed: bytes, count: int) -> float:
        """CPU seconds for one exchange, of many that run `AT_ONCE`."""
        started_s, left = tree(self.process, cpu_s), iter(range(count))

        async def work() -> None:
            for _ in left:
                await ask(client, streamed, self.headers)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        await asyncio.sleep(SETTLE_S)
        return (tree(self.process, cpu_s) - started_s) / count

    async def _paced(self, client: Upstream) -> list[float]:
        """Seconds from when each request was due to the end of its answer."""
        began_s = time.perf_counter() + 0.05

        async def one(due_s: float) -> float:
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            sent_s = time.perf_counter()
            await ask(client, b"false", self.headers)
            return time.perf_counter() - sent_s

        return list(await asyncio.gather(*(one(began_s + at / RATE_HZ) for at in range(PACED))))

    async def placing_s(self) -> float | None:
        """Mean seconds that placing took, where its metrics say so."""
        client = Upstream(self.url)
        answer = await client.send("GET", "/metrics", self.headers)
        page = (await answer.whole(1 << 24)).decode()
        client.close()
        said = dict(line.rsplit(" ", 1) for line in page.splitlines() if line.startswith("wattshed_"))
        count = float(said.get("wattshed_decision_seconds_count", 0))
        rows = sum(float(value) for name, value in said.items() if name.startswith("wattshed_requests_total"))
        if count != rows:  # an answer had gone out by then, so nobody else would notice
            raise RuntimeError(f"{self.name}: {count:.0f} requests were placed, and {rows:.0f} have a row; see its log")
        return float(said["wattshed_decision_seconds_sum"]) / count if count else None

    def row(self, direct: "Lane", placing_s: float | None) -> str:
        """A line of the table."""
        p50_s, p99_s = (quantile(self.latency_s, p) - quantile(direct.latency_s, p) for p in (0.5, 0.99))
        figures = (
            f"{statistics.median(self.request_cpu_s) * 1e3:.3f}",
            f"{statistics.median(self.stream_cpu_s) * 1e3:.2f}",
            f"{p50_s * 1e3:.2f}",
            f"{p99_s * 1e3:.2f}",
            f"{tree(self.process, rss_bytes) / 1e6:.0f}",
            f"{self.start_s:.2f}",
            "" if placing_s is None else f"{placing_s * 1e6:.0f}",
        )
        return f"{self.name:14}" + "".join(f"{figure:>10}" for figure in figures)


def quantile(values: list[float], p: float) -> float:
    """The value that a fraction `p` of them does not exceed."""
    return sorted(values)[min(int(p * len(values)), len(values) - 1)]


def rss_bytes(process: psutil.Process) -> float:
    """Memory that it holds."""
    return float(process.memory_info().rss)


def tree(process: psutil.Process, asked: Callable[[psutil.Process], float]) -> float:
    """The sum over a process and its children."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess, OSError):  # the latter from the clock of one that has ended
            total += asked(one)
    return total


def documents(folder: Path, engine: str) -> None:
    """Write what gateways are started from: ours with `systems` of them, and LiteLLM's."""
    for systems in (2, 10):
        names = [f"system-{at}" for at in range(systems)]
        document = {
            "models": [{"name": "m"}],
            "systems": [
                {
                    "name": name,
                    "url": engine,
                    "slots": 64,
                    "context_tokens": 4096,
                    "serves": [
                        {
                            "model": "m",
                            "predictor": "bundled:demo",
                            "measured_system": MEASURED[at % 2],
                            "measured_model": "Llama-2 (7B)",
                        }
                    ],
                }
                for at, name in enumerate(names)
            ],
            "baseline": {"kind": "all_to", "system": names[1]},
            "shadow": {"kind": "threshold", "below": names[0], "above": names[1], "most_tokens": 32},
            "limits": {"most_queued": 1024},
            "keys": "keys.yaml",
            "ledger": {"file": f"ledger-{systems}.sqlite"},
        }
        (folder / f"ours-{systems}.yaml").write_text(yaml.safe_dump(document))
    model = {"model": "openai/m", "api_base": f"{engine}/v1", "api_key": "none"}
    (folder / "litellm.yaml").write_text(yaml.safe_dump({"model_list": [{"model_name": "m", "litellm_params": model}]}))


def installed(peer: Peer, cache: Path) -> Path | None:
    """The environment of a peer; `None` where pip cannot make it."""
    found = shutil.which(peer.name)
    if found is not None:
        return Path(found).parent
    folder = cache / peer.name
    if not (folder / "bin" / peer.name).exists():
        print(f"installing {peer.requirement} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", peer.requirement]
        subprocess.run(pip, check=False)
    return folder / "bin" if (folder / "bin" / peer.name).exists() else None


@contextmanager
def running(name: str, command: list[str], port: int, headers: Headers) -> Iterator[Lane]:
    """A process that has come to listen on its port; TimeoutError where it does not."""
    began_s = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            start_s = asyncio.run(listens(port, process)) - began_s
            yield Lane(name, f"http://127.0.0.1:{port}", psutil.Process(process.pid), start_s, headers)
        finally:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()


async def listens(port: int, process: "subprocess.Popen[bytes]") -> float:
    """When somebody took a connection on the port."""
    until_s = time.perf_counter() + MOST_START_S
    while time.perf_counter() < until_s and process.poll() is None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return time.perf_counter()
        await asyncio.sleep(0.01)
    raise TimeoutError(f"nobody listens on port {port}")


def commands(
    folder: Path, cache: Path, engine_port: int, peers: tuple[Peer, ...]
) -> Iterator[tuple[str, int, list[str]]]:
    """Every gateway: name, port and command."""
    ours = str(Path(sys.executable).with_name("wattshed"))
    for systems in (2, 10):
        config, port = str(folder / f"ours-{systems}.yaml"), free_port()
        yield f"ours, {systems}", port, [ours, "serve", "--config", config, "--port", str(port)]
    yield "bare aiohttp", (port := free_port()), aiohttp_proxy(port, engine_port)
    for peer in peers:
        places, port = installed(peer, cache), free_port()
        if places is None:
            print(f"{peer.name}: not measured, pip does not install {peer.requirement}")
            continue
        engine = f"http://127.0.0.1:{engine_port}"
        words = peer.command.format(port=port, engine=engine, spare=free_port(), folder=folder).split()
        yield peer.name, port, [str(places / words[0]), *words[1:]]


def aiohttp_proxy(port: int, engine_port: int) -> list[str]:
    """The bare proxy of the other script."""
    return role("aiohttp", port, engine_port)


async def measured(lanes: list[Lane]) -> list[str]:
    """All rounds, and the lines of the table."""
    problems = {lane.name: await lane.warm() for lane in lanes}
    for name, problem in problems.items():
        if problem is not None:
            print(f"{name}: not measured, {problem[:200]}")
    lanes = [lane for lane in lanes if problems[lane.name] is None]
    for _ in range(ROUNDS):
        for lane in lanes:
            await lane.measure()
    return [lane.row(lanes[0], await lane.placing_s() if lane.name.startswith("ours") else None) for lane in lanes]


def main() -> None:
    """Start everything, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--litellm", action="store_true", help="measure LiteLLM too")
    chosen = parser.parse_args()
    compile_dir(Path(wattshed.__file__).parent, quiet=1)  # as pip does: no start of a gateway compiles it again
    engine_port = free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        documents(folder, f"http://127.0.0.1:{engine_port}")
        headers = (*JSON, (b"authorization", b"Bearer " + add_key(folder / "keys.yaml", "bench").encode()))
        start = partial(running, headers=headers)
        lanes = [stack.enter_context(start("upstream", role("upstream", engine_port), engine_port))]
        for name, port, command in commands(folder, chosen.cache, engine_port, PEERS + (LITELLM,) * chosen.litellm):
            try:
                lanes.append(stack.enter_context(start(name, command, port)))
            except TimeoutError as error:
                print(f"{name}: not measured, {error}")
        gc.disable()  # of the one who asks: its pauses would count as those of whoever is asked
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            lines = runner.run(measured(lanes))
        for head in (("CPU ms/", "CPU ms/", "added", "added", "RSS", "start", "place"),
                     ("request", "64-stream", "p50 ms", "p99 ms", "MB", "s", "us")):  # fmt: skip
            print(" " * 14 + "".join(f"{word:>10}" for word in head))
        print("\n".join(lines))


if __name__ == "__main__":
    main()
