"""The paper's table."""

import numpy as np
import pytest

from tests.predictors.cases import PAIR, fitted, profile, trial
from wattshed.domain.measurement import Profile
from wattshed.predictors.fit import fit
from wattshed.predictors.table import TableBasis


def test_joules_per_token_come_from_the_nearest_power_of_two() -> None:
    """E is (m + n) times the J per token measured at 2^round(log2 m), whatever n; R is the runtime there."""
    table = fitted(profile(lambda m, n: (m + n) * m), "table")  # m J per token at input length m

    prediction = table.predict(np.array([90, 91, 100]), np.array([10, 9, 400]))

    assert prediction.energy_j.tolist() == pytest.approx([100 * 64, 100 * 128, 500 * 128])  # 2^6.5 is 90.5
    assert prediction.runtime_s.tolist() == pytest.approx([96 * 64 / 100, 160 * 128 / 100, 160 * 128 / 100])


def test_lengths_beyond_the_sweep_take_its_ends() -> None:
    """There is no bucket below the first nor above the last."""
    table = fitted(profile(lambda m, n: (m + n) * m), "table")

    assert table.predict(np.array([1, 9000]), np.array([1, 1])).energy_j.tolist() == pytest.approx([2 * 8, 9001 * 2048])


def test_iterations_with_a_zero_in_their_number_are_dropped() -> None:
    """As the authors did: trials 0, 10, 20, ... count for nothing here."""
    sound = profile(lambda m, n: float(m + n))
    odd = tuple(trial("input", (8, 32), number, 1e6) for number in (0, 10, 20, 101))

    table = fitted(Profile("odd", sound.measurements + odd), "table")

    assert table.predict(np.array([8]), np.array([32])).energy_j == pytest.approx(40)


def test_equals_the_published_rule_on_the_bundled_trials(paper: Profile) -> None:
    """J per token and runtime are plain means over the authors' trials of the cell."""
    pair = ("Swing AMD+A100", "Llama-2 (7B)")
    rows = [
        one
        for one in paper.measurements
        if (one.system.name, one.system.model, one.experiment) == (*pair, "paper-input")
        and one.requested_input_tokens == 64
        and "0" not in str(one.trial)
    ]
    per_token = np.mean([(one.gpu_energy_j + one.cpu_energy_j) / one.logged_total_tokens for one in rows])

    prediction = fit(paper, kind="table", only=[pair]).predictor(*pair).predict(np.array([60]), np.array([40]))

    assert prediction.energy_j == pytest.approx(100 * per_token)
    assert prediction.runtime_s == pytest.approx(np.mean([one.runtime_s for one in rows]))


def test_needs_a_logged_token_count(paper: Profile) -> None:
    """Where the source logged none, there is no divisor, and the reason says so."""
    found = fit(paper, kind="table", only=[("Swing AMD+A100", "Llama-2 (70B)")])

    assert "logged tokens are needed, found 0" in found.skipped["Swing AMD+A100", "Llama-2 (70B)"]


def test_needs_an_input_sweep() -> None:
    """Trials of an output sweep alone make no table."""
    found = fit(profile(lambda m, n: 1.0).where(lambda one: one.experiment == "output"), kind="table")

    assert "5 input lengths" in found.skipped[PAIR]


def test_buckets_are_lengths() -> None:
    """A table without buckets is refused."""
    with pytest.raises(ValueError, match="one or more rising input lengths"):
        TableBasis((), per_token=True)
