"""What ships with the package is the reference data, re-encoded, and our own campaigns, published: nothing else."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from wattshed.datasets.profiles import BUNDLED, defects, read_profile

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "bundle_reference.py"
OURS = ("h100", "h200")
"""The profiles that were measured, not re-encoded."""
MACHINES = {"h100": "H100 80GB", "h200": "H200 141GB"}
"""What their systems are called, before the brackets."""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The developer's tool that makes the bundle."""
    spec = spec_from_file_location("bundle_reference", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bundle_equals_a_fresh_encoding(tool: ModuleType, reference: Path, tmp_path: Path) -> None:
    """Running the tool again gives the same tables and the same manifest."""
    tool.main(reference, tmp_path)

    fresh = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")}
    encoded = {path.relative_to(BUNDLED) for path in BUNDLED.rglob("*.*") if path.suffix != ".md"}
    assert fresh == {path for path in encoded if path.parts[0] not in OURS}
    for path in fresh:
        if path.suffix == ".parquet":
            assert_frame_equal(pl.read_parquet(tmp_path / path), pl.read_parquet(BUNDLED / path))
        else:
            assert (tmp_path / path).read_text() == (BUNDLED / path).read_text()


def test_every_number_of_the_source_is_kept(reference: Path) -> None:
    """Trial by trial the bundled figures are those of the source, to the last digit, gaps included."""
    ours = pl.read_parquet(BUNDLED / "wilkins2024" / "trials.parquet")
    theirs = pl.read_csv(reference / "wilkins2024" / "trials.csv", infer_schema_length=None)

    names = {
        "runtime_s": "runtime_s",
        "compute_runtime_s": "runtime_compute_s",
        "gpu_energy_j": "gpu_energy_j",
        "cpu_energy_j": "cpu_energy_j",
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "logged_total_tokens": "logged_total_tokens",
        "trial": "iteration",
        "warm_up": "warmup",
        "devices": "n_gpus",
    }
    assert_frame_equal(ours.select(*names), theirs.select(pl.col(theirs).alias(our) for our, theirs in names.items()))


def test_reasons_say_what_is_missing_or_odd() -> None:
    """Trials without processor energy, warm-ups and restored lengths bear a code, and nobody else does."""
    trials = pl.read_parquet(BUNDLED / "wilkins2024" / "trials.parquet")

    def coded(code: str) -> pl.Series:
        return trials["reasons"].fill_null("").str.split(";").list.contains(code)

    assert (coded("no_cpu_meter") == trials["cpu_energy_j"].is_null()).all()
    assert (coded("warm_up") == trials["warm_up"]).all()
    assert coded("negative_cpu").sum() == (trials["cpu_energy_j"] < 0).sum() == 10
    assert coded("input_restored").sum() == 81


def test_the_bundle_is_small() -> None:
    """All bundled data together stay below 2 MB."""
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()) < 2_000_000


def test_every_data_set_has_its_card() -> None:
    """Each bundled directory says in a README where its numbers come from."""
    for directory in BUNDLED.iterdir():
        words = (directory / "README.md").read_text()
        assert "github" in words or "measured by wattshed" in words


@pytest.mark.parametrize("name", OURS)
def test_publishing_the_raw_campaigns_again_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    """What ships as `bundled:NAME` is what the script makes of the raw bundles."""
    wattshed = Path(sys.executable).with_name("wattshed")
    again = tmp_path / name

    subprocess.run(  # our own script
        [ROOT / "campaigns" / "publish.sh", name, again], check=True, env=os.environ | {"WATTSHED": str(wattshed)}
    )

    names = sorted(path.name for path in (BUNDLED / name).iterdir())
    assert sorted(path.name for path in again.iterdir()) == names
    for file in names:
        assert (again / file).read_bytes() == (BUNDLED / name / file).read_bytes(), file


@pytest.mark.parametrize("name", OURS)
def test_our_profiles_are_valid(name: str) -> None:
    """No defect in any of them, and no joules of another boundary than the board's."""
    profile = read_profile(f"bundled:{name}")

    assert defects(f"bundled:{name}") == []
    assert all(trial.cpu_energy_j is None for trial in profile.measurements)
    assert {system.name.partition(" (")[0] for system in profile.systems} == {MACHINES[name]}
