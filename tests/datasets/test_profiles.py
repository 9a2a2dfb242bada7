"""Profiles survive the disk, and nothing unsound gets onto it."""

import json
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.datasets.manifest import Manifest
from wattshed.datasets.profiles import bundled_profiles, defects, read_manifest, read_profile, write_profile
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.schema import PROFILE, REASONS, SYSTEM, TRIAL, WINDOW
from wattshed.domain.system import Limits, System
from wattshed.errors import InputError, MissingError

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
COUNT = st.integers(1, 10**6)
AMOUNT = st.floats(0, 1e9, allow_nan=False)


def optional(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """`None`, or one of the values."""
    return st.none() | values


SYSTEMS = st.builds(
    System, TEXT, TEXT, TEXT, COUNT, optional(TEXT), optional(TEXT), optional(st.booleans()), COUNT, optional(TEXT)
)
TRIALS = st.builds(
    Measurement,
    system=SYSTEMS,
    experiment=TEXT,
    requested_input_tokens=COUNT,
    requested_output_tokens=COUNT,
    input_tokens=COUNT,
    output_tokens=COUNT,
    trial=COUNT,
    warm_up=st.booleans(),
    runtime_s=AMOUNT,
    boundary=TEXT,
    order=optional(COUNT),
    compute_runtime_s=optional(AMOUNT),
    ttft_s=optional(AMOUNT),
    gpu_energy_j=optional(AMOUNT),
    cpu_energy_j=optional(st.floats(-1e9, 1e9)),
    package_energy_j=optional(AMOUNT),
    memory_energy_j=optional(AMOUNT),
    platform_energy_j=optional(AMOUNT),
    idle_power_w=optional(AMOUNT),
    sensor_uncertainty=optional(AMOUNT),
    logged_total_tokens=optional(COUNT),
    energy_method=optional(TEXT),
    reasons=st.sets(st.sampled_from(sorted(REASONS))).map(
        lambda codes: (*sorted(codes - {"long_output"}), "long_output")
    ),
    note=optional(TEXT),
)


@settings(deadline=None, max_examples=20)
@given(st.lists(TRIALS, min_size=1, max_size=5, unique_by=lambda trial: trial.trial))
def test_what_is_written_is_read_again(trials: list[Measurement]) -> None:
    """A round trip through the disk changes no trial, no limit and no name."""
    first = trials[0].system
    limit = {"system": first.name, "model": first.model, "max_total_tokens": 7, "reason": "memory"}
    manifest = Manifest.model_validate_json(
        Manifest(name="round", title="", source="", licence="", measured="")
        .model_copy(update={"limits": (limit,), "validation_experiments": (trials[0].experiment,)})
        .model_dump_json(warnings=False)
    )
    profile = Profile("round", tuple(trials), manifest.limits_by_system, frozenset(manifest.validation_experiments))

    with TemporaryDirectory() as directory:
        write_profile(profile, manifest, Path(directory))

        assert read_profile(directory) == profile
        assert read_manifest(directory) == manifest


def test_the_bundled_profile_is_sound_and_whole() -> None:
    """`bundled:wilkins2024` has all 3,161 trials of 17 systems and no defect."""
    profile = read_profile("bundled:wilkins2024")

    assert bundled_profiles() == ("h100", "h200", "wilkins2024")
    assert defects("bundled:wilkins2024") == []
    assert len(profile.measurements) == 3161
    assert len(profile.systems) == 17
    assert profile.validation_experiments == {"paper-input-64", "scale-output-earlier-run"}


def test_the_bundled_limits_are_those_of_the_paper() -> None:
    """The M1 stops at 512 output tokens and cannot run Falcon; the V100 stops at 1,024 and 2,048."""
    profile = read_profile("bundled:wilkins2024")

    largest = {pair: limits.max_output_tokens for pair, limits in profile.limits.items()}

    assert not profile.limits_of("M1-Pro", "Falcon (7B)").allow(1, 1)
    assert largest["M1-Pro", "Llama-2 (7B)"] == largest["M1-Pro", "Mistral (7B)"] == 512
    assert largest["Palmetto Intel+V100", "Falcon (7B)"] == 1024
    assert largest["Palmetto Intel+V100", "Llama-2 (7B)"] == 2048
    assert profile.limits_of("Swing AMD+A100", "Llama-2 (7B)") == Limits()


def test_reading_the_bundled_profile_is_quick() -> None:
    """3,161 rows are checked and read in a blink (some 50 ms on an idle core; the bound allows for a busy one)."""
    read_profile("bundled:wilkins2024")

    durations_s = []
    for _ in range(3):
        start_s = time.process_time()
        read_profile("bundled:wilkins2024")
        durations_s.append(time.process_time() - start_s)

    assert min(durations_s) < 0.3


def test_the_columns_of_the_schema_are_the_fields_of_the_domain() -> None:
    """Every column is a field of `System` or `Measurement` and the reverse; only `system` is called `name` there."""
    system = ["system" if name == "name" else name for name in System.__dataclass_fields__]

    assert [column.name for column in SYSTEM] == system
    assert {column.name for column in TRIAL + WINDOW} == set(Measurement.__dataclass_fields__) - {"system"}
    assert len({column.name for column in PROFILE}) == len(PROFILE)


def test_a_bundle_with_its_one_campaign_as_it_used_to_be_is_read(directory: Path) -> None:
    """Bundles made before a profile could hold several campaigns have one under `campaign`, named as the profile is."""
    path = directory / "manifest.json"
    record = {"settings": {"seed": 1}, "settings_sha256": "0", "ended": "complete", "files": {}}
    record |= {"sessions": [], "idle": [], "cells": [], "failures": []}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"campaign": record}))

    read = read_manifest(directory)

    assert read.campaign is not None
    assert (read.campaign.name, read.campaign.settings, len(read.campaigns)) == (read.name, {"seed": 1}, 1)
    assert Manifest.model_validate_json(read.encoded()) == read


def test_an_unsound_profile_is_not_written(profile: Profile, manifest: Manifest, tmp_path: Path) -> None:
    """Writing checks first: an unsound trial leaves nothing behind."""
    hot = replace(profile.measurements[0], gpu_energy_j=float("nan"))

    with pytest.raises(InputError, match="row 3, field 'gpu_energy_j': is nan"):
        write_profile(replace(profile, measurements=(*profile.measurements, hot)), manifest, tmp_path / "new")

    assert not (tmp_path / "new").exists()


def test_a_manifest_of_another_profile_is_refused(profile: Profile, manifest: Manifest, tmp_path: Path) -> None:
    """Name, limits and validation experiments of profile and manifest are the same, or nothing is written."""
    with pytest.raises(ValueError, match="differs"):
        write_profile(replace(profile, limits={}), manifest, tmp_path)


def test_rewriting_keeps_other_files(profile: Profile, manifest: Manifest, directory: Path) -> None:
    """Writing a profile again replaces its two files, leaves no traces, and touches nothing else there."""
    (directory / "README.md").write_text("mine")

    write_profile(replace(profile, measurements=profile.measurements[:1]), manifest, directory)

    assert sorted(path.name for path in directory.iterdir()) == ["README.md", "manifest.json", "trials.parquet"]
    assert len(read_profile(directory).measurements) == 1


@pytest.mark.parametrize("source", ["bundled:wilkins", "nowhere"])
def test_a_profile_that_is_not_there_is_missing(source: str) -> None:
    """An unknown name is a `MissingError` that says what there is."""
    with pytest.raises(MissingError, match="wilkins2024"):
        read_profile(source)
