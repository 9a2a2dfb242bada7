"""The shape that all predictors share: an energy curve and a runtime curve, each linear in the terms of a basis.

    quantity(m, n) = sum over k of coefficient_k * term_k(m, n)

The kinds differ in their terms and in how the coefficients were found (`prefix.py`, `batch.py`, `table.py`,
`regression.py`). What follows from linearity is here, once: predictions, their standard errors, and sums over a
workload, which need the sum of the terms only once for all resamplings. NumPy only, so that predicting needs no extra.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.choices import PredictorKind
from wattshed.domain.prediction import Expectation, Prediction, Totals
from wattshed.predictors.predictor import Support

Tokens: TypeAlias = Integers | Floats
"""Token counts: whole in queries, means over trials in measured cells."""

Z_95 = 1.96
"""Half-width of a 95 % interval in standard deviations (normal distribution)."""

_BLOCK = 2**16
"""Queries answered at once, so that what is held in between stays small whatever the workload."""


class Basis(Protocol):
    """The K terms that a curve is linear in."""

    @property
    def size(self) -> int:
        """K."""
        ...

    def weighted(self, input_tokens: Tokens, output_tokens: Tokens, weights: Floats) -> Floats:
        """Q sums of the terms of N queries, shape (N, Q), one for each column of `weights`, shape (K, Q)."""
        ...

    def summed(self, input_tokens: Integers, output_tokens: Integers, queries: Integers) -> Floats:
        """Each term summed over N shapes weighted by `queries`, shape (K,)."""
        ...


class Estimate(NamedTuple):
    """Mean and standard deviation of one quantity for N queries, both of shape (N,), in J or s."""

    mean: Floats
    sd: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One quantity, in J or s.

    `coefficients` has shape (K,), `replicates` (R, K): refits to resampled trials. `factor` has shape (K, P), and
    factor @ factor.T is the covariance of the coefficients, or nearly so where P is below K. How far a cell that was
    not measured may lie beside the curve is `misfit`, a fraction of the prediction, and `residual_sd`, in the unit of
    the quantity.
    """

    basis: Basis
    coefficients: Floats
    factor: Floats
    replicates: Floats
    misfit: float = 0.0
    residual_sd: float = 0.0

    def mean(self, input_tokens: Tokens, output_tokens: Tokens) -> Floats:
        """The quantity for N queries, shape (N,)."""
        return self.basis.weighted(input_tokens, output_tokens, self.coefficients[:, None])[:, 0]

    def estimate(self, input_tokens: Tokens, output_tokens: Tokens) -> Estimate:
        """The quantity for N queries, whose token counts may be means, and its standard deviation."""
        weights = np.column_stack([self.coefficients, self.factor])
        mean, variance = np.empty(input_tokens.shape), np.empty(input_tokens.shape)
        for start in range(0, input_tokens.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            parts = self.basis.weighted(input_tokens[block], output_tokens[block], weights)
            mean[block] = parts[:, 0]
            variance[block] = np.einsum("ij,ij->i", parts[:, 1:], parts[:, 1:])
        return Estimate(mean, np.sqrt(variance + (self.misfit * mean) ** 2 + self.residual_sd**2))

    def resampled(self, summed: Floats) -> Floats:
        """A sum over queries under each resampling, from the terms summed over them (K,); shape (R,).

        How far the form lies beside the truth is not known, nor does it average out over queries: each replicate draws
        one misfit for the whole curve. The draw goes by the coefficients, so the same curve always draws the same.
        """
        seed = np.frombuffer(self.coefficients.tobytes(), np.uint32)
        drawn = np.random.default_rng(seed).standard_normal(len(self.replicates))
        totals: Floats = (self.replicates @ summed) * (1 + self.misfit * drawn)
        return totals


@dataclass(frozen=True, slots=True, eq=False)
class CurvePredictor:
    """A predictor of any kind; implements the role in `predictor.py`.

    `concurrency` requests are in flight; `None` where the form does not ask.
    """

    kind: PredictorKind
    support: Support
    energy: Curve
    runtime: Curve
    concurrency: int | None = None

    @property
    def monotone(self) -> bool:
        """The prefix and the batch form are non-negative and never fall, by construction."""
        return self.kind in {"prefix", "batch"}

    def predict(self, input_tokens: Integers, output_tokens: Integers) -> Prediction:
        """Predictions for N queries; both arrays have shape (N,)."""
        m, n = np.asarray(input_tokens, np.int64), np.asarray(output_tokens, np.int64)
        energy, runtime = self.energy.estimate(m, n), self.runtime.estimate(m, n)
        measured = self.support.inside(m, n, self.concurrency)
        return Prediction(energy.mean, runtime.mean, energy.sd, runtime.sd, ~measured)

    def expect(self, input_tokens: Integers, output_tokens: Integers) -> Expectation:
        """The energies and runtimes of `predict` alone."""
        m, n = np.asarray(input_tokens, np.int64), np.asarray(output_tokens, np.int64)
        return Expectation(self.energy.mean(m, n), self.runtime.mean(m, n))

    def totals(self, input_tokens: Integers, output_tokens: Integers, queries: Integers) -> Totals:
        """Sums over N shapes weighted by `queries`, under each of R resamplings of trials and misfit."""
        m, n = np.asarray(input_tokens, np.int64), np.asarray(output_tokens, np.int64)
        terms = self.energy.basis.summed(m, n, queries)
        shared = self.energy.basis == self.runtime.basis  # fitted to the same cells, and so one sum serves both
        runtime_terms = terms if shared else self.runtime.basis.summed(m, n, queries)
        return Totals(self.energy.resampled(terms), self.runtime.resampled(runtime_terms))


def spread_factor(replicates: Floats) -> Floats:
    """A factor of the covariance of R replicates, shape (R, K); shape (K, K)."""
    values, directions = np.linalg.eigh(np.cov(replicates, rowvar=False))
    return np.ascontiguousarray(directions * np.sqrt(np.maximum(values, 0)))
