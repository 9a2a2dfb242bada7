"""`wattshed serve` checks and shows a gateway's settings, and starts what it was told to."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from wattshed.cli import serve
from wattshed.cli.frame import guarded
from wattshed.gateway.settings.settings import Settings
from wattshed.gateway.wire.client import Upstream

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gateway.yaml"
BLAS = "OPENBLAS_NUM_THREADS"
START = """
import asyncio
from wattshed.gateway.demo.demo import demo_fleet

async def start() -> None:
    async with demo_fleet() as fleet:
        fleet.settings()

asyncio.run(start())
"""


def run(*arguments: object) -> int:
    """The exit code of `wattshed serve ARGUMENTS`."""
    app = typer.Typer()
    app.command(epilog=serve.EXAMPLES)(serve.command)
    return guarded(lambda: app([str(argument) for argument in arguments], standalone_mode=False))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What the gateway was started with; in its place stands one that asks every system for its health, and ends.

    The systems of a file, which can be read again, are not there to be asked.
    """
    started: list[Settings] = []

    async def serve_once(
        settings: Settings,
        *,
        ready: Callable[[int], None] | None = None,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        started.append(settings)
        for system in settings.systems if reread is None else ():
            upstream = Upstream(system.url)
            answer = await upstream.send("GET", "/health", ())
            assert answer.status == 200
            answer.close()
            upstream.close()

    app = ModuleType("wattshed.gateway.app")
    app.serve = serve_once  # type: ignore[attr-defined]  # a module made by hand
    monkeypatch.setitem(sys.modules, "wattshed.gateway.app", app)
    return started


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """A file with two defects."""
    path = tmp_path / "gateway.yaml"
    path.write_text(EXAMPLE.read_text().replace("port: 8080", "prot: 8080").replace("kind: argmin", "kind: magic"))
    return path


@pytest.mark.parametrize(("said", "used"), [(None, "1"), ("4", "4")])
def test_numpy_starts_no_threads_of_its_own(monkeypatch: pytest.MonkeyPatch, said: str | None, used: str) -> None:
    """The gateway's matrices are small; whoever says otherwise in the environment is heard."""
    monkeypatch.setenv(BLAS, said or "")
    if said is None:
        monkeypatch.delenv(BLAS)

    assert run("--config", EXAMPLE, "--demo") == 2  # which cannot be meant, and is seen after that

    assert os.environ[BLAS] == used


def test_a_sound_file_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    """A file without defects is one line with models, systems and policy, and exit code 0."""
    assert run("--config", EXAMPLE, "--validate") == 0

    assert capsys.readouterr().out == f"{EXAMPLE}: llama-2-7b on mac, a100, by least cost at lambda 1\n"


def test_every_defect_is_listed(spoilt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A check of a wrong file lists every defect with its line, and exits with 1."""
    assert run("--config", spoilt, "--validate") == 1

    captured = capsys.readouterr()
    assert [line.partition(",")[0] for line in captured.out.splitlines()] == [f"{spoilt}:4", f"{spoilt}:37"]
    assert "did you mean 'port'?" in captured.out
    assert captured.err == f"wattshed: {spoilt}: 2 defects\n"


def test_defects_as_json(spoilt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the check is one document, for sound and for wrong files."""
    assert run("--config", spoilt, "--validate", "--json") == 1
    wrong: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert run("--config", EXAMPLE, "--validate", "--json") == 0
    sound: dict[str, Any] = json.loads(capsys.readouterr().out)

    assert (wrong["valid"], [one["field"] for one in wrong["defects"]]) == (False, ["listen.prot", "policy.kind"])
    assert (sound["valid"], sound["defects"], sound["systems"]) == (True, [], ["mac", "a100"])


def test_what_a_profile_cannot_know_is_said(
    tmp_path: Path, served: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    """More slots than the predictor has seen requests at once are no defect: a check says so, and a start."""
    path = tmp_path / "gateway.yaml"
    path.write_text(EXAMPLE.read_text().replace("slots: 1", "slots: 4"))
    doubt = "a100 has 4 slots, and its predictor of llama-2-7b has seen 1 at once"

    assert run("--config", path, "--validate") == 0
    assert doubt in capsys.readouterr().out
    assert run("--config", path, "--validate", "--json") == 0
    assert [one.startswith(doubt) for one in json.loads(capsys.readouterr().out)["doubts"]] == [True]
    assert run("--config", path) == 0
    assert (doubt in capsys.readouterr().err, len(served)) == (True, 1)


def test_a_wrong_file_does_not_start(spoilt: Path, served: list[Settings], capsys: pytest.CaptureFixture[str]) -> None:
    """Without --validate the same defects go to stderr, nothing starts, and the exit code is that of bad input."""
    assert run("--config", spoilt) == 2

    captured = capsys.readouterr()
    assert (captured.out, len(captured.err.splitlines()), served) == ("", 2, [])


def test_settings_are_shown_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every setting is shown, defaults and flags included; of a secret only where it came from."""
    monkeypatch.setenv("A100_KEY", "sk-hidden")
    path = tmp_path / "gateway.yaml"
    path.write_text(EXAMPLE.read_text().replace("# api_key_env", "api_key_env"))

    assert run("--config", path, "--show-settings", "--port", 0) == 0
    plain = capsys.readouterr().out
    assert run("--config", path, "--show-settings", "--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)

    assert "sk-hidden" not in plain + json.dumps(document)
    assert "port: 0\n" in plain
    assert document["systems"][1]["api_key"] == "(secret, from environment variable A100_KEY)"
    assert document["health"]["failures_in_row"] == 3


MISUSED = {
    "neither": ((), "give either --config FILE or --demo"),
    "both": (("--demo", "--config", EXAMPLE), "give either --config FILE or --demo"),
    "speed of real machines": (("--config", EXAMPLE, "--speed-up", "5"), "--speed-up is for --demo"),
    "real engines of a file": (("--config", EXAMPLE, "--embedded"), "--embedded is for --demo"),
    "speed of embedded engines": (("--demo", "--embedded", "--speed-up", "5"), "--speed-up is for the synthetic"),
    "watts of a synthetic fleet": (("--demo", "--assumed-core-w", "12", "3"), "--assumed-core-w is for --embedded"),
    "no watts": (("--demo", "--embedded", "--assumed-core-w", "12", "0"), "two numbers of watts above 0"),
}


@pytest.mark.parametrize(("arguments", "said"), MISUSED.values(), ids=MISUSED)
def test_misuse_is_refused(arguments: tuple[object, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Flags that contradict one another are a usage error."""
    assert run(*arguments) == 2

    assert said in capsys.readouterr().err


def test_a_missing_file_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """No such file is exit code 3, with the way to a gateway that needs none."""
    assert run("--config", "none.yaml") == 3

    assert "none.yaml: no such file" in capsys.readouterr().err


def test_strangers_are_kept_out_by_flag_too(capsys: pytest.CaptureFixture[str]) -> None:
    """--host cannot open an unprotected gateway to the world, a demo's neither."""
    assert run("--config", EXAMPLE, "--host", "0.0.0.0") == 2
    assert run("--demo", "--host", "0.0.0.0") == 2

    assert capsys.readouterr().err.count("can be reached from other machines") == 2


def test_the_gateway_starts_with_its_settings(served: list[Settings], tmp_path: Path) -> None:
    """The demo's engines answer while its gateway runs, which listens where the flags say."""
    assert run("--demo", "--speed-up", "100", "--port", "0") == 0

    (settings,) = served
    assert settings.listen.port == 0
    assert [system.name for system in settings.systems] == ["mac", "a100"]


def test_the_demo_shows_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """What the demo would serve can be looked at like any file's settings."""
    assert run("--demo", "--show-settings", "--json") == 0

    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["systems"][0]["serves"][0]["measured"]["system"] == "M1-Pro"
    assert document["baseline"] == "all to a100"


def test_starting_takes_under_a_second() -> None:
    """Interpreter, engines, predictors and settings take less than 1 s of CPU, the best of three runs."""
    taken_s = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", START], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    assert min(taken_s) < 1
