"""`wattshed agent` as a process on a node: it serves the joules of real counters, and stops when told."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.metering import Said, runner
from tests.meters.fakes.sysfs import Powercap
from wattshed.cli import agent

TOKEN = "a-token-that-nobody-guesses"
STARTING = "import typer; from wattshed.cli.agent import command; typer.run(command)"


@pytest.fixture
def tree(tmp_path: Path) -> Powercap:
    """Counters as in sysfs, of one package."""
    tree = Powercap(tmp_path / "class" / "powercap", lambda at_s: 10 * at_s)
    tree.add("intel-rapl:0", "package-0")
    return tree


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The agent on a free port, and its address."""
    command = [sys.executable, "-c", STARTING, "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = re.search(r"http://\S+/energy", process.stderr.readline())
            assert found is not None
            yield process, found[0]
        finally:
            process.kill()


def fetch(url: str, token: str | None = None) -> bytes:
    """The body at a URL."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        body: bytes = answer.read()
        return body


def test_joules_between_two_questions_are_the_counters(tree: Powercap, tmp_path: Path) -> None:
    """What the counter grew by between two questions is the answer to the second; SIGTERM ends it with 0."""
    with running("--meters", f"rapl:{tmp_path}") as (process, url):
        first = json.loads(fetch(url))
        tree.advance(0.7)
        second = json.loads(fetch(f"{url}?since={first['at_s']!r}"))
        process.send_signal(signal.SIGTERM)
        exit_code = process.wait(10)

    assert second["parts"] == [
        {"name": "cpu", "boundary": "processor package-0, RAPL", "energy_j": 7.0, "reason": None}
    ]
    assert second["session"] == first["session"]
    assert exit_code == 0


def test_the_token_comes_from_a_file(tree: Powercap, tmp_path: Path) -> None:
    """With a token file the token is asked for, on loopback too; its file may end in a line break."""
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")

    with running("--meters", f"rapl:{tmp_path}", "--token-file", str(path), "--host", "0.0.0.0") as (_, url):
        url = url.replace("0.0.0.0", "127.0.0.1")
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetch(url)
        refused.value.close()
        allowed = json.loads(fetch(url, TOKEN))

    assert refused.value.code == 401
    assert allowed["since_s"] is None


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`wattshed agent ARGUMENTS`, where it refuses to start."""
    return runner(agent.command, capfd)


def test_an_open_address_needs_a_token(run: Callable[..., Said]) -> None:
    """Beyond loopback the agent does not start without a token."""
    said = run("--host", "0.0.0.0")

    assert said.exit_code == 2
    assert "there is no token; pass --token-file" in said.err


def test_a_bad_token_file_is_refused(run: Callable[..., Said], tmp_path: Path) -> None:
    """A file that is not there, is empty or holds no text is named, and what is in it is not shown."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe" * 20)

    missing, empty, binary = (run("--token-file", str(tmp_path / name)) for name in ("none", "empty", "binary"))

    assert (missing.exit_code, empty.exit_code, binary.exit_code) == (3, 2, 2)
    assert "openssl rand -hex 32" in empty.err


def test_a_meter_that_is_not_there_is_missing(run: Callable[..., Said], tmp_path: Path) -> None:
    """A named meter that this node has not is exit code 3, before anything listens."""
    said = run("--meters", f"rapl:{tmp_path}")

    assert said.exit_code == 3
    assert "no meter: rapl" in said.err
