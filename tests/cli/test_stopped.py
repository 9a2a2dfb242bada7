"""Ctrl-C: one line that says what was stopped and what is kept, and the shell's exit code for it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from wattshed.cli.frame import told_if_stopped
from wattshed.cli.main import LONG
from wattshed.files import write_whole

FLEET = Path(__file__).parents[2] / "examples" / "fleet.yaml"
SYNTHETIC = ("profile", "--engine", "synthetic", "--design", "grid", "--out", "out")
MANY = ",".join(str(tokens) for tokens in range(8, 168, 8))

PIPED = {
    "plan": ("--fleet", str(FLEET), "--workload", "pipe", "--out", "out"),
    "simulate": ("--fleet", str(FLEET), "--workload", "pipe", "--out", "out"),
    "audit": ("--workload", "pipe", "--out", "out"),
    "fit": ("profile", "--out", "out"),
    "report": ("profile", "--out", "out"),
    "reproduce": ("--profile", "profile", "--out", "out"),
    "publish": ("profile", "--name", "n", "--title", "t", "--licence", "l", "--out", "out"),
}
"""What each verb is given to read from a pipe, where it waits for us."""

BY_ITSELF = ("demo", "profile")
"""Verbs that are stopped once they have said something."""


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipe that is a workload, and the manifest of a profile as well, in the folder where the verbs run."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("profile").mkdir()
    Path("profile/manifest.json").symlink_to(Path("pipe").resolve())
    return Path("pipe")


def test_every_long_verb_is_stopped_in_some_test() -> None:
    """The verbs below are those that work for a while and then write."""
    assert set(LONG) == {*PIPED, *BY_ITSELF}


@pytest.mark.parametrize("verb", ["plan", *(pytest.param(verb, marks=pytest.mark.slow) for verb in [*PIPED][1:])])
def test_who_stops_a_verb_is_told_that_nothing_came_of_it(verb: str, pipe: Path) -> None:
    """A verb that is stopped as it reads has written nothing, says so in one line, and exits with 130."""
    with _started(verb, *PIPED[verb]) as running:
        with pipe.open("w"):  # opens once the other side reads
            running.send_signal(signal.SIGINT)
        out, said = running.communicate(timeout=30)

    assert (running.returncode, out) == (130, "")
    assert said == f"wattshed: {verb} was stopped before its end; nothing was written\n"
    assert not Path("out").exists()


def test_a_stopped_campaign_says_how_it_goes_on(pipe: Path) -> None:
    """`profile` keeps its journal: it names the file and the flag, and that flag goes on from there."""
    with _started(*SYNTHETIC, "--input-tokens", MANY, "--output-tokens", MANY) as running:
        assert running.stderr is not None
        first = running.stderr.readline()  # of 451 visits
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=30)[1]

    assert first.startswith("1/451 reference")
    assert said.splitlines()[-1] == (
        "wattshed: profile was stopped before its end; "
        "what was measured is in out/trials.jsonl: go on with the same flags and --resume"
    )
    assert running.returncode == 130
    assert not Path("out/manifest.json").exists()


def test_a_campaign_that_measured_nothing_says_so(pipe: Path) -> None:
    """Before there is a journal nothing is kept, and nothing is said of going on."""
    flags = ("--engine", "synthetic", "--design", "pipe", "--out", "out")

    with _started("profile", *flags) as running:
        with pipe.open("w"):
            running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=30)[1]

    assert said == "wattshed: profile was stopped before its end; nothing was written\n"
    assert running.returncode == 130


@pytest.mark.slow
def test_a_demo_is_stopped_amid_its_gateway(pipe: Path) -> None:
    """An event loop that is running is wound up, and says nothing of its own."""
    with _started("demo", "--out", "out") as running:
        assert running.stderr is not None
        serving = running.stderr.readline()
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=30)[1]

    assert serving.startswith("4 of 5  serving")
    assert (running.returncode, said) == (130, "wattshed: demo was stopped before its end; nothing was written\n")


Writing = Callable[[Path], Sequence[Path]]
FILES: dict[str, tuple[Writing, str]] = {
    "two": (
        lambda out: [write_whole(out / name, b"new") for name in ("plan.json", "a.html")],
        "out/a.html, out/plan.json",
    ),
    "again": (lambda out: [write_whole(out / "old.csv", b"old")], "out/old.csv"),
    "alone": (lambda out: [write_whole(out.with_name("predictor.json"), b"new")], ""),
}


@pytest.mark.parametrize(("write", "names"), FILES.values(), ids=FILES)
def test_what_was_written_by_then_is_named(
    write: Writing, names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that are new or other in `--out` are named, one that was written once more too; what lay there is not."""
    monkeypatch.chdir(tmp_path)
    write_whole(Path("out/old.csv"), b"old")

    def command(out: Path) -> None:
        write(out)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(typer.Exit) as left:
        told_if_stopped("plan", command)(out=Path("out"))

    kept = f"written by then: {names}" if names else "nothing was written"
    assert left.value.exit_code == 130
    assert capsys.readouterr().err == f"wattshed: plan was stopped before its end; {kept}\n"


def test_one_file_is_named_like_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where `--out` is a file it is named once it is there."""
    monkeypatch.chdir(tmp_path)

    def command(out: Path) -> None:
        write_whole(out, b"{}")
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(typer.Exit):
        told_if_stopped("fit", command)(out=Path("predictor.json"))

    assert capsys.readouterr().err.endswith("; written by then: predictor.json\n")


@contextmanager
def _started(*arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """A process of ours, gone in any case when the test is over."""
    command = [sys.executable, "-m", "wattshed.cli.main", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()
