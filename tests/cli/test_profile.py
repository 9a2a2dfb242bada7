"""`wattshed profile` from flags to bundle, with the synthetic engine on its virtual clock."""

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.cli.conftest import Ran
from wattshed.cli import profile, validate
from wattshed.cli.engine_choice import EngineChoice
from wattshed.cli.frame import guarded
from wattshed.cli.profile_outcome import failed_line
from wattshed.cli.profile_rig import engine_of
from wattshed.datasets.manifest import FailureRecord
from wattshed.datasets.profiles import read_profile
from wattshed.domain.measurement import Measurement
from wattshed.errors import UsageError
from wattshed.profiler.journal import FILE, resume_journal, start_journal

GRID = ("--engine", "synthetic", "--design", "grid", "--input-tokens", "8,32", "--output-tokens", "8,16")
SERVER = ("--engine", "openai", "--url", "http://localhost:1", "--model", "m", "--hardware", "h")
PUBLISHED = ("--name", "n", "--title", "t", "--licence", "l", "--out", "all")
Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The exit code of `wattshed VERB ARGUMENTS`, in a home of its own and an empty folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command("profile", epilog=profile.EXAMPLES)(profile.command)
    app.command("validate")(validate.command)

    def call(verb: str, *arguments: object) -> int:
        return guarded(lambda: app([verb, *map(str, arguments)], standalone_mode=False))

    return call


def test_a_campaign_ends_in_a_bundle_that_validates(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """One command makes a bundle that is a profile and passes the checklist."""
    assert run("profile", *GRID, "--out", "mine") == 0
    assert run("validate", "mine") == 0

    printed = capsys.readouterr()
    assert "wrote mine: 34 passed, 4 not applicable" in printed.out
    assert "mine: profile, 42 trials of 1 system (hardware and model), 34 points passed" in printed.out
    assert len(read_profile("mine").measurements) == 42


def test_json_is_one_document(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--json` stdout holds the cells with their widths, and nothing else."""
    assert run("profile", *GRID, "--json") == 0

    document = json.loads(capsys.readouterr().out)
    assert document["ended"] == "complete"
    assert {(cell["input_tokens"], cell["output_tokens"]) for cell in document["cells"]} == {
        (m, n) for m in (8, 32) for n in (8, 16)
    }
    truth_j = {cell["output_tokens"]: cell["energy_j"] for cell in document["cells"] if cell["input_tokens"] == 8}
    assert truth_j[16] == pytest.approx(300 * (2e-4 * 8 + 0.02 + 0.02 * 15))
    assert document["failed_points"] == []


def test_a_broken_campaign_is_resumed(run: Run, tmp_path: Path) -> None:
    """A journal cut off in the middle of a line goes on to the whole bundle; without `--resume` it is kept safe."""
    assert run("profile", *GRID, "--out", "whole") == 0
    content = (tmp_path / "whole" / FILE).read_bytes()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / FILE).write_bytes(content[: len(content) // 2])

    assert run("profile", *GRID, "--out", "broken") == 2
    assert run("profile", *GRID, "--out", "broken", "--resume") == 0
    whole, again = (read_profile(name).measurements for name in ("whole", "broken"))
    assert [(t.order, round(t.runtime_s, 9)) for t in again] == [(t.order, round(t.runtime_s, 9)) for t in whole]
    assert run("profile", *GRID, "--out", "broken", "--resume") == 0
    assert read_profile("broken").measurements == again


def test_a_campaign_whose_time_is_up_goes_on(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`--campaign-timeout-s` ends with a valid bundle and says how many cells are left; `--resume` measures them."""
    assert run("profile", *GRID, "--out", "part", "--campaign-timeout-s", 60, "--json") == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert run("validate", "part") == 0

    assert document["ended"] == "timed_out"
    assert 0 < document["visits_left"] < 6
    assert f"time is up after 60 s and {document['visits_left']} of 6 visits are left; go on with" in printed.err
    assert run("profile", *GRID, "--out", "part", "--resume", "--json") == 0
    assert run("profile", *GRID, "--out", "whole") == 0
    part, whole = (read_profile(name).measurements for name in ("part", "whole"))
    assert sorted(_seconds(part)) == sorted(_seconds(whole))


def test_campaigns_share_a_reference_that_is_named(run: Run) -> None:
    """`--reference` measures that cell, of the design or not, in a valid bundle that is resumed with the same one."""
    named = (*GRID, "--reference", "16,4,2")

    assert run("profile", *named, "--campaign-timeout-s", 0, "--out", "mine") == 0
    assert run("profile", *GRID, "--resume", "--out", "mine") == 2
    assert run("profile", *named, "--resume", "--out", "mine") == 0
    assert run("validate", "mine") == 0

    looked = [trial for trial in read_profile("mine").measurements if trial.experiment == "reference"]
    cells = {(t.requested_input_tokens, t.requested_output_tokens, t.system.concurrency) for t in looked}
    assert cells == {(16, 4, 2)}


def test_an_engine_that_is_not_there_leaves_nothing_behind(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped `--url` is an error before anything is written, so the right one needs neither `--resume` nor `rm`."""
    server = ("--engine", "openai", "--url", "http://localhost:1", "--model", "m", "--hardware", "h")

    assert run("profile", *server, "--out", "none") == 3

    assert "http://localhost:1: Cannot connect" in capsys.readouterr().err
    assert not Path("none").exists()


def test_a_journal_in_the_way_is_refused_before_anything_is_loaded(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands in `--out` is looked at first: nobody waits for a model only to be told to write elsewhere."""
    start_journal(Path("taken") / FILE, {"model": "m"}).close()
    server = ("--engine", "openai", "--url", "http://localhost:1", "--model", "m", "--hardware", "h")

    assert [run("profile", *server, "--out", "taken", *flags) for flags in ((), ("--resume",))] == [2, 2]

    refusals = capsys.readouterr().err
    assert "holds a campaign; go on with --resume" in refusals
    assert "is of another campaign" in refusals


def test_other_meters_do_not_go_on_with_a_campaign(tmp_path: Path) -> None:
    """A campaign has one boundary: a journal begun with GPU and CPU is not resumed with the CPU alone."""
    start_journal(tmp_path / FILE, {"model": "m", "channels": "gpu0, package-0"}).close()

    with pytest.raises(UsageError, match=r"channels = 'gpu0, package-0' there, and 'package-0' now"):
        resume_journal(tmp_path / FILE, {"model": "m", "channels": "package-0"})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--meters", "rapl"), "--meters is not for --engine synthetic"),
        (("--prompts", "nowhere.txt"), "--prompts is for --engine transformers;"),
        (("--no-kv-cache",), "--no-kv-cache is for --engine transformers or openai;"),
        (("--configuration", "eager"), "--configuration is for --engine transformers;"),
        (("--device", "cpu"), "--device is for --engine transformers;"),
        (("--devices", "2"), "--devices is for --engine transformers or openai;"),
        (("--precision", "bf16"), "--precision is for --engine transformers or openai;"),
        (("--model", "m"), "--model is for --engine transformers or openai;"),
        (("--hardware", "h"), "--hardware is for --engine openai"),
        ((*SERVER, "--device", "cpu"), "--device is for --engine transformers;"),
        ((*SERVER, "--configuration", "static-graph"), "--configuration is for --engine transformers;"),
        ((*SERVER, "--prompts", "nowhere.txt"), "--prompts is for --engine transformers;"),
    ],
)
def test_flags_of_other_engines_are_refused(
    run: Run, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    """A flag that would do nothing, or be recorded as a fact that it is not, is an error and no surprise."""
    assert run("profile", *GRID, *flags) == 2

    assert message in capsys.readouterr().err


@pytest.mark.parametrize("url", ["", "htp:/bad", "localhost:8000", "http://", "http://localhost:port"])
def test_an_address_that_is_none_is_refused(run: Run, capsys: pytest.CaptureFixture[str], url: str) -> None:
    """A mistyped `--url` is one line, before meters are looked at."""
    assert run("profile", "--engine", "openai", "--url", url, *SERVER[4:]) == 2

    assert "--url wants the address of a server, like http://localhost:8000, got" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stated", "engine"),
    [
        ({}, "openai server"),
        ({"precision": "bf16", "kv_cache": False}, "openai server (precision, KV cache as stated)"),
        ({"devices": 8}, "openai server (devices as stated)"),
    ],
)
def test_what_a_server_is_said_to_be_is_recorded_as_said(stated: dict[str, Any], engine: str) -> None:
    """Nothing is assumed of a server, what its user states is marked as that, and a path is no name of its model."""
    nothing = dict.fromkeys(field.name for field in fields(EngineChoice))
    server = {"kind": "openai", "url": "http://localhost:1", "model": "/" + "srv/gandalf/llama", "hardware": "h"}
    choice = EngineChoice(**(nothing | server | {"timeout_s": 1.0, "meters": ()} | stated))

    choice.check()
    system = engine_of(choice, "host-00000001").system

    assert system.engine == engine
    assert (system.precision, system.kv_cache) == (stated.get("precision"), stated.get("kv_cache"))
    assert system.devices == stated.get("devices", 1)
    assert system.model == choice.settings["model"]
    assert system.model.startswith("llama-")
    assert "gandalf" not in str(choice.settings)


def test_names_of_people_are_refused_before_anything_is_measured(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `--name` with the user's name, or a licence with an address, would fail point 37 once all is measured."""
    monkeypatch.setenv("LOGNAME", "gandalf")

    assert run("profile", *GRID, "--name", "gandalf's box") == 2
    assert run("profile", *GRID, "--licence", "ask me@example.org") == 2

    refusals = capsys.readouterr().err
    assert '--name would publish "gandalf\'s box", which holds the name of a person or a machine' in refusals
    assert "--licence would publish 'ask me@example.org', which holds the e-mail of" in refusals
    assert not Path("profile").exists()


def test_a_bundle_that_fails_a_point_exits_with_1(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever scripts a campaign learns of a failed checklist by the exit code, and the bundle is there to look at."""
    assert run("profile", *GRID, "--idle-s", 0, "--out", "mine") == 1

    printed = capsys.readouterr()
    assert "wrote mine" in printed.out
    assert "mine fails point 15, 30, 33 of the checklist; see its validation.json" in printed.err


def test_a_campaign_without_time_is_valid(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Even where the time is up at once, drift and idle are known, and the rest is left for another session."""
    assert run("profile", *GRID, "--campaign-timeout-s", 0, "--out", "none") == 0

    assert "4 of 6 visits are left" in capsys.readouterr().err
    assert run("validate", "none") == 0


def test_a_dry_run_of_a_resume_counts_what_is_left(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`--dry-run --resume` forecasts the visits that are not over, and refuses another campaign's journal."""
    run("profile", *GRID, "--campaign-timeout-s", 0, "--out", "part")
    capsys.readouterr()
    asked = ("profile", *GRID, "--dry-run", "--resume", "--out", "part")

    assert run(*asked, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["cells"]) == 4
    run("profile", *GRID, "--resume", "--out", "part")
    assert run(*asked) == 0
    assert "Nothing is left to measure" in capsys.readouterr().out
    assert run(*asked, "--seed", 1) == 2


def test_a_failed_cell_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """The summary says which cell of which experiment failed, how many at once, and the message's first sentence."""
    failure = FailureRecord(
        host=None,
        experiment="batch",
        input_tokens=8,
        output_tokens=16,
        concurrency=4,
        reason="refused",
        message="too long. Ask for less.\nmore",
        trials=0,
    )

    assert failed_line(failure) == "failed batch (8, 16) x 4: refused, too long"


@pytest.mark.parametrize("verb", [("validate",), ("publish", *PUBLISHED), ("report",), ("fit",)])
def test_an_unfinished_campaign_says_how_it_is_finished(
    wattshed: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    """A directory with a journal alone is no broken profile: every verb says that it is unfinished, and what to do."""
    monkeypatch.chdir(tmp_path)
    start_journal(Path("half") / FILE, {"model": "m"}).close()

    ran = wattshed(verb[0], "half", *verb[1:])

    assert ran.exit_code in (1, 2)
    wanted = "half: is an unfinished campaign; finish it with: wattshed profile --resume --out half and its other flags"
    assert wanted in ran.out + ran.err


def test_a_file_of_cells_is_a_design(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--design FILE` measures the cells of a CSV, each at its concurrency."""
    (tmp_path / "cells.csv").write_text("input_tokens,output_tokens,concurrency\n8,8,1\n8,8,4\n")

    flags = ("--engine", "synthetic", "--design", "cells.csv", "--stopping", "fixed", "--trials", "2")
    assert run("profile", *flags, "--json") == 0

    cells = json.loads(capsys.readouterr().out)["cells"]
    assert {cell["concurrency"] for cell in cells} == {1, 4}
    assert {cell["stop_reason"] for cell in cells} == {"fixed"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--engine", "transformers"), "--engine transformers needs --model"),
        (("--engine", "openai", "--model", "x"), "--url and --engine openai go together"),
        (("--engine", "openai", "--model", "x", "--url", "http://localhost"), "needs --hardware"),
        (("--engine", "synthetic", "--design", "grid"), "--input-tokens: give the counts of design 'grid'"),
        (("--engine", "synthetic", "--concurrency", "2"), "--concurrency: is not for design 'paper-input'"),
        ((*GRID[:4], "--input-tokens", "8,x", "--output-tokens", "8"), "wants different counts from 1 to 10,000,000"),
        ((*GRID[:4], "--input-tokens", "8,8", "--output-tokens", "8"), "wants different counts from 1 to 10,000,000"),
        (("--engine", "synthetic", "--trials", "3"), "--trials and --stopping fixed go together"),
        (("--engine", "synthetic", "--stopping", "fixed"), "--trials and --stopping fixed go together"),
        ((*GRID, "--window-s", "inf"), "--window-s wants a number of seconds that comes to an end, got inf"),
        ((*GRID, "--idle-s", "inf"), "--idle-s wants"),
        ((*GRID, "--settle-s", "inf"), "--settle-s wants"),
        ((*GRID, "--cell-timeout-s", "inf"), "--cell-timeout-s wants"),
        ((*GRID, "--campaign-timeout-s", "inf"), "--campaign-timeout-s wants"),
        ((*GRID, "--predictor", "predictor.json"), "--predictor is for --dry-run"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    flags: tuple[str, ...], message: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong or missing flag is one line that says what to give, and exit code 2."""
    assert run("profile", *flags) == 2

    assert message in capsys.readouterr().err


def test_an_unknown_design_is_missing(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A design that is neither known nor a file exits with 3."""
    assert run("profile", "--engine", "synthetic", "--design", "paper-inputs") == 3

    assert "no such design" in capsys.readouterr().err


def test_a_meter_that_was_named_must_be_there(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`--meters` names what the numbers need: an absent one exits with 3 and its remedy, and nothing is measured."""
    flags = ("--model", "random:tiny-llama", "--precision", "fp32", "--meters", "powermetrics", "--out", "none")

    assert run("profile", *flags) == 3

    assert "powermetrics" in capsys.readouterr().err
    assert not Path("none").exists()


def test_a_tampered_bundle_fails_validation(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`wattshed validate` names the point that a changed bundle fails, and exits with 1."""
    run("profile", *GRID, "--out", "mine")
    Path("mine/README.md").write_text("cheaper")
    capsys.readouterr()

    assert run("validate", "mine") == 1

    printed = capsys.readouterr()
    assert "point 36 (raw samples, and the same numbers again) failed: not the files that were summed" in printed.out
    assert "mine: 1 failed point" in printed.err


def test_two_campaigns_share_the_label_of_the_host(run: Run) -> None:
    """The random label stays with the machine, so its campaigns can be compared."""
    run("profile", *GRID, "--out", "one")
    run("profile", *GRID, "--out", "two")

    [label] = {trial.system.host for name in ("one", "two") for trial in read_profile(name).measurements}
    assert str(label).startswith("host-")


def _seconds(trials: Sequence[Measurement]) -> list[tuple[str, int, int, bool, float]]:
    """What was measured in each trial, whatever the order."""
    return [
        (t.experiment, t.requested_input_tokens, t.requested_output_tokens, t.warm_up, round(t.runtime_s, 9))
        for t in trials
    ]
