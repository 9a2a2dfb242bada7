"""Fits with coefficients of at least 0 to cell means that count by relative error; forms of positive terms share it.

Nothing that a query costs can then be below zero, and nothing falls where every term rises. Cells count by relative
error, or the longest would drown the rest.
"""

from collections.abc import Sequence

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.errors import InputError
from wattshed.predictors.curve import Z_95

_DIRECTIONS = 8
"""Directions of chance that are kept, of about twenty: on `bundled:wilkins2024` they hold 99.5 % of the variance."""


def scale(n: Floats, means: Floats) -> Floats:
    """What an error in each of C cells is relative to, shape (C,).

    Its mean, or as many of the cheapest tokens where that is not above 0: a mean may be negative where the source took
    idle energy off, and it stays in the fit all the same.
    """
    per_token = means / n
    if not (per_token > 0).any():
        raise InputError("no cell has a positive mean")
    positive: Floats = n * np.maximum(per_token, per_token[per_token > 0].min())
    return positive


def solved(design: Floats, relative: Floats) -> Floats:
    """The non-negative coefficients, shape (K,), that bring `design` @ them nearest to `relative`, shape (C,)."""
    from scipy.optimize import nnls  # here, because predicting must not need the extra that fitting needs

    return nnls(design, relative)[0]


def spread(replicates: Floats, design: Floats) -> Floats:
    """A factor of the covariance of the coefficients, shape (K, P), along P directions in which replicates differ most.

    What differs counts by its effect on the cells, relative to their size: `design` has shape (C, K).
    """
    deviations = (replicates - replicates.mean(axis=0)) / np.sqrt(len(replicates) - 1)
    scores = np.linalg.svd(deviations @ design.T, full_matrices=False)[0][:, :_DIRECTIONS]
    return np.ascontiguousarray(deviations.T @ scores)


def misfit(held_out: Sequence[Floats]) -> float:
    """Relative standard error at cells left out of the fit, widened so that 1.96 of it reach as far as Student's t.

    0 where no cell can be left out. Source of the widening, t = z (1 + (z^2 + 1) / 4F) for F errors: Abramowitz and
    Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    if not held_out:
        return 0.0
    errors = np.concatenate(held_out)
    return float(np.sqrt(np.mean(errors**2)) * (1 + (Z_95**2 + 1) / (4 * errors.size)))
