"""Which cells are left out together."""

import numpy as np

from tests.predictors.cases import POWERS, profile, trial
from wattshed.domain.measurement import cells
from wattshed.predictors.folds import folds


def test_a_fold_of_a_sweep_is_one_interior_cell() -> None:
    """Each token count of a sweep is left out alone, but for the smallest and the largest."""
    pooled = cells(profile(lambda m, n: 1.0).measurements, "total")

    masks = folds(pooled)

    assert [int(mask.sum()) for mask in masks] == [1] * 2 * (len(POWERS) - 2)
    ends = {cell for cell, out in zip(pooled, np.any(masks, axis=0), strict=True) if not out}
    assert {(c.experiment, c.requested_input_tokens, c.requested_output_tokens) for c in ends} == {
        ("input", 8, 32),
        ("input", 2048, 32),
        ("output", 32, 8),
        ("output", 32, 2048),
    }


def test_a_fold_of_a_grid_is_a_row_or_a_column() -> None:
    """A whole token count goes, so that nothing at it is left to learn from."""
    pooled = cells([trial("grid", (m, n), 1, 1.0) for m in (8, 16, 32) for n in (10, 20, 30, 40)], "total")

    assert [int(mask.sum()) for mask in folds(pooled)] == [4, 3, 3]
