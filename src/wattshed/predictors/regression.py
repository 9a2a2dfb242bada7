"""The form of the authors' thesis, for comparison: e = a0 m + a1 n + a2 m n, and the same for runtime.

Ordinary least squares without an intercept on cell means (METHOD section 1). Least squares on joules serves the largest
cells and gives up the small ones, where the form is off by hundreds of per cent and may go negative; so it claims
nothing. Its standard errors are its own: the covariance of the coefficients and the scatter of the residuals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Measurement
from wattshed.predictors.bootstrap import (
    Bootstrap,
    energy_and_runtime,
    pooled_cells,
    support_of,
    token_means,
)
from wattshed.predictors.curve import Curve, CurvePredictor, Tokens


@dataclass(frozen=True, slots=True)
class BilinearBasis:
    """The terms m, n and m n."""

    @property
    def size(self) -> int:
        """Three."""
        return 3

    def terms(self, input_tokens: Tokens, output_tokens: Tokens) -> Floats:
        """The terms of N queries, shape (N, 3)."""
        m, n = np.asarray(input_tokens, np.float64), np.asarray(output_tokens, np.float64)
        return np.column_stack([m, n, m * n])

    def weighted(self, input_tokens: Tokens, output_tokens: Tokens, weights: Floats) -> Floats:
        """Q sums of the terms of N queries, shape (N, Q)."""
        return self.terms(input_tokens, output_tokens) @ weights

    def summed(self, input_tokens: Integers, output_tokens: Integers, queries: Integers) -> Floats:
        """Each term summed over N shapes weighted by `queries`, shape (3,)."""
        return queries @ self.terms(input_tokens, output_tokens)


def fit_regression(trials: Sequence[Measurement], channel: Channel, bootstrap: Bootstrap) -> CurvePredictor:
    """The thesis's predictor of the one system that `trials` belong to; `InputError` says why there can be none."""
    pooled = pooled_cells(trials, channel)
    basis = BilinearBasis()
    terms = basis.terms(*token_means(pooled))
    energy, runtime = bootstrap.means(energy_and_runtime(pooled))
    return CurvePredictor("regression", support_of(pooled), _curve(basis, terms, energy), _curve(basis, terms, runtime))


def _curve(basis: BilinearBasis, terms: Floats, means: Floats) -> Curve:
    """Least squares for each row of `means`, shape (R + 1, C), on `terms`, shape (C, 3)."""
    fitted = np.ascontiguousarray(np.linalg.lstsq(terms, means.T)[0].T, np.float64)
    residual = means[0] - terms @ fitted[0]
    variance = float(residual @ residual) / (len(residual) - terms.shape[1])
    directions, values, _ = np.linalg.svd(np.linalg.pinv(terms), full_matrices=False)  # (X'X)^-1 = X+ X+'
    factor = np.ascontiguousarray(directions * values, np.float64) * variance**0.5
    return Curve(basis, fitted[0], factor, fitted[1:], residual_sd=variance**0.5)
