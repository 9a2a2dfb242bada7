"""What all verbs share: tables that lose nothing, output that may fail, completion, and exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from wattshed.cli.frame import bundled_profiles, bundled_sources, guarded, stdout, table
from wattshed.datasets.profiles import PREFIX
from wattshed.datasets.profiles import bundled_profiles as shipped_profiles
from wattshed.datasets.workloads import BUNDLED_WORKLOADS
from wattshed.errors import UsageError


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_a_table_loses_nothing_however_narrow(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Where cells do not fit they go on in the next line: every character of every cell is printed."""
    cells = ("Palmetto-Intel+A100", "1.246e+06", "8.597e+07", "extrapolated")
    shown = table("Title", "system", "energy\nj", "runtime\ns", "note")
    shown.add_row(*cells)

    Console(width=columns).print(shown)

    printed = capsys.readouterr().out
    assert "…" not in printed
    assert sorted("".join(cells)) == sorted("".join(printed.split("─")[-1].split()))


def test_a_pipe_is_as_wide_as_any_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stdout is no terminal, no terminal's width folds what is printed."""
    monkeypatch.setenv("COLUMNS", "40")

    assert stdout().width == 200


def test_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A system may be called anything: brackets are no markup, and letters between colons no picture."""
    name = "mac [old] :x: [/]"
    rows = table("Systems of [/]", "system")
    rows.add_row(name)

    stdout().print(rows)
    stdout().print(f"All to {name}")

    def refused() -> None:
        raise UsageError(f"no system {name}")

    code = guarded(refused)

    printed = capsys.readouterr()
    assert printed.out.count(name) == 2
    assert (code, printed.err) == (2, f"wattshed: no system {name}\n")


def test_completion_offers_what_ships() -> None:
    """The sources that the shell completes are those that can be read, and only those that go on from the input."""
    profiles = [PREFIX + name for name in shipped_profiles()]

    assert bundled_profiles("") == profiles
    assert sorted(bundled_sources("bund")) == sorted([*profiles, *(PREFIX + name for name in BUNDLED_WORKLOADS)])
    assert bundled_sources("my-") == []


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_full_disk_is_one_line(flags: list[str]) -> None:
    """Results that cannot be written end the command with exit code 1 and one line, not with a traceback."""
    command = Path(sys.executable).with_name("wattshed")

    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [command, "validate", "bundled:alpaca", *flags], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert ran.returncode == 1
    assert ran.stderr == "wattshed: the output cannot be written (No space left on device); make room there\n"


def test_a_name_that_cannot_be_printed_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A file name of bytes that are no text is refused with exit code 2."""

    def command() -> None:
        "\udcff".encode()

    assert guarded(command) == 2

    assert "a name cannot be written as utf-8; rename" in capsys.readouterr().err
