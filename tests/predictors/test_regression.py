"""The thesis's regression."""

import numpy as np
import pytest

from tests.predictors.cases import fitted, grid, profile
from wattshed.domain.measurement import Profile
from wattshed.predictors.fit import fit


def test_recovers_its_own_form() -> None:
    """Data that follow a0 m + a1 n + a2 m n give these coefficients back, and no residual."""
    regression = fitted(profile(lambda m, n: 0.5 * m + 2 * n + 0.01 * m * n), "regression")

    assert regression.energy.coefficients == pytest.approx([0.5, 2, 0.01])
    assert regression.energy.residual_sd == pytest.approx(0, abs=1e-6)


def test_standard_errors_are_those_of_least_squares() -> None:
    """One standard deviation of a coefficient is what repeating the noise gives, within the reach of 17 cells."""
    truth = profile(lambda m, n: 0.5 * m + 2 * n + 0.01 * m * n, noise=0.05, trials=1)

    energy = fitted(truth, "regression").energy

    off = energy.coefficients - [0.5, 2, 0.01]
    assert (np.abs(off) < 3 * np.linalg.norm(energy.factor, axis=1)).all()


def test_is_useless_for_small_queries(paper: Profile) -> None:
    """On the paper's trials the form is off by hundreds of per cent where most queries are, and may go negative."""
    pair = ("Swing AMD+A100", "Llama-2 (7B)")

    ours, theirs = (fit(paper, kind=kind, only=[pair]).predictor(*pair) for kind in ("prefix", "regression"))

    small = grid((8, 16, 32), (8, 16, 32))
    assert np.abs(theirs.predict(*small).energy_j / ours.predict(*small).energy_j - 1).mean() > 2
