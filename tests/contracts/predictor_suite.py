"""The suite that every predictor passes, ours and users'.

class TestMyPredictor(PredictorSuite):
    @pytest.fixture
    def predictor(self) -> Predictor:
        return MyPredictor(...)

    @pytest.fixture
    def reloaded(self, predictor: Predictor) -> Predictor:
        ...                         # the same after a trip through its file
"""

import numpy as np
import pytest

from wattshed.domain.prediction import Prediction
from wattshed.predictors.predictor import Predictor

QUERIES = 200
ROUNDING = 1 + 1e-9
"""Sums in another order differ by this much."""


class PredictorSuite:
    """Tests of the contract; a subclass gives the fixtures `predictor` and `reloaded`."""

    @pytest.fixture
    def predictor(self) -> Predictor:
        """The predictor under test."""
        raise NotImplementedError("a subclass of PredictorSuite says which predictor it tests")

    @pytest.fixture
    def reloaded(self) -> Predictor:
        """The predictor under test, written and read again."""
        raise NotImplementedError("a subclass of PredictorSuite says how its predictor is saved")

    @pytest.fixture
    def shapes(self) -> np.ndarray:
        """Token counts of queries of all sizes, shape (2, QUERIES)."""
        return np.exp2(np.random.default_rng(7).uniform(0, 13, (2, QUERIES))).astype(np.int64)

    def test_every_number_is_finite(self, predictor: Predictor, shapes: np.ndarray) -> None:
        """Whatever is asked, the answer is a number, and no standard deviation is negative."""
        prediction = predictor.predict(*shapes)

        assert np.isfinite(_parts(prediction)).all()
        assert min(prediction.energy_sd_j.min(), prediction.runtime_sd_s.min()) >= 0

    def test_keeps_its_claim_to_be_monotone(self, predictor: Predictor, shapes: np.ndarray) -> None:
        """Who claims it never predicts less than 0, nor less for one token more."""
        if not predictor.monotone:
            pytest.skip("claims nothing")
        m, n = shapes

        here, longer_in, longer_out = (_parts(predictor.predict(*at)) for at in ((m, n), (m + 1, n), (m, n + 1)))

        assert (here[:2] >= 0).all()
        assert (here[:2] <= longer_in[:2] * ROUNDING).all()
        assert (here[:2] <= longer_out[:2] * ROUNDING).all()

    def test_one_query_gets_the_same_answer_as_many(self, predictor: Predictor, shapes: np.ndarray) -> None:
        """An array of queries is answered like its members one by one."""
        together = _parts(predictor.predict(*shapes))

        alone = np.hstack([_parts(predictor.predict(*shapes[:, [at]])) for at in range(QUERIES)])

        np.testing.assert_allclose(together, alone, rtol=1e-9)

    def test_flags_what_was_not_measured(self, predictor: Predictor) -> None:
        """The corners of the measured range are not extrapolated, and one step beyond each is."""
        support = predictor.support
        least, most_in = (support.min_input_tokens, support.min_output_tokens), support.max_input_tokens
        inside = [least, (most_in, support.min_output_tokens), (support.min_input_tokens, support.max_output_tokens)]
        outside = [
            (most_in + 1, least[1]),
            (least[0], support.max_output_tokens + 1),
            (most_in, support.max_total_tokens),
        ]

        flags = predictor.predict(*np.array(inside + outside).T).extrapolated

        assert flags.tolist() == [False] * 3 + [True] * 3

    def test_expects_what_it_predicts(self, predictor: Predictor, shapes: np.ndarray) -> None:
        """`expect` is `predict` without the errors."""
        expected, predicted = predictor.expect(*shapes), predictor.predict(*shapes)

        np.testing.assert_allclose(expected.energy_j, predicted.energy_j, rtol=1e-11, atol=1e-9)
        np.testing.assert_allclose(expected.runtime_s, predicted.runtime_s, rtol=1e-11, atol=1e-9)

    def test_totals_agree_with_predictions(self, predictor: Predictor, shapes: np.ndarray) -> None:
        """The resampled totals scatter around the sum of the predictions, each query as often as it comes."""
        queries = np.random.default_rng(8).integers(1, 9, QUERIES)

        totals, prediction = predictor.totals(*shapes, queries), predictor.predict(*shapes)

        assert min(totals.energy_j.size, totals.runtime_s.size) >= 200
        for resampled, predicted in ((totals.energy_j, prediction.energy_j), (totals.runtime_s, prediction.runtime_s)):
            off = abs(resampled.mean() - queries @ predicted)
            assert off <= 2 * resampled.std() + 1e-9 * abs(resampled.mean())

    def test_survives_its_file_bit_for_bit(self, predictor: Predictor, reloaded: Predictor, shapes: np.ndarray) -> None:
        """A predictor that was saved and loaded says the same to the last bit."""
        queries = np.ones(QUERIES, np.int64)
        ours, theirs = predictor.totals(*shapes, queries), reloaded.totals(*shapes, queries)

        assert _parts(predictor.predict(*shapes)).tobytes() == _parts(reloaded.predict(*shapes)).tobytes()
        assert (ours.energy_j.tobytes(), ours.runtime_s.tobytes()) == (
            theirs.energy_j.tobytes(),
            theirs.runtime_s.tobytes(),
        )
        assert (predictor.kind, predictor.support) == (reloaded.kind, reloaded.support)


def _parts(prediction: Prediction) -> np.ndarray:
    """Energy, runtime and their standard deviations, shape (4, N)."""
    return np.array([prediction.energy_j, prediction.runtime_s, prediction.energy_sd_j, prediction.runtime_sd_s])
