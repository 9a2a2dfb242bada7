"""`wattshed predict` answers for each point, in order."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from wattshed.cli import predict
from wattshed.cli.frame import guarded
from wattshed.datasets.profiles import read_profile
from wattshed.domain.schema import PREDICTION
from wattshed.predictors.file import save
from wattshed.predictors.fit import fit

PROFILE = ("--profile", "bundled:wilkins2024")
PAIR = ("--system", "m1-pro", "--model", "mistral")


def run(*arguments: str) -> int:
    """The exit code of `wattshed predict ARGUMENTS`."""
    app = typer.Typer()
    app.command(epilog=predict.EXAMPLES)(predict.command)
    return guarded(lambda: app(arguments, standalone_mode=False))


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What `wattshed predict ARGUMENTS --json` prints."""
    assert run(*arguments, "--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of predictors on the gpu channel."""
    path = tmp_path_factory.mktemp("fitted") / "predictor.json"
    only = [("M1-Pro", "Mistral (7B)")]
    save(fit(read_profile("bundled:wilkins2024"), channel="gpu", only=only), path)
    return path


def test_one_row_a_point_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Points come back in the order given, repeated ones too, with the columns of the schema."""
    document = answer(capsys, *PROFILE, *PAIR, "--tokens", "512,32", "--tokens", "8,16", "--tokens", "512,32")

    assert [(row["input_tokens"], row["output_tokens"]) for row in document["points"]] == [
        (512, 32),
        (8, 16),
        (512, 32),
    ]
    assert all(list(row) == [column.name for column in PREDICTION] for row in document["points"])
    assert (document["system"], document["model"]) == ("M1-Pro", "Mistral (7B)")
    assert (document["channel"], document["kind"]) == ("total", "prefix")


def test_a_table_of_points_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A CSV gives the same answers as the flags; other columns do not matter."""
    (tmp_path / "points.csv").write_text("name,output_tokens,input_tokens\na,32,512\nb,16,8\n")

    from_file = answer(capsys, *PROFILE, *PAIR, "--points", str(tmp_path / "points.csv"))

    assert from_file == answer(capsys, *PROFILE, *PAIR, "--tokens", "512,32", "--tokens", "8,16")


def test_a_measured_cell_is_predicted_well(capsys: pytest.CaptureFixture[str]) -> None:
    """512 tokens in and 32 out took 1,467 J and 72 s on average; the interval holds them."""
    document = answer(capsys, *PROFILE, *PAIR, "--tokens", "541,32")

    (row,) = document["points"]
    assert row["energy_j"] == pytest.approx(1466.8, abs=1.96 * row["energy_sd_j"])
    assert row["runtime_s"] == pytest.approx(72.04, abs=1.96 * row["runtime_sd_s"])
    assert row["extrapolated"] is False


def test_a_file_of_predictors_answers_alike(predictor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fitted now or then, a prediction is the same."""
    then = answer(capsys, "--predictor", str(predictor), *PAIR, "--tokens", "100,100")

    now = answer(capsys, *PROFILE, *PAIR, "--channel", "gpu", "--tokens", "100,100")
    now["points"][0]["feasible"] = None  # limits stand in the profile alone
    assert then == now


def test_what_the_system_cannot_serve_is_flagged(predictor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The M1 stops at 512 output tokens, as its profile says; a predictor file does not say."""
    points = ("--tokens", "32,512", "--tokens", "32,513")

    from_profile = answer(capsys, *PROFILE, *PAIR, *points)["points"]
    from_file = answer(capsys, "--predictor", str(predictor), *PAIR, *points)["points"]

    assert [row["feasible"] for row in from_profile] == [True, False]
    assert [row["feasible"] for row in from_file] == [None, None]
    assert run(*PROFILE, *PAIR, *points) == 0
    assert "1 of 2 points are beyond what this system is known to serve" in capsys.readouterr().out


def test_people_are_told_of_extrapolation(capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a row a point, and a line says how many lie outside the measured range."""
    assert run(*PROFILE, *PAIR, "--tokens", "32,32", "--tokens", "32,5000") == 0

    assert "1 of 2 points lie outside the measured range" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("input_tokens,output_tokens\n5,2\n5,x\n", "row 2, field 'output_tokens': is 'x', not a number"),
        ("input_tokens,output_tokens\n0,2\n", "row 1, field 'input_tokens': is 0, below 1"),
        ("input_tokens,output_tokens\n5,2.5\n", "row 1, field 'output_tokens': is 2.5, not a whole number"),
        ("input_tokens,output_tokens\n5\n", "row 1, field 'output_tokens': is missing"),
        ("input_tokens,n\n5,2\n", "field 'output_tokens': the column is missing; found input_tokens, n"),
        ("input_tokens,output_tokens\n", "has no rows"),
        ("", "is empty"),
    ],
)
def test_bad_points_are_located(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A defect of the table is one line with file, row and field, and exit code 2."""
    path = tmp_path / "points.csv"
    path.write_text(text)

    assert run(*PROFILE, *PAIR, "--points", str(path)) == 2

    assert f"{path}" in (shown := capsys.readouterr().err)
    assert message in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*PROFILE, *PAIR), "either as --tokens INPUT,OUTPUT or as --points FILE"),
        ((*PROFILE, *PAIR, "--tokens", "5,5", "--points", "p.csv"), "either as --tokens"),
        ((*PROFILE, *PAIR, "--tokens", "5"), "takes INPUT,OUTPUT such as 32,128, got '5'"),
        ((*PROFILE, *PAIR, "--tokens", "5,0"), "counts from 1, got '5,0'"),
        ((*PROFILE, *PAIR, "--tokens", "5,1_000"), "takes INPUT,OUTPUT such as 32,128, got '5,1_000'"),
        ((*PROFILE, *PAIR, "--tokens", "10000001,5"), "counts to 10,000,000, got '10000001,5'"),
        ((*PROFILE, *PAIR, "--tokens", "9223372036854775807,1"), "counts to 10,000,000, got '9223372036854775807,1'"),
        ((*PROFILE, *PAIR, "--tokens", "5," + "9" * 5000), "counts to 10,000,000, got '5,9999"),
        ((*PAIR, "--tokens", "5,5"), "either --profile or --predictor"),
        ((*PROFILE, "--system", "M1", "--model", "gpt", "--tokens", "5,5"), "model 'gpt' on M1-Pro is unknown"),
        ((*PROFILE, "--system", "M1", "--model", "falcon", "--tokens", "5,5"), "found 1"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and what to write instead."""
    assert run(*arguments) == 2

    assert message in capsys.readouterr().err


def test_a_file_is_not_asked_for_what_it_has_not(predictor: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another channel than the file's is an error, not another answer."""
    assert run("--predictor", str(predictor), *PAIR, "--channel", "cpu", "--tokens", "5,5") == 2

    assert "holds gpu predictors" in capsys.readouterr().err


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    """Exit code 3."""
    assert run("--predictor", str(tmp_path / "none.json"), *PAIR, "--tokens", "5,5") == 3
