"""The batch form: with a KV cache, b requests in flight share every decoding step.

    W(m, n, b) = w0 + w1 b + b (p1 m + p2 m^2)                            the prefills of b requests, one after another
               + n (s0 + s1 b + sum of h_k max(b - k, 0))                 n steps of b sequences each
               + c b n (m + n / 2)                                        and each reads its keys and values

is what a node spends on b requests of one shape that are in flight together, from the first to the last. Seconds are
endured by each of them, joules are shared by all:

    R(m, n, b) = W with the coefficients of runtime,    E(m, n, b) = W / b with those of energy

so that at b = 1 there remains E = e0 + a m + a2 m^2 + b n + c n (m + n / 2): METHOD section 3, with the square that
attention adds to a long prefill. Others' prefills are in R since a step waits for them, in a static batch as under
continuous batching: at b in flight a query costs the node R / b seconds, which cannot be less than its own prefill.

All coefficients are at least 0, found by non-negative least squares on relative errors. s0 is what a step costs however
many share it (weights read, kernels launched); the hinges at the measured concurrencies k let it rise faster once
arithmetic and not memory binds, as a roofline does: where that happens amid the measured concurrencies, they bring the
error of R from 5 % to 0.5 %. Power at idle is a part of all coefficients of energy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wattshed.domain.arrays import Booleans, Floats, Integers
from wattshed.domain.attribution import Weights
from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Cell, Measurement
from wattshed.errors import InputError
from wattshed.predictors.bootstrap import Bootstrap, energy_and_runtime, pooled_cells, support_of, token_means
from wattshed.predictors.curve import Curve, CurvePredictor, Estimate, Tokens
from wattshed.predictors.folds import folds
from wattshed.predictors.nonnegative import misfit, scale, solved, spread
from wattshed.predictors.predictor import Support

_FIXED, _REQUEST, _PREFILL, _SQUARE, _STEP, _SEQUENCE, _READ = range(7)
"""Positions of w0, w1, p1, p2, s0, s1 and c among the coefficients; the hinges follow."""

_ONE, _M, _MM, _N, _NL = range(5)
"""Positions of 1, m, m^2, n and n (m + n / 2) among the five moments of a shape."""

_STRAIGHTNESS = 0.03
"""Weight of the square and the hinges against the relative error of a cell: where cells leave them open, they are 0.

Without it, a middle input length left out between two others was off by up to 40 % on a simulated accelerator, and 3 %
with any weight from 0.003 to 0.1: m and m^2 cannot be told apart by two lengths.
"""


@dataclass(frozen=True, slots=True, eq=False)
class BatchBasis:
    """The K terms of the batch form at one concurrency: five moments of the shape, mixed by `mixing`, shape (5, K)."""

    mixing: Floats

    @property
    def size(self) -> int:
        """Terms: seven, and one a hinge."""
        return len(self.mixing.T)

    def weighted(self, input_tokens: Tokens, output_tokens: Tokens, weights: Floats) -> Floats:
        """Q sums of the terms of N queries, shape (N, Q)."""
        return _moments(input_tokens, output_tokens) @ (self.mixing @ weights)

    def summed(self, input_tokens: Integers, output_tokens: Integers, queries: Integers) -> Floats:
        """Each term summed over N shapes weighted by `queries`, shape (K,)."""
        return queries @ _moments(input_tokens, output_tokens) @ self.mixing


@dataclass(frozen=True, slots=True, eq=False)
class Marginal:
    """What one more request adds to a node with b in flight, for N requests it might be; every array has shape (N,).

    `energy_j` is the whole batch's energy with it less that without it, the node's seconds that it prolongs included.
    `runtime_s` is its own, among b + 1. `slowdown_s` is what the b others lose by it, all added up, if they stay as
    long as it does. The form makes all three depend on the others through their number alone.
    """

    energy_j: Floats
    runtime_s: Floats
    slowdown_s: Floats
    energy_sd_j: Floats
    runtime_sd_s: Floats
    slowdown_sd_s: Floats
    extrapolated: Booleans


@dataclass(frozen=True, slots=True, eq=False)
class BatchPredictor:
    """A fitted predictor of kind `batch` at any number of requests in flight; ValueError for other kinds.

    `fitted` is what `fit` gives and `file` keeps; it implements the role of a predictor with one request in flight.
    """

    fitted: CurvePredictor

    def __post_init__(self) -> None:
        if self.fitted.kind != "batch":
            raise ValueError(f"a {self.fitted.kind} predictor knows nothing of concurrency; fit the kind batch")

    def at(self, concurrency: int) -> CurvePredictor:
        """E(m, n) and R(m, n) of one among `concurrency` requests of its shape: an ordinary predictor."""
        support = self.fitted.support
        return replace(
            self.fitted,
            energy=replace(self.fitted.energy, basis=energy_basis(support, concurrency)),
            runtime=replace(self.fitted.runtime, basis=runtime_basis(support, concurrency)),
            concurrency=concurrency,
        )

    def marginal(self, input_tokens: Integers, output_tokens: Integers, *, occupancy: int) -> Marginal:
        """What one more request adds where `occupancy` are in flight; the misfit counts in proportion to it."""
        m, n = np.asarray(input_tokens, np.int64), np.asarray(output_tokens, np.int64)
        support = self.fitted.support
        together = _mixing(support, occupancy + 1)
        added = together - _mixing(support, occupancy) if occupancy else together

        def estimate(curve: Curve, mixing: Floats) -> Estimate:
            return replace(curve, basis=BatchBasis(mixing)).estimate(m, n)

        energy, runtime = estimate(self.fitted.energy, added), estimate(self.fitted.runtime, together)
        slowdown = estimate(self.fitted.runtime, occupancy * added)
        measured = support.inside(m, n, occupancy + 1) & support.inside(m, n, occupancy or 1)
        return Marginal(energy.mean, runtime.mean, slowdown.mean, energy.sd, runtime.sd, slowdown.sd, ~measured)

    def weights(self, concurrency: int, *, idle_power_w: float) -> Weights:
        """What `attribute` splits joules above idle by, on a node with about `concurrency` requests in flight.

        A step's shared part counts in equal parts for those in it. The square of prefill and the cost of a request as
        such have no counterpart among the weights and are left out.
        """
        runtime = self.fitted.runtime.coefficients
        mixing = _mixing(self.fitted.support, concurrency)
        active = np.maximum(self.fitted.energy.coefficients - idle_power_w * runtime, 0)
        step_j, step_s = (mixing @ active)[_N], (mixing @ runtime)[_N]
        held_token_w = active[_READ] / step_s if step_s > 0 else 0.0
        return Weights(float(active[_PREFILL]), float(step_j / concurrency), float(held_token_w))


def fit_batch(trials: Sequence[Measurement], channel: Channel, bootstrap: Bootstrap) -> CurvePredictor:
    """The batch predictor, with one request in flight, of the one system that `trials` belong to at any concurrencies.

    `InputError` says why there can be none. Servers often do not say that they cache; they pass.
    """
    if any(trial.system.kv_cache is False for trial in trials):
        raise InputError("the batch form needs a KV cache, and these trials had none")
    pooled = pooled_cells(trials, channel)
    support = support_of(pooled)
    energy, runtime = bootstrap.means(energy_and_runtime(pooled))
    in_j, in_s = _curve(pooled, energy, support, energy_basis), _curve(pooled, runtime, support, runtime_basis)
    return CurvePredictor("batch", support, in_j, in_s, concurrency=1)


def energy_basis(support: Support, concurrency: int = 1) -> BatchBasis:
    """The terms of E(m, n, b): joules are shared by b requests."""
    return BatchBasis(_mixing(support, concurrency) / concurrency)


def runtime_basis(support: Support, concurrency: int = 1) -> BatchBasis:
    """The terms of R(m, n, b): seconds are endured by each."""
    return BatchBasis(_mixing(support, concurrency))


def _moments(input_tokens: Tokens, output_tokens: Tokens) -> Floats:
    """1, m, m^2, n and n (m + n / 2) of N queries, shape (N, 5)."""
    m, n = np.asarray(input_tokens, np.float64), np.asarray(output_tokens, np.float64)
    return np.column_stack([np.ones_like(m), m, m**2, n, n * (m + n / 2)])


def _mixing(support: Support, concurrency: int) -> Floats:
    """How the moments make up the terms of W with `concurrency` requests in flight, shape (5, K).

    There is a hinge at every measured concurrency between the least and the largest.
    """
    if concurrency < 1:
        raise ValueError(f"at least one request is in flight, got {concurrency}")
    hinges = np.array(support.concurrencies[1:-1], np.float64)
    mixing = np.zeros((5, 7 + hinges.size))
    mixing[_ONE, _FIXED] = mixing[_N, _STEP] = 1
    for moment, term in ((_ONE, _REQUEST), (_M, _PREFILL), (_MM, _SQUARE), (_N, _SEQUENCE), (_NL, _READ)):
        mixing[moment, term] = concurrency
    mixing[_N, 7:] = np.maximum(concurrency - hinges, 0)
    return mixing


def _curve(
    pooled: Sequence[Cell], means: Floats, support: Support, basis_of: Callable[[Support, int], BatchBasis]
) -> Curve:
    """The curve through C cells, each at its own concurrency; `means` has shape (R + 1, C), row 0 as recorded."""
    m, n = token_means(pooled)
    size = scale(n, means[0])
    mixings = [basis_of(support, cell.concurrency).mixing for cell in pooled]
    design = np.einsum("ci,cik->ck", _moments(m, n) / size[:, None], mixings)
    if len(support.concurrencies) == 1:
        design[:, [_FIXED, _STEP]] = 0  # nothing shows what would be shared, so nothing is taken to be
    if np.ptp(n) == 0:
        design[:, [_FIXED, _REQUEST]] = 0  # one output length: what is paid at each step looks as if it were paid once
    unit = np.linalg.norm(design, axis=0)
    unit[unit == 0] = 1
    relative = means / size
    fitted = np.array([_solved(design, row, unit) for row in relative])
    masks = folds(pooled) or list(np.eye(len(pooled), dtype=np.bool_))  # or else each cell alone
    errors = [design[out] @ _solved(design[~out], relative[0, ~out], unit) - relative[0, out] for out in masks]
    return Curve(basis_of(support, 1), fitted[0], spread(fitted[1:], design), fitted[1:], misfit(errors))


def _solved(design: Floats, relative: Floats, unit: Floats) -> Floats:
    """The coefficients, shape (K,), bends no larger than the cells ask for; `unit`, shape (K,), makes terms alike."""
    pull = _STRAIGHTNESS * np.eye(unit.size)[[_SQUARE, *range(7, unit.size)]]
    return solved(np.vstack([design / unit, pull]), np.append(relative, np.zeros(len(pull)))) / unit
