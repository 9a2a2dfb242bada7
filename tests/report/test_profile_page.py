"""The report of a profile draws what was measured, and says what was not."""

from dataclasses import replace

import pytest

from wattshed.datasets.profiles import read_profile
from wattshed.domain.measurement import Measurement, Profile
from wattshed.report.profile_page import best_channel, profile_pictures, profile_sections
from wattshed.report.profile_points import knee, quantities, sweep


@pytest.fixture(scope="module")
def small() -> Profile:
    """One model of the paper on two of its machines."""
    kept = {("M1-Pro", "Llama-2 (7B)"), ("Swing AMD+A100", "Llama-2 (7B)")}
    profile = read_profile("bundled:wilkins2024")
    return profile.where(lambda trial: (trial.system.name, trial.system.model) in kept)


def changed(profile: Profile, **changes: object) -> Profile:
    """The profile with fields of every trial replaced."""
    return replace(profile, measurements=tuple(replace(t, **changes) for t in profile.measurements))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("missing", "channel"),
    [
        ({}, "total"),
        ({"cpu_energy_j": None}, "gpu"),
        ({"gpu_energy_j": None}, "cpu"),
        ({"gpu_energy_j": None, "cpu_energy_j": None}, "gpu"),
        ({"gpu_energy_j": None, "cpu_energy_j": None, "platform_energy_j": 9.0}, "platform"),
    ],
)
def test_the_widest_measured_boundary_is_drawn(small: Profile, missing: dict[str, float | None], channel: str) -> None:
    """Both parts where both were measured, else the one; without any meter the panels say so."""
    assert best_channel(changed(small, **missing)) == channel


def test_a_batch_without_a_meter_is_drawn(small: Profile) -> None:
    """Runtimes of several concurrencies make a picture even where no joule was counted."""

    def at(trial: Measurement, concurrency: int) -> Measurement:
        return replace(trial, system=replace(trial.system, concurrency=concurrency))

    bare = changed(small, gpu_energy_j=None, cpu_energy_j=None).measurements
    both = tuple(at(trial, concurrency) for concurrency in (1, 4) for trial in bare)

    assert "batch" in profile_pictures(replace(small, measurements=both), None, {})


def test_random_weights_stand_beside_the_published_model(small: Profile) -> None:
    """A random model of a published architecture is drawn before the bundled systems that ran it."""
    trials = [replace(t, system=replace(t.system, model="random:llama-2-7b")) for t in small.measurements]

    pictures = profile_pictures(replace(small, measurements=tuple(trials)), read_profile("bundled:wilkins2024"), {})

    assert "Grey: wilkins2024" in pictures["input-sweep"].caption


def test_the_knee_lies_where_the_floor_ends(small: Profile) -> None:
    """The A100 is flat up to some 300 input tokens; a sweep that never leaves its floor has no knee."""
    trials = [t for t in small.measurements if t.system.name == "Swing AMD+A100" and not t.warm_up]
    points = sweep(trials, "input", quantities("total")["runtime_s"])

    found = knee(points)

    assert found is not None
    assert 200 < found < 400
    assert knee(points[:4]) is None


def test_every_section_is_there(small: Profile) -> None:
    """What was measured, the figures, and every cell."""
    pictures = profile_pictures(small, None, {"gpu0": [(0.0, 60.0), (1.0, 300.0)]})

    titles = [section.title for section in profile_sections(small, pictures)]

    assert titles == ["What was measured", "Figures", "Every cell"]
