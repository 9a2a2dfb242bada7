"""`wattshed profile --dry-run` says what a campaign will take, and does nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran
from tests.predictors.batches import batches, truth
from wattshed.datasets.profiles import read_profile
from wattshed.predictors.file import save
from wattshed.predictors.fit import fit

Wattshed = Callable[..., Ran]
GRID = ("profile", "--design", "grid", "--input-tokens", "128,512", "--output-tokens", "32,128")
SYNTHETIC = (*GRID, "--engine", "synthetic")
MODEL = (*GRID, "--model", "random:tiny-llama")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder and home to run in."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def predictor(here: Path) -> Path:
    """A file of one batch predictor."""
    save(fit(batches(truth, noise=0.01), kind="batch"), here / "predictor.json")
    return Path("predictor.json")


def test_the_synthetic_engine_knows_its_own_truth(wattshed: Wattshed, here: Path) -> None:
    """Seconds and joules of every visit, in order, that add up to the sums; nothing is written."""
    document = wattshed(*SYNTHETIC, "--dry-run", "--json").document
    shown = wattshed(*SYNTHETIC, "--dry-run").out

    assert len(document["cells"]) == 6
    assert document["unknown"] is None
    assert document["least_s"] > 4 * 8 * 5
    for quantity, idle in (("duration_s", 20.0), ("energy_j", 0.0)):
        cells = sum(cell[quantity]["value"] for cell in document["cells"])
        assert document[quantity]["value"] == pytest.approx(cells + idle)
        assert document[quantity]["lower"] == document[quantity]["upper"] == document[quantity]["value"]
    assert "grid (512, 128)" in shown
    assert "From: the synthetic engine's own truth." in shown
    assert list(here.iterdir()) == []


def test_the_reference_is_shown(wattshed: Wattshed) -> None:
    """A dry run says which cell it looks for drift in, who chose it and how often, and forecasts the one named."""
    plain, named = (wattshed(*SYNTHETIC, "--dry-run", *flags).out for flags in ((), ("--reference", "8,16")))
    document = wattshed(*SYNTHETIC, "--dry-run", "--reference", "8,16,4", "--json").document

    assert "Reference: (128, 32), the middle of the design; 2 of 6 visits look for drift there." in plain
    assert "Reference: (8, 16), as named; 2 of 6 visits look for drift there." in named
    assert document["reference"] == {"input_tokens": 8, "output_tokens": 16, "concurrency": 4}
    assert [cell["input_tokens"] for cell in document["cells"] if cell["experiment"] == "reference"] == [8, 8]


def test_a_dry_run_keeps_its_promise(wattshed: Wattshed) -> None:
    """What the campaign then takes is what was said: seconds within the settling, joules as spent on queries."""
    said = wattshed(*SYNTHETIC, "--dry-run", "--json").document

    wattshed(*SYNTHETIC, "--out", "real")

    trials = read_profile("real").measurements
    spent_j = sum((t.gpu_energy_j or 0.0) * (t.window_queries or 0) for t in trials)
    took_s = max((t.started_at_s or 0.0) + (t.window_s or 0.0) for t in trials) - min(
        t.started_at_s or 0 for t in trials
    )
    assert spent_j == pytest.approx(said["energy_j"]["value"], rel=0.02)
    assert took_s == pytest.approx(said["duration_s"]["value"] - 20.0, abs=said["most_settle_s"])


def test_without_a_predictor_energy_is_unknown_for_a_reason(wattshed: Wattshed) -> None:
    """Time is the least that windows take; energy is null, and the reason says how to get one."""
    document = wattshed(*MODEL, "--dry-run", "--json").document
    shown = wattshed(*MODEL, "--dry-run").out

    assert document["energy_j"] is None
    assert {cell["energy_j"] for cell in document["cells"]} == {None}
    assert "give --predictor FILE from a fit of a similar machine" in document["unknown"]
    assert "Time: at least" in shown
    assert f"Energy: unknown: {document['unknown']}." in shown


def test_a_predictor_says_what_a_model_will_take(wattshed: Wattshed, predictor: Path) -> None:
    """With `--predictor` each cell and the sum have seconds and joules, with intervals."""
    document = wattshed(*MODEL, "--dry-run", "--predictor", predictor, "--json").document
    shown = wattshed(*MODEL, "--dry-run", "--predictor", predictor).out

    for one in (document, *document["cells"]):
        for quantity in ("duration_s", "energy_j"):
            assert 0 < one[quantity]["lower"] < one[quantity]["value"] < one[quantity]["upper"]
    assert "From: batch predictor of server, toy, total energy." in shown


def test_concurrency_needs_a_batch_predictor(wattshed: Wattshed, here: Path) -> None:
    """A form that knows single queries leaves cells of several, and so the sum, unknown and says which form does."""
    save(fit(batches(truth, concurrencies=[1])), here / "single.json")
    flags = ("profile", "--model", "random:tiny-llama", "--design", "batch", "--input-tokens", 128)

    ran = wattshed(*flags, "--output-tokens", 32, "--concurrency", "1,8", "--dry-run", "--predictor", "single.json")

    assert "fit with --kind batch" in ran.out
    assert ran.exit_code == 0


def test_a_file_of_several_predictors_needs_a_name(wattshed: Wattshed, here: Path) -> None:
    """Of a file with many systems, `--name` and `--model` say which; without them it is an error that lists them."""
    only = [("M1-Pro", "Mistral (7B)"), ("M1-Pro", "Llama-2 (7B)")]
    save(fit(read_profile("bundled:wilkins2024"), only=only), here / "two.json")
    ask = ("--dry-run", "--predictor", "two.json")

    assert "say which with --name and --model" in wattshed(*MODEL, *ask).err
    named = wattshed(*GRID, "--model", "mistral", "--name", "m1-pro", *ask).out
    assert "From: prefix predictor of M1-Pro, Mistral (7B)" in named


def test_a_limit_that_is_too_short_is_said_so(wattshed: Wattshed) -> None:
    """A dry run with `--campaign-timeout-s` says whether the time will do."""
    short, long = (wattshed(*SYNTHETIC, "--dry-run", "--campaign-timeout-s", limit_s).out for limit_s in (60, 6000))

    assert "--campaign-timeout-s ends it before that" in short
    assert "--campaign-timeout-s" not in long


def test_a_predictor_of_another_configuration_is_said_to_be_one(wattshed: Wattshed, predictor: Path) -> None:
    """What the predictor was measured with otherwise stands in the document, and beside the sums for people."""
    text = json.loads(predictor.read_text())
    ran = {"engine": "transformers 5.0 eager", "precision": "fp16", "kv_cache": True}
    predictor.write_text(json.dumps(text | {"predictors": [one | {"ran": ran} for one in text["predictors"]]}))
    asked = (*MODEL, "--dry-run", "--predictor", predictor)

    alike = wattshed(*asked, "--precision", "fp16", "--json").document["differences"]
    other = wattshed(*asked, "--no-kv-cache").out
    graph = wattshed(*asked, "--precision", "fp16", "--configuration", "static-graph", "--json").document["differences"]

    assert alike == []
    assert "Mind the predictor: it was measured with a KV cache, and it was measured in fp16." in other
    assert graph == ["it was measured on transformers 5.0 eager"]


def test_a_short_campaign_is_told_in_a_short_unit(wattshed: Wattshed) -> None:
    """Seconds, minutes or hours, whichever people would say; never 0.00 h."""
    short = wattshed(*MODEL, "--dry-run", "--stopping", "fixed", "--trials", 1, "--settle-s", 1).out
    long = wattshed(*MODEL, "--dry-run", "--stopping", "fixed", "--trials", 900).out

    assert "Time: at least 66 s, plus at most 8 s to settle" in short
    assert " h, plus at most 2.67 min to settle" in long
    assert "0.00" not in short
