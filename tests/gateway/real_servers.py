"""A gateway process before vLLM (its build for CPUs) and `transformers serve`, both with SmolLM2-135M.

They live in .venv-vllm, which `make test-slow` sets up. Their predictors are those of the demo: what is looked at here
is what passes over the wire, and not what it costs.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import pytest
import yaml

from tests.gateway.real_fleet import ROOT, WATTSHED
from wattshed.gateway.settings.site import BUNDLED

HOME: Final = ROOT / ".venv-vllm"
MODEL: Final = "smollm2"
SLOTS: Final = 4
CONTEXT_TOKENS: Final = 2048
PATIENT_S: Final = 180.0

OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
TEMPLATE: Final = ROOT / "tests" / "engines" / "chatml-tools.jinja"
VLLM: Final = (
    *("bin/python", "-m", "vllm.entrypoints.openai.api_server", "--model", MODEL, "--served-model-name", MODEL),
    *("--enforce-eager", "--dtype", "float32", "--max-model-len", str(CONTEXT_TOKENS)),
    *("--max-num-seqs", str(SLOTS), "--kv-cache-memory-bytes", "134217728", "--chat-template", str(TEMPLATE)),
    *("--enable-auto-tool-choice", "--tool-call-parser", "hermes"),
)
SERVE: Final = ("bin/transformers", "serve", MODEL, "--device", "cpu", "--dtype", "float32")
"""It calls its model by the path that it was given, so it is started where that is one word."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where clients ask, where each engine listens by the name of its model, its process, and the ledger's file."""

    url: str
    engines: Mapping[str, str]
    pids: Mapping[str, int]
    ledger: Path


@contextmanager
def real_servers(folder: Path) -> Iterator[Servers]:
    """Both engines and a gateway that serves `on-vllm` and `on-transformers`; skipped where they are not installed."""
    if not (HOME / MODEL / "model.safetensors").exists():
        pytest.skip("needs vLLM and transformers serve in .venv-vllm: run make test-slow")
    ports = {"on-vllm": _free_port(), "on-transformers": _free_port()}
    with ExitStack() as stack:
        commands = {"on-vllm": VLLM, "on-transformers": SERVE}
        processes = {
            name: stack.enter_context(_running([*command, "--host", "127.0.0.1", "--port", str(ports[name])], folder))
            for name, command in commands.items()
        }
        engines = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        for name, url in engines.items():
            _wait_for(url, processes[name])
        config = _config(engines, folder)
        port = _free_port()
        gateway = [*WATTSHED, "serve", "--config", str(config), "--port", str(port)]
        _wait_for(f"http://127.0.0.1:{port}", stack.enter_context(_running(gateway, folder, cwd=ROOT)))
        pids = {name: process.pid for name, process in processes.items()}
        yield Servers(f"http://127.0.0.1:{port}/v1", engines, pids, folder / "ledger.db")


def _config(engines: Mapping[str, str], folder: Path) -> Path:
    measured = {"predictor": BUNDLED, "measured_system": "M1-Pro", "measured_model": "Llama-2 (7B)"}
    systems = [
        {
            "name": name,
            "url": url,
            "slots": SLOTS,
            "context_tokens": CONTEXT_TOKENS,
            "serves": [{"model": name, "upstream_model": MODEL, **measured}],
        }
        for name, url in engines.items()
    ]
    document = {
        "models": [{"name": name} for name in engines],
        "systems": systems,
        "ledger": {"file": "ledger.db"},
        "health": {"probe_timeout_s": 30.0},  # an engine that computes on a busy processor may not hear for a while
    }
    config = folder / "gateway.yaml"
    config.write_text(yaml.safe_dump(document))
    return config


@contextmanager
def _running(command: list[str], folder: Path, cwd: Path = HOME) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that is told to stop at the end, and then made to."""
    log = folder / f"{Path(command[0]).name}-{len(list(folder.iterdir()))}.log"
    threads = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    models = folder / "hub"  # without such a folder `transformers serve` has no list of models, and is taken for down
    models.mkdir(exist_ok=True)
    env = os.environ | OFFLINE | threads | {"HF_HUB_CACHE": str(models)}
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        sys.stderr.write(log.read_text(errors="replace")[-3000:])  # pytest shows it where a test fails


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    until_s = time.monotonic() + PATIENT_S
    while time.monotonic() < until_s and process.poll() is None:
        try:
            urlopen(f"{url}/v1/models", timeout=5).close()  # what the gateway looks for
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"{process.args!r} does not answer")


def _free_port() -> int:
    """A port that was free just now; neither server says which one it would choose itself."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
    return port
