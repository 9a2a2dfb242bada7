"""`wattshed validate` says what a source is, or everything that is wrong with it."""

import json
from pathlib import Path

import pytest
import typer

from wattshed.cli import validate
from wattshed.cli.frame import guarded
from wattshed.datasets.profiles import profile_directory, read_profile
from wattshed.predictors.file import save
from wattshed.predictors.fit import fit


def run(*arguments: str) -> int:
    """The exit code of `wattshed validate ARGUMENTS`."""
    app = typer.Typer()
    app.command(epilog=validate.EXAMPLES)(validate.command)
    return guarded(lambda: app(arguments, standalone_mode=False))


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A sound fleet."""
    path = tmp_path / "fleet.yaml"
    path.write_text("model: llama-2 (7b)\nsystems:\n  - system: m1-pro\n  - system: Swing AMD+A100\n")
    return path


def test_a_sound_profile_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    """A profile without defects is one line and exit code 0."""
    assert run("bundled:wilkins2024") == 0

    assert capsys.readouterr().out == (
        "bundled:wilkins2024: profile, 3,161 trials of 17 systems (hardware and model)\n"
    )


def test_a_sound_fleet_is_summed_up(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fleet is checked against its profile too, and shown as the profile spells it."""
    assert run(str(fleet)) == 0

    assert (
        "fleet, M1-Pro, Swing AMD+A100 for Llama-2 (7B), as measured in bundled:wilkins2024" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("input_tokens,output_tokens\n5,2\n5,2\n", "generic, 2 queries of 1 shape"),
        ("length,count\n5,2\n6,1\n", "length distribution, 3 queries of 2 shapes"),
    ],
)
def test_a_sound_workload_is_summed_up(
    text: str, summary: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A workload says its format and size; a length distribution needs no other side to be sound."""
    (tmp_path / "trace.csv").write_text(text)

    assert run(str(tmp_path / "trace.csv"), "--json") == 0

    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["valid"], document["summary"]) == ("workload", True, summary)
    assert document["defects"] == []


def test_every_defect_is_printed_and_the_exit_code_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Defects go to stdout, a line each; the verdict goes to stderr."""
    path = tmp_path / "trace.csv"
    path.write_text("input_tokens,output_tokens\n5,0\n5,2\nx,2\n")

    assert run(str(path)) == 1

    printed = capsys.readouterr()
    assert [line.split("; ")[0] for line in printed.out.splitlines()] == [
        f"{path}, row 1, field 'output_tokens': is 0, below 1",
        f"{path}, row 3, field 'input_tokens': is 'x', not a number",
    ]
    assert printed.err == f"wattshed: {path}: 2 defects\n"


def test_defects_are_json_too(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--json` stdout holds one document, and each defect its parts."""
    fleet.write_text(fleet.read_text().replace("m1-pro", "m2-pro"))

    assert run(str(fleet), "--json") == 1

    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["valid"]) == ("fleet", False)
    assert document["summary"] == "1 defect"
    assert [defect["field"] for defect in document["defects"]] == ["systems[0].system"]
    assert document["defects"][0]["fix"] == "did you mean 'M1-Pro'?"


def test_a_profile_is_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any directory is taken for a profile, and both its files are missed."""
    assert run(str(tmp_path)) == 1

    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_file_of_no_known_format_is_a_defect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be read at all fails the check like any other defect."""
    (tmp_path / "notes.txt").write_text("hello\n")

    assert run(str(tmp_path / "notes.txt")) == 1

    printed = capsys.readouterr()
    assert "columns hello are of no known workload format" in printed.out
    assert printed.err.endswith("notes.txt: cannot be read\n")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("llama-2 (7b)", "Falcon (7B)"), "M1-Pro cannot serve Falcon (7B) at all (Falcon does not run usefully"),
        (("model:", "predictor: batch\nmodel:"), "M1-Pro has no batch predictor: the batch form needs a KV cache"),
    ],
)
def test_a_fleet_that_cannot_be_planned_is_refused(
    change: tuple[str, str], problem: str, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A system that cannot run the model at all, or has no predictor of the form, is a defect with its reason."""
    fleet.write_text(fleet.read_text().replace(*change))

    assert run(str(fleet)) == 1

    assert f"{fleet}, field 'systems[0]': {problem}" in capsys.readouterr().out


def test_the_case_of_a_suffix_does_not_matter(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """FLEET.YAML is a fleet too."""
    assert run(str(fleet.rename(fleet.with_name("FLEET.YAML")))) == 0

    assert ": fleet, " in capsys.readouterr().out


def test_a_predictor_file_is_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Predictors are the fourth kind of source, known by their content, and checked for their meaning."""
    path = tmp_path / "predictor.json"
    only = [("M1-Pro", "Mistral (7B)")]
    save(fit(read_profile("bundled:wilkins2024"), kind="table", only=only), path)

    assert run(str(path)) == 0
    path.write_text(path.read_text().replace('"misfit":', '"misfit":-'))
    assert run(str(path)) == 1

    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{path}: predictors, 1 table predictor of wilkins2024, total energy"
    assert "field 'predictors[0].energy.misfit': expected numbers from 0" in printed[1]


def test_a_json_workload_is_a_workload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON lines stay a workload whatever their file is called."""
    (tmp_path / "trace.json").write_text('{"input_tokens": 5, "output_tokens": 2}\n')

    assert run(str(tmp_path / "trace.json")) == 0

    assert ": workload, generic, 1 query of 1 shape" in capsys.readouterr().out


@pytest.mark.parametrize("source", ["bundled:nothing", "nowhere.yaml", "nowhere.csv"])
def test_what_is_not_there_exits_with_3(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A source that does not exist is missing, not wrong: nothing on stdout, one line on stderr."""
    assert run(source) == 3

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("name", ["manifest.json", "trials.parquet"])
def test_a_file_of_a_profile_stands_for_its_directory(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A profile is checked whole: who names one of its files is told to give the directory."""
    file = profile_directory("bundled:wilkins2024") / name

    assert run(str(file)) == 2

    wanted = f"wattshed: {file}: is one file of a profile; give the directory: wattshed validate {file.parent}\n"
    assert capsys.readouterr().err == wanted


def test_columns_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The flag that the message about unknown columns recommends is there, and is for workloads alone."""
    path = tmp_path / "mine.csv"
    path.write_text("asked,got\n5,2\n")
    named = ("--column", "input_tokens=asked", "--column", "output_tokens=got")

    assert [run(str(path)), run(str(path), *named), run(str(tmp_path), *named)] == [1, 0, 2]

    printed = capsys.readouterr()
    assert "name yours with --column input_tokens=NAME" in printed.out
    assert "--column is for a workload" in printed.err
