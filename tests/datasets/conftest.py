"""The reference data, where it is there, and a small profile that is sound."""

from pathlib import Path

import pytest

from wattshed.datasets.manifest import Limit, Manifest
from wattshed.datasets.profiles import write_profile
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System

REFERENCE = Path(__file__).resolve().parents[2] / ".." / "shared" / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """The reference data beside the repository."""
    if not REFERENCE.is_dir():
        pytest.skip("needs the reference data at ../shared/reference")
    return REFERENCE


@pytest.fixture
def manifest() -> Manifest:
    """The manifest of `profile`."""
    return Manifest(
        name="tiny",
        title="Two trials",
        source="this test",
        licence="CC0",
        measured="2025",
        limits=(Limit(system="box", model="llm", max_output_tokens=64, reason="it stops there"),),
        validation_experiments=("sweep",),
    )


@pytest.fixture
def profile(manifest: Manifest) -> Profile:
    """Two trials of one cell, the second with a note."""
    box = System("box", "llm", "GPU")
    trials = [
        Measurement(box, "sweep", 8, 32, 9, 32, number, False, 1.5 + number, "GPU board", gpu_energy_j=80.0 + number)
        for number in range(2)
    ]
    return Profile("tiny", tuple(trials), manifest.limits_by_system, frozenset({"sweep"}))


@pytest.fixture
def directory(profile: Profile, manifest: Manifest, tmp_path: Path) -> Path:
    """`profile` on disk."""
    write_profile(profile, manifest, tmp_path / "tiny")
    return tmp_path / "tiny"
