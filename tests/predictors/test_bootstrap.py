"""Resampling of trials within cells."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.predictors.cases import profile
from wattshed.domain.measurement import cells
from wattshed.errors import InputError
from wattshed.predictors.bootstrap import REPLICATES, Bootstrap, pooled_cells, support_of

CELL = st.integers(1, 9).flatmap(lambda trials: arrays(np.float64, (trials, 2), elements=st.floats(-1e6, 1e6)))


@settings(deadline=None, max_examples=30)
@given(st.lists(CELL, min_size=1, max_size=4))
def test_resampled_means_stay_within_their_cell(trials: list[np.ndarray]) -> None:
    """Row 0 is the mean as recorded; every other lies between the least and the largest trial of its own cell."""
    means = Bootstrap(np.random.default_rng(0)).means(trials)

    assert means.shape == (2, REPLICATES + 1, len(trials))
    for at, cell in enumerate(trials):
        reach = 1e-9 * np.abs(cell).max()
        np.testing.assert_allclose(means[:, 0, at], cell.mean(axis=0))
        assert (cell.min(axis=0) - reach <= means[:, :, at].T).all()
        assert (cell.max(axis=0) + reach >= means[:, :, at].T).all()


def test_spread_is_the_standard_error_of_the_mean() -> None:
    """Resampled means scatter by s / sqrt(K), s being the plain standard deviation of the K trials."""
    cell = np.random.default_rng(5).normal(100, 10, (40, 1))

    means = Bootstrap(np.random.default_rng(0), 2000).means([cell])

    assert means[0, 1:, 0].std() == pytest.approx(cell.std() / 40**0.5, rel=0.06)


def test_energy_and_runtime_of_a_trial_are_drawn_together() -> None:
    """What is proportional trial by trial is proportional in every resampling."""
    cell = np.array([[1.0, 10.0], [2.0, 20.0], [5.0, 50.0]])

    energy_j, runtime_s = Bootstrap(np.random.default_rng(0)).means([cell])

    np.testing.assert_allclose(10 * energy_j, runtime_s)


def test_too_few_cells_are_refused() -> None:
    """Four cells are no curve; the message says how many there are."""
    few = profile(lambda m, n: 1.0).where(lambda trial: trial.requested_input_tokens > 128)

    with pytest.raises(InputError, match="5 cells with total energy are needed, found 4"):
        pooled_cells(few.measurements, "total")


def test_support_is_the_box_of_the_cells() -> None:
    """The measured range spans the cells, and its longest query is the longest one measured."""
    support = support_of(cells(profile(lambda m, n: 1.0).measurements, "total"))

    assert (support.min_input_tokens, support.max_input_tokens) == (8, 2048)
    assert (support.min_output_tokens, support.max_output_tokens) == (8, 2048)
    assert support.max_total_tokens == 2080
