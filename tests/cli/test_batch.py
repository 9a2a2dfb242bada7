"""`wattshed fit` and `wattshed predict` on a profile that was measured at several concurrencies."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran
from tests.predictors.batches import PAIR, batches, truth
from wattshed.datasets.manifest import Manifest
from wattshed.datasets.profiles import write_profile

Wattshed = Callable[..., Ran]


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile directory with batch cells, and an empty folder to run in."""
    measured = batches(truth, noise=0.01)
    manifest = Manifest(name=measured.name, title="Batches", source="made up", licence="CC0", measured="never")
    write_profile(measured, manifest, tmp_path / "batches")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "batches"


def test_fit_learns_from_all_concurrencies(profile: Path, wattshed: Wattshed) -> None:
    """The batch form takes every cell and prints errors of counts left out."""
    ran = wattshed("fit", profile, "--kind", "batch", "--json")

    (pair,) = ran.document["systems"]
    assert (pair["system"], pair["model"]) == PAIR
    assert pair["energy"]["cells"] == 42
    assert max(pair[quantity]["held_out_mape"] for quantity in ("energy", "runtime")) < 0.05


def test_fit_names_the_form_that_can(profile: Path, wattshed: Wattshed) -> None:
    """The default form knows one concurrency; the error says which one to ask for."""
    ran = wattshed("fit", profile)

    assert ran.exit_code == 2
    assert "only the batch predictor tells apart" in ran.err


def test_predict_asks_at_a_concurrency(profile: Path, wattshed: Wattshed) -> None:
    """From the file, alone and among eight: in company a query takes longer and costs less."""
    wattshed("fit", profile, "--kind", "batch")
    ask = ("predict", "--predictor", "predictor.json", "--system", PAIR[0], "--model", PAIR[1], "--tokens", "512,128")

    alone, among = wattshed(*ask, "--json").document, wattshed(*ask, "--concurrency", 8, "--json").document

    assert (alone["concurrency"], among["concurrency"]) == (1, 8)
    assert among["points"][0]["energy_j"] == pytest.approx(truth(512, 128, 8)[0] / 8, rel=0.02)
    assert among["points"][0]["energy_j"] < alone["points"][0]["energy_j"]
    assert among["points"][0]["runtime_s"] > alone["points"][0]["runtime_s"]
    assert "8 in flight" in wattshed(*ask, "--concurrency", 8).out


def test_predict_refuses_a_concurrency_that_its_form_does_not_know(wattshed: Wattshed) -> None:
    """A prefix predictor has one concurrency, and the flag is refused with the way out."""
    query = ("--system", "M1-Pro", "--model", "mistral", "--tokens", "32,32", "--concurrency", 2)

    ran = wattshed("predict", "--profile", "bundled:wilkins2024", *query)

    assert ran.exit_code == 2
    assert "leave out --concurrency, or use --kind batch" in ran.err
