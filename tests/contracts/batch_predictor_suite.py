"""The suite that every predictor of batches passes, on top of the one for predictors.

class TestMyBatches(BatchPredictorSuite):
    @pytest.fixture
    def batch(self) -> BatchPredictor:
        return BatchPredictor(...)

What `batch.at(b)` gives goes through `predictor_suite.py`.
"""

import numpy as np
import pytest

from wattshed.predictors.batch import BatchPredictor

OCCUPANCIES = (0, 1, 2, 3, 7, 12, 31)
ROUNDING = 1 + 1e-9
"""Sums in another order differ by this much."""


class BatchPredictorSuite:
    """Tests of the contract; a subclass gives the fixture `batch`."""

    @pytest.fixture
    def batch(self) -> BatchPredictor:
        """The predictor under test."""
        raise NotImplementedError("a subclass of BatchPredictorSuite says which predictor it tests")

    @pytest.fixture
    def shapes(self) -> np.ndarray:
        """Token counts of queries of all sizes, shape (2, 100)."""
        return np.exp2(np.random.default_rng(7).uniform(0, 12, (2, 100))).astype(np.int64)

    @pytest.mark.parametrize("occupancy", OCCUPANCIES)
    def test_company_slows_everybody(self, batch: BatchPredictor, shapes: np.ndarray, occupancy: int) -> None:
        """Nobody is quicker, and no batch is cheaper, for one request more."""
        fewer, more = occupancy + 1, occupancy + 2

        before, after = (batch.at(b).predict(*shapes) for b in (fewer, more))

        assert (before.runtime_s <= after.runtime_s * ROUNDING).all()
        assert (fewer * before.energy_j <= more * after.energy_j * ROUNDING).all()

    @pytest.mark.parametrize("occupancy", OCCUPANCIES)
    def test_the_marginal_is_a_difference(self, batch: BatchPredictor, shapes: np.ndarray, occupancy: int) -> None:
        """One request more: the batch's joules with it less those without, its own seconds, and what others lose."""
        with_it = batch.at(occupancy + 1).expect(*shapes)
        energy_j, slowdown_s = with_it.energy_j, np.zeros(shapes.shape[1])
        if occupancy:
            without = batch.at(occupancy).expect(*shapes)
            energy_j = (occupancy + 1) * with_it.energy_j - occupancy * without.energy_j
            slowdown_s = occupancy * (with_it.runtime_s - without.runtime_s)

        marginal = batch.marginal(*shapes, occupancy=occupancy)

        np.testing.assert_allclose(marginal.energy_j, energy_j, rtol=1e-9)
        np.testing.assert_allclose(marginal.runtime_s, with_it.runtime_s, rtol=1e-9)
        np.testing.assert_allclose(marginal.slowdown_s, slowdown_s, rtol=1e-9)

    @pytest.mark.parametrize("occupancy", OCCUPANCIES)
    def test_marginals_are_numbers_with_errors(self, batch: BatchPredictor, shapes: np.ndarray, occupancy: int) -> None:
        """All is finite, and nothing is below zero: neither joules nor seconds nor their standard deviations."""
        marginal = batch.marginal(*shapes, occupancy=occupancy)

        parts = [marginal.energy_j, marginal.runtime_s, marginal.slowdown_s]
        parts += [marginal.energy_sd_j, marginal.runtime_sd_s, marginal.slowdown_sd_s]
        assert np.isfinite(parts).all()
        assert np.min(parts) >= 0

    def test_flags_concurrencies_that_were_not_measured(self, batch: BatchPredictor) -> None:
        """Inside the range of concurrencies nothing is extrapolated; beyond it everything is."""
        support = batch.fitted.support
        at = np.array([support.min_input_tokens]), np.array([support.min_output_tokens])
        least, most = support.concurrencies[0], support.concurrencies[-1]

        assert not batch.at(least).predict(*at).extrapolated.any()
        assert not batch.at(most).predict(*at).extrapolated.any()
        assert batch.at(most + 1).predict(*at).extrapolated.all()
        assert not batch.marginal(*at, occupancy=most - 1).extrapolated.any()
        assert batch.marginal(*at, occupancy=most).extrapolated.all()

    def test_nobody_in_flight_is_refused(self, batch: BatchPredictor) -> None:
        """A prediction is of a request, so there is at least one."""
        with pytest.raises(ValueError, match="at least one request"):
            batch.at(0)
