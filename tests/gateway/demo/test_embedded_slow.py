"""`wattshed serve --demo --embedded` as anyone would start it: real answers, assumed joules, nothing left behind."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.engines.llama_cpp import NEEDS, weights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

WATTSHED = (sys.executable, "-m", "wattshed.cli.main", "serve", "--demo", "--embedded", "--port", "0")
WATTS = (20.0, 4.0)
PATIENT_S = 120.0
SKY = [{"role": "user", "content": "Why is the sky blue?"}]


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that runs, what it said, and where it listens."""

    process: "subprocess.Popen[bytes]"
    said: str
    url: str

    def ask(self, path: str, document: object = None) -> bytes:
        """The body of an answer."""
        body = None if document is None else json.dumps(document).encode()
        with urlopen(Request(self.url + path, body, {"content-type": "application/json"}), timeout=PATIENT_S) as answer:
            content: bytes = answer.read()
        return content

    def chat(self, **asked: object) -> dict[str, Any]:
        """A whole answer."""
        document: dict[str, Any] = json.loads(self.ask("/v1/chat/completions", {"messages": SKY, **asked}))
        return document


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The fleet, measured, and the gateway before it; killed at the end without a word."""
    pytest.importorskip("xllamacpp", reason=NEEDS)
    weights()
    log = tmp_path_factory.mktemp("embedded") / "said.log"
    with log.open("wb") as said:
        watts = ["--assumed-core-w", *map(str, WATTS)]
        process = subprocess.Popen([*WATTSHED, *watts], stdout=said, stderr=subprocess.STDOUT)
    url = _address(process, log)
    yield Demo(process, log.read_text(), url)
    process.kill()
    process.wait()


def test_what_is_assumed_is_said_at_once(demo: Demo) -> None:
    """The lines that it starts with name both engines with their watts, and how the shares are kept."""
    assert "whole (20 W assumed)" in demo.said
    assert "quarter (4 W assumed)" in demo.said
    assert "joules are assumed, not measured" in demo.said
    assert "shares of the processor are kept by" in demo.said


def test_answers_are_real(demo: Demo) -> None:
    """SmolLM2 knows a capital, if it is asked as it learned it."""
    asked = {"model": "demo:fast", "prompt": "The capital of France is", "max_tokens": 6, "temperature": 0}

    answer = json.loads(demo.ask("/v1/completions", asked))

    assert "Paris" in answer["choices"][0]["text"]
    assert answer["usage"]["completion_tokens"] == 6


@pytest.mark.parametrize(("suffix", "engine"), [("eco", "quarter (4 W assumed)"), ("fast", "whole (20 W assumed)")])
def test_receipts_call_their_joules_assumed(demo: Demo, suffix: str, engine: str) -> None:
    """Least energy is on the quarter, least time on the whole core, and neither joules pass for measured ones."""
    energy = demo.chat(model=f"demo:{suffix}", max_tokens=8, ignore_eos=True)["energy"]

    assert (energy["system"], energy["attribution_method"]) == (engine, "assumed")
    assert energy["profile"].startswith("assumed-watts")
    assert 0 < energy["energy_joules"] < 100


def test_joules_come_to_what_the_kernel_counts(demo: Demo) -> None:
    """What the agents count of a long answer is what its predictor, measured as the engine started, foresees."""
    before = _joules(demo)

    foreseen_j = demo.chat(model="demo:fast", max_tokens=200, ignore_eos=True)["energy"]["energy_joules"]

    assert _eventually(lambda: _joules(demo) - before > foreseen_j / 2)  # they come seconds after the answer
    assert _joules(demo) - before == pytest.approx(foreseen_j, rel=0.5)


def test_streams_come_in_pieces(demo: Demo) -> None:
    """Tokens arrive one by one, and the receipt before the end mark."""
    asked = {"model": "demo", "messages": SKY, "max_tokens": 8, "stream": True, "ignore_eos": True}

    events = demo.ask("/v1/chat/completions", asked).decode().split("\n\n")

    assert len([event for event in events if '"content":"' in event]) > 4
    assert any(event.startswith(": energy ") and '"assumed"' in event for event in events)
    assert "data: [DONE]" in events


def test_engines_die_with_the_gateway(demo: Demo) -> None:
    """A gateway that is killed has no time to stop them, and they end all the same. The last test of this file."""
    engines = re.findall(r"llama\.cpp at (http://127\.0\.0\.1:\d+)", demo.said)

    demo.process.send_signal(signal.SIGKILL)
    demo.process.wait()

    assert len(engines) == 2
    assert _eventually(lambda: float(not any(map(_listens, engines))))


def _joules(demo: Demo) -> float:
    """Joules attributed on the whole core so far."""
    said = re.search(r'wattshed_attributed_joules_total\{system="whole[^}]*\} (\S+)', demo.ask("/metrics").decode())
    return float(said[1]) if said else 0.0


def _listens(url: str) -> bool:
    try:
        urlopen(f"{url}/health", timeout=1).close()
    except OSError:
        return False
    return True


def _eventually(look: Callable[[], float], within_s: float = 20.0) -> float:
    """The first number above 0 that is seen, or 0."""
    until_s = time.monotonic() + within_s
    while not (seen := float(look())) and time.monotonic() < until_s:
        time.sleep(0.1)
    return seen


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    until_s = time.monotonic() + PATIENT_S
    while time.monotonic() < until_s and process.poll() is None:
        said = re.search(r"wattshed serves at (http://\S+)/v1 ", log.read_text(errors="replace"))
        if said:
            return said[1]
        time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace")[-3000:])
