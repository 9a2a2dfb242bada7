"""The prefix form against sums done the slow way, and against systems whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.predictors.cases import PAIR, fitted, grid, profile, summed
from wattshed.domain.measurement import Profile
from wattshed.predictors.fit import fit
from wattshed.predictors.prefix import PrefixBasis

KNOTS = (8, 16, 32, 64)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 150), st.integers(1, 150))
def test_closed_form_equals_the_sum_step_by_step(m: int, n: int) -> None:
    """The terms of a query are those of its steps, added up."""
    starts, ends = np.array(KNOTS[:-1]), np.array([*KNOTS[1:-1], np.inf])
    lengths = np.arange(m, m + n)[:, None]
    ramps = (np.clip(lengths, starts, ends) - starts) / np.diff(KNOTS)

    terms = PrefixBasis(KNOTS).weighted(np.array([m]), np.array([n]), np.eye(5))

    np.testing.assert_allclose(terms[0], [1, n, *ramps.sum(axis=0)], rtol=1e-12)


def test_looking_lengths_up_changes_nothing() -> None:
    """Many queries share a table of sums, and get the answers, one by one and in sum, that few would get."""
    m, n, queries = np.random.default_rng(1).integers(1, 300, (3, 1000))
    basis, weights = PrefixBasis(KNOTS), np.eye(5)

    many, summed = basis.weighted(m, n, weights), basis.summed(m, n, queries)

    few = np.vstack([basis.weighted(m[at : at + 10], n[at : at + 10], weights) for at in range(0, 1000, 10)])
    np.testing.assert_allclose(many, few, rtol=1e-12)
    np.testing.assert_allclose(summed, queries @ few, rtol=1e-12)


@settings(deadline=None, max_examples=15)
@given(base=st.floats(0, 50), flat=st.floats(0.5, 5), slope=st.floats(0, 0.05), curve=st.floats(0, 1e-5))
def test_two_sweeps_give_the_whole_plane(base: float, flat: float, slope: float, curve: float) -> None:
    """A known e(L), measured along one row and one column, is predicted within 2 % on a grid that no fit saw."""
    truth = summed(base, lambda length: flat + slope * length + curve * length**2)
    m, n = grid((8, 100, 1500), (10, 50, 300))

    predicted = fitted(profile(truth, trials=1), "prefix").predict(m, n).energy_j

    np.testing.assert_allclose(predicted, [truth(*cell) for cell in zip(m, n, strict=True)], rtol=0.02)


def test_a_plateau_that_breaks_into_a_slope_is_followed() -> None:
    """The shape of small models on large accelerators: flat while memory binds, then rising."""
    truth = summed(0.0, lambda length: max(5.0, length / 50))
    m, n = grid((8, 100, 400, 1500), (10, 100, 500))

    predicted = fitted(profile(truth, trials=1), "prefix").predict(m, n).energy_j

    np.testing.assert_allclose(predicted, [truth(*cell) for cell in zip(m, n, strict=True)], rtol=0.06)


def test_more_noise_widens_the_interval() -> None:
    """The standard deviation grows with the scatter of the trials."""
    truth = summed(1.0, lambda length: 2 + length / 100)
    at = np.array([200]), np.array([100])

    quiet, loud = (fitted(profile(truth, noise=noise), "prefix").predict(*at).energy_sd_j for noise in (0.01, 0.1))

    assert 3 * quiet < loud


def test_a_cell_below_zero_stays_in_the_fit(paper: Profile) -> None:
    """Energy net of idle may be negative; the curve is still finite, non-negative, and not dragged down to zero."""
    pair = ("Palmetto Intel+V100", "Mistral (7B)")

    predictor = fit(paper, channel="cpu", only=[pair]).predictor(*pair)

    assert (predictor.predict(np.array([32]), np.array([512])).energy_j > 500).all()


def test_energy_that_is_never_positive_cannot_be_fitted() -> None:
    """A channel without one positive mean has no curve, and the reason is kept."""
    found = fit(profile(lambda m, n: -1.0))

    assert found.skipped[PAIR] == "no cell has a positive mean"


@pytest.mark.parametrize("knots", [(8,), (8, 8), (16, 8), (0, 8)])
def test_knots_rise(knots: tuple[int, ...]) -> None:
    """A basis refuses knots that make no ramps."""
    with pytest.raises(ValueError, match="rising prefix lengths"):
        PrefixBasis(knots)
