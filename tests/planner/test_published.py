"""The paper as published: every plotted value, and which trials each value hangs on."""

from dataclasses import replace

import pytest

from wattshed.datasets.profiles import read_profile
from wattshed.datasets.published import alpaca_input_lengths, published_points
from wattshed.domain.measurement import Measurement, Profile
from wattshed.planner.published import (
    Difference,
    by_figure,
    compare,
    hybrid_points,
    published_savings,
    sweep_points,
)


@pytest.fixture(scope="module")
def profile() -> Profile:
    """The paper's trials."""
    return read_profile("bundled:wilkins2024")


def differences(profile: Profile) -> list[Difference]:
    """Every published point beside what the profile gives."""
    lengths, queries = alpaca_input_lengths()
    return compare(sweep_points(profile) + hybrid_points(profile, lengths, queries), published_points())


def altered(profile: Profile, wanted: Measurement) -> Profile:
    """The profile with the runtime and energy of one trial doubled."""
    assert wanted.gpu_energy_j is not None
    twin = replace(wanted, runtime_s=2 * wanted.runtime_s, gpu_energy_j=2 * wanted.gpu_energy_j)
    trials = tuple(twin if trial is wanted else trial for trial in profile.measurements)
    return replace(profile, measurements=trials)


def failing(profile: Profile) -> set[tuple[str, str, str | None, int | None]]:
    """Points that the profile no longer reproduces."""
    return {
        (d.published.figure, d.published.series, d.published.model, d.published.tokens)
        for d in differences(profile)
        if d.relative_difference > 1e-5
    }


def test_every_published_value_is_reproduced(profile: Profile) -> None:
    """All 564 + 40 values come out of the trials within 1e-5 relative."""
    figures = by_figure(differences(profile))

    assert {figure.figure: figure.points for figure in figures} == {
        "figure 1": 284,
        "figure 2": 280,
        "figure 4": 22,
        "figure 5": 18,
    }
    assert max(figure.max_relative_difference for figure in figures) <= 1e-5


def test_published_optimum_and_savings(profile: Profile) -> None:
    """T = 32 twice; 8.20 / 5.88 % and 7.67 / 6.13 % against A100 only / M1 only."""
    lengths, queries = alpaca_input_lengths()

    savings = published_savings(hybrid_points(profile, lengths, queries))

    assert [saving.threshold_tokens for saving in savings] == [32, 32]
    found = [(round(100 * s.against_a100, 2), round(100 * s.against_m1, 2)) for s in savings]
    assert found == [(8.20, 5.88), (7.67, 6.13)]


def test_one_altered_trial_fails_exactly_its_points(profile: Profile) -> None:
    """A trial of Figure 2 that Figures 4 and 5 do not use moves its own cell and nothing else."""
    trial = next(
        t
        for t in profile.measurements
        if (t.system.name, t.system.model, t.experiment) == ("Palmetto Intel+V100", "Llama-2 (7B)", "paper-output")
        and (t.requested_output_tokens, t.trial) == (64, 3)
    )

    assert failing(altered(profile, trial)) == {("figure 2", "Palmetto Intel+V100", "Llama-2 (7B)", 64)}


def test_an_altered_a100_trial_moves_the_sums_it_enters(profile: Profile) -> None:
    """An A100 input trial at m = 64 moves its cell, A100 only, and the hybrids that send length 64 to the A100."""
    trial = next(
        t
        for t in profile.measurements
        if (t.system.name, t.system.model, t.experiment) == ("Swing AMD+A100", "Mistral (7B)", "paper-input")
        and (t.requested_input_tokens, t.trial) == (64, 3)
    )

    failed = failing(altered(profile, trial))

    cell = {("figure 1", "Swing AMD+A100", "Mistral (7B)", 64)}
    sums = {("figure 4", "Swing AMD+A100 only", None, None)}
    hybrids = {("figure 4", "hybrid", None, most) for most in (8, 16, 32, 64)}
    assert failed == cell | sums | hybrids


def test_unused_trials_change_nothing(profile: Profile) -> None:
    """Warm-ups, the omitted A100 node and runs outside the paper stand in no figure."""
    unused = [
        next(t for t in profile.measurements if t.warm_up and t.system.name == "Swing AMD+A100"),
        next(t for t in profile.measurements if t.system.name == "Palmetto Intel+A100"),
        next(t for t in profile.measurements if t.experiment == "paper-input-64"),
    ]

    assert [failing(altered(profile, trial)) for trial in unused] == [set(), set(), set()]
