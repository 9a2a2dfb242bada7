"""`wattshed fit --ledger` learns from a gateway's rows, end to end, and what it writes serves again."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
import typer

from tests.gateway.ledger.test_refitting import row, rows, worst
from tests.gateway.serving import regression
from wattshed.cli import fit, ledger
from wattshed.cli.frame import guarded
from wattshed.gateway.ledger.ledger import Row
from wattshed.gateway.ledger.store import open_store
from wattshed.predictors.file import load, save
from wattshed.predictors.fit import Fitted


def run(*arguments: str) -> int:
    """The exit code of `wattshed fit ARGUMENTS`, or of `wattshed ledger ...`."""
    app = typer.Typer()
    for verb in (fit, ledger):
        app.command(verb.__name__.rpartition(".")[2])(verb.command)
    return guarded(lambda: app(arguments, standalone_mode=False))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kept(served: Sequence[Row]) -> None:
    """A ledger of these rows."""
    store = open_store("ledger.db")
    store.write(served, ())
    store.close()


def test_a_ledger_becomes_a_predictor_file(capsys: pytest.CaptureFixture[str]) -> None:
    """The file has the machine's curves and says where they come from; the JSON says who was left out."""
    kept([*rows(regression(), 600, octaves=4.0), *rows(regression(), 3, seed=1, outcome="broken")])

    assert run("fit", "--ledger", "ledger.db", "--kind", "regression", "--json") == 0

    document, fitted = json.loads(capsys.readouterr().out), load(Path("predictor.json"))
    assert fitted.profile.startswith("ledger ")
    assert "ledger.db, 2026-11-23 to" in fitted.profile
    assert max(worst(fitted.predictor("m1", "llama"), regression(), most=64)) < 0.05
    assert document["profile"] == fitted.profile
    assert document["left_out"]["not answered whole"] == 3
    assert document["systems"][0]["energy"]["held_out_mape"] < 0.1


def test_people_hear_what_was_learned(capsys: pytest.CaptureFixture[str]) -> None:
    """The table of errors, and below it the requests behind it."""
    kept(list(rows(regression(), 300, octaves=3.0)))

    assert run("fit", "--ledger", "ledger.db", "--kind", "regression") == 0

    shown = capsys.readouterr().out
    assert "learned from" in shown
    assert "wrote predictor.json" in shown


def test_joules_may_come_from_another_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no request has joules, those of the file stay, and only the seconds are of the ledger."""
    kept(list(rows(regression(), 300, octaves=3.0, attributed_energy_j=None)))
    save(Fitted("old", "0", "regression", "total", {("m1", "llama"): regression()}, {}), Path("old.json"))

    assert run("fit", "--ledger", "ledger.db", "--kind", "regression") == 2
    assert run("fit", "--ledger", "ledger.db", "--kind", "batch", "--energy-from", "old.json") == 2
    assert run("fit", "--ledger", "ledger.db", "--kind", "regression", "--energy-from", "old.json", "--json") == 0

    captured = capsys.readouterr()
    assert "without attributed joules" in captured.err
    assert "old.json holds regression predictors" in captured.err
    assert json.loads(captured.out)["seconds_only"] == [{"system": "m1", "model": "llama"}]


def test_too_few_rows_write_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """One cell is no curve: exit code 2, one line, and no file."""
    kept([row(f"{at}", 100.0 * at, 1.0, 16, 16, 5.0) for at in range(20)])

    assert run("fit", "--ledger", "ledger.db") == 2

    assert "5 cells with total energy are needed, found 1" in capsys.readouterr().err
    assert not Path("predictor.json").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "give either a profile or --ledger"),
        (("bundled:wilkins2024", "--ledger", "x.db"), "give either a profile or --ledger"),
        (("bundled:wilkins2024", "--since", "2026-01-01"), "--since is for --ledger"),
        (("--ledger", "x.db", "--since", "yesterday"), "--since takes a time"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(
    arguments: tuple[str, ...], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A profile or a ledger, and the ledger's flags with the ledger."""
    assert run("fit", *arguments) == 2
    assert problem in capsys.readouterr().err


def test_a_missing_ledger_is_missing() -> None:
    """Exit code 3, and no ledger is made."""
    assert run("fit", "--ledger", "none.db") == 3
    assert not Path("none.db").exists()


def test_exported_rows_read_back_as_they_were() -> None:
    """Ledger, Parquet and back: every column of every row, in order of arrival."""
    served = sorted(rows(regression(), 200), key=lambda one: one.arrived_at)
    kept(served)

    assert run("ledger", "export", "ledger.db", "--out", "rows.parquet") == 0

    read = [Row(**one) for one in pl.read_parquet("rows.parquet").iter_rows(named=True)]
    assert read == served
