"""`wattshed fit` writes predictors and says what they are worth."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from rich.console import Console

from wattshed.cli import fit
from wattshed.cli.frame import guarded
from wattshed.datasets.profiles import read_profile
from wattshed.domain.choices import CHANNELS, PredictorKind
from wattshed.predictors.check import check_pair
from wattshed.predictors.file import load
from wattshed.predictors.fit import FORMS
from wattshed.predictors.fit import fit as fit_profile

PROFILE = "bundled:wilkins2024"
ERRORS = {"cells", "fit_mape", "held_out_cells", "held_out_mape", "held_out_max_error", "coverage", "unseen_mape"}
ERRORS |= {"host_bound_cells", "host_bound_mape", "other_mape"}


def run(*arguments: str) -> int:
    """The exit code of `wattshed fit ARGUMENTS`."""
    app = typer.Typer()
    app.command(epilog=fit.EXAMPLES)(fit.command)
    return guarded(lambda: app(arguments, standalone_mode=False))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_a100_pair_is_known_within_a_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    """The default form on the bundled profile: held-out energy error at most 10 % on both A100 nodes."""
    assert run(PROFILE, "--json") == 0

    document = json.loads(capsys.readouterr().out)
    a100 = [pair for pair in document["systems"] if "A100" in pair["system"] and pair["model"].endswith("(7B)")]
    assert len(a100) == 6
    assert all(pair["energy"]["held_out_mape"] <= 0.10 for pair in a100)


def test_document_has_its_fields(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON names profile, kind, channel and file, and gives errors of both quantities, or a reason, per pair."""
    assert run(PROFILE, "--kind", "table", "--out", "table.json", "--json") == 0

    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert list(document) == ["profile", "kind", "channel", "file", "systems", "skipped"]
    assert (document["kind"], document["channel"], document["file"]) == ("table", "total", "table.json")
    for pair in document["systems"]:
        assert list(pair) == ["system", "model", "energy", "runtime"]
        assert pair["energy"].keys() == pair["runtime"].keys() == ERRORS
    assert {"system", "model", "reason"} == document["skipped"][0].keys()


@pytest.mark.parametrize("channel", [channel for channel in CHANNELS if channel != "platform"])  # nobody metered it
def test_file_holds_what_was_asked_for(here: Path, channel: str) -> None:
    """The predictor file has the kind and the channel of the flags; without --out it is predictor.json."""
    assert run(PROFILE, "--kind", "regression", "--channel", channel) == 0

    fitted = load(here / "predictor.json")
    assert (fitted.kind, fitted.channel) == ("regression", channel)


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """The errors in per cent, what was skipped and why, and the name of the file."""
    assert run(PROFILE, "--kind", "table") == 0

    shown = capsys.readouterr().out
    for words in ("held out", "in 95 %", "Palmetto Intel+V100", "skipped M1-Pro, Falcon (7B)", "wrote predictor.json"):
        assert words in shown


def test_predictors_are_written_over_and_other_files_are_not(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second fit replaces the first; somebody's notes stay."""
    (here / "notes.txt").write_text("mine")

    assert [run(PROFILE, "--kind", "table") for _ in range(2)] == [0, 0]
    assert run(PROFILE, "--kind", "table", "--out", "notes.txt") == 2

    assert "notes.txt exists and is not a predictor file" in capsys.readouterr().err
    assert (here / "notes.txt").read_text() == "mine"


def test_flags_offer_what_there_is() -> None:
    """The kinds of the command line are those that can be fitted."""
    assert set(get_args(PredictorKind)) == set(FORMS)


def test_a_missing_profile_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3, one line, nothing written."""
    assert run("bundled:nothing") == 3

    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not Path("predictor.json").exists()


def test_a_channel_without_joules_names_those_that_have_some(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody metered a channel the error says which ones there are, and names no pair."""
    assert run("bundled:h100") == 2

    assert capsys.readouterr().err == "wattshed: bundled:h100: has no total energy; give --channel gpu\n"


def test_a_profile_without_joules_is_told_to_get_a_meter() -> None:
    """Where nobody metered anything more cells would not help, and the error does not ask for them."""
    profile = read_profile(PROFILE).where(lambda trial: trial.system.name == "M1-Pro")
    unmetered = [replace(trial, gpu_energy_j=None, cpu_energy_j=None) for trial in profile.measurements]
    blind = replace(profile, measurements=tuple(unmetered))

    error = fit._nothing_to_fit(blind, fit_profile(blind), "blind")

    assert str(error).startswith("blind: has no joules; measure again with a meter")


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    """No word of a name or a header is broken."""
    pair = ("Swing AMD+A100", "Mixtral (8x7B)")
    trials = read_profile(PROFILE).where(lambda trial: (trial.system.name, trial.system.model) == pair)
    fitted = fit_profile(trials, kind="regression")
    checks = {one: check_pair(trials, one, kind="regression", channel="total") for one in fitted.predictors}
    shown = StringIO()

    fit._show(Console(width=80, file=shown), fitted, checks, Path("p.json"))

    assert checks
    assert max(map(len, shown.getvalue().split("held out:")[0].splitlines())) <= 80
    for name in ("unseen", "others", "Swing AMD+A100", "Mixtral (8x7B)", "runtime"):
        assert f" {name} " in shown.getvalue()
