"""A gateway process before real engines: two llama.cpp servers with unlike shares of a processor, profiled and fitted.

    big      a core at 12 W          little   a quarter of a core at 3 W          caller   tool_caller.py

Joules are the engines' CPU seconds, as the kernel counts them, times these watts: a stated model, since few machines
that run tests have meters. From there on all is real: `wattshed agent` scrapes them, `wattshed profile` measures with
them, `wattshed fit` makes the predictors, and `wattshed serve` stands before it all.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

import yaml

from tests.engines.llama_cpp import MODEL, Llama
from tests.gateway.tool_caller import ToolCaller, tool_caller
from wattshed.gateway.demo.cpu_share import cpu_s, quota_groups, within
from wattshed.gateway.settings.keys_file import add_key

ROOT: Final = Path(__file__).resolve().parents[2]
WATTSHED: Final = (sys.executable, "-m", "wattshed.cli.main")
WATTS: Final = {"big": 12.0, "little": 3.0}
SHARES: Final = {"big": 1.0, "little": 0.25}
SLOTS: Final = 2
SLOT_TOKENS: Final = 512
PATIENT_S: Final = 60.0

DESIGN: Final = ("--design", "grid", "--input-tokens", "16,32,64", "--output-tokens", "4,16")
QUICK: Final = ("--stopping", "fixed", "--trials", "2", "--window-s", "0.2", "--idle-s", "0.2", "--settle-s", "0")


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where clients ask, with whose keys; the ledger's file; and the engines behind it."""

    url: str
    engines: Mapping[str, str]
    keys: Mapping[str, str]
    ledger: Path
    caller: ToolCaller


@contextmanager
def real_fleet(folder: Path) -> Iterator[Fleet]:
    """All of it, up and running; the two real engines are profiled side by side."""
    with ExitStack() as stack:
        engines = {name: stack.enter_context(engine(name, folder)) for name in WATTS}
        page = stack.enter_context(_joules_page({name: pid for name, (_, pid) in engines.items()}))
        _profiled({name: url for name, (url, _) in engines.items()}, page, folder)
        agents = {name: stack.enter_context(_agent(name, page, folder)) for name in WATTS}
        caller = stack.enter_context(tool_caller())
        keys = {name: add_key(folder / "keys.yaml", name) for name in ("alice", "bob")}
        with (folder / "keys.yaml").open("a") as file:
            file.write("  requests_per_minute: 1\n")  # bob's: he is the last
        urls = {name: url for name, (url, _) in engines.items()}
        config = _config(urls, agents, caller.url, folder)
        served = _spoken([*WATTSHED, "serve", "--config", str(config), "--port", "0"], folder / "gateway.log")
        url, _ = stack.enter_context(served)
        yield Fleet(f"{url}/v1", urls, keys, folder / "ledger.db", caller)


@contextmanager
def engine(name: str, folder: Path) -> Iterator[tuple[str, int]]:
    """URL and process of llama.cpp's server within its share of a processor."""
    quotas = quota_groups()
    threads = 1 if quotas or SHARES[name] < 1 else 2  # without quotas, the number of threads tells them apart
    llama = Llama(SLOTS, SLOT_TOKENS, threads)
    command = [sys.executable, "-m", "tests.engines.llama_cpp", *map(str, (llama.slots, llama.slot_tokens, threads))]
    with ExitStack() as stack:
        url, pid = stack.enter_context(_spoken(command, folder / f"{name}.log"))
        if quotas:
            stack.enter_context(within(quotas, SHARES[name], pid))
        yield url, pid


@contextmanager
def _joules_page(pids: Mapping[str, int]) -> Iterator[str]:
    """The URL of a Prometheus page with the joules of each process."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            series = [
                f'node_joules_total{{node="{name}"}} {WATTS[name] * cpu_s(pid):.9f}' for name, pid in pids.items()
            ]
            said = "\n".join(["# TYPE node_joules_total counter", *series, ""]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/metrics"
        finally:
            server.shutdown()
            thread.join()


def _meter(name: str, page: str) -> str:
    return f"scrape:{page}#metric=node_joules_total&unit=J&part=cpu&channel={name}&boundary=CPU+seconds&node={name}"


def _profiled(urls: Mapping[str, str], page: str, folder: Path) -> None:
    """Profile all at once, each in a process of its own, and fit each.

    An engine that idles takes no processor seconds, so its idle power is unknown: the checklist rightly says so, and
    the command ends with a failure, but a bundle to fit is there.
    """
    running = {
        name: subprocess.Popen(
            [*_profile(name, url), "--meters", _meter(name, page), "--out", str(folder / name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HOME": str(folder)},
        )
        for name, url in urls.items()
    }
    for name, process in running.items():
        said, _ = process.communicate()
        assert (folder / name / "validation.json").exists(), said.decode()[-3000:]
        fit = [*WATTSHED, "fit", str(folder / name), "--channel", "cpu", "--out", str(folder / f"{name}.json")]
        done = subprocess.run(fit, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[-3000:]


def _profile(name: str, url: str) -> tuple[str, ...]:
    machine = ("--url", url, "--model", MODEL, "--name", name, "--hardware", "CPU")
    return (*WATTSHED, "profile", "--engine", "openai", *machine, *DESIGN, *QUICK)


@contextmanager
def _agent(name: str, page: str, folder: Path) -> Iterator[str]:
    """The URL of a node's agent."""
    command = [*WATTSHED, "agent", "--meters", _meter(name, page), "--port", "0"]
    with _spoken(command, folder / f"{name}-agent.log") as (url, _):
        yield url


def _config(urls: Mapping[str, str], agents: Mapping[str, str], caller: str, folder: Path) -> Path:
    """The gateway's file."""
    systems = [
        _system(name, url, "smollm2", name) | {"agent": {"url": agents[name]}, "prefix_cache": True}
        for name, url in urls.items()
    ]
    document = {
        "models": [{"name": "smollm2", "aliases": ["small"]}, {"name": "tool-caller"}],
        "systems": [*systems, _system("caller", caller, "tool-caller", "big")],
        "baseline": {"kind": "round_robin"},
        "keys": "keys.yaml",
        "ledger": {"file": "ledger.db"},
    }
    config = folder / "gateway.yaml"
    config.write_text(yaml.safe_dump(document))
    return config


def _system(name: str, url: str, model: str, measured: str) -> dict[str, object]:
    serves = {"model": model, "upstream_model": MODEL, "predictor": f"{measured}.json"}
    return {"name": name, "url": url, "slots": SLOTS, "context_tokens": SLOT_TOKENS, "serves": [serves]}


@contextmanager
def _spoken(command: list[str], log: Path) -> Iterator[tuple[str, int]]:
    """The address that a program says it listens at, and its process; it is told to stop, and then made to."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield _address(process, log), process.pid
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """The first address in what a program says."""
    until_s = time.monotonic() + PATIENT_S
    while time.monotonic() < until_s and process.poll() is None:
        said = re.search(r"http://127\.0\.0\.1:\d+(?=\D)", log.read_text(errors="replace"))
        if said:
            return said[0]
        time.sleep(0.05)
    raise AssertionError(f"{log.name}: {log.read_text(errors='replace')[-3000:]}")
