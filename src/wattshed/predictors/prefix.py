"""The prefix form: without a KV cache each decoding step reruns the whole prefix, so a query costs the sum of them.

    E(m, n) = d + sum of e(m + t) over t = 0 ... n - 1          (METHOD section 3; likewise R)

e(L), the cost of one step over a prefix of L tokens, is piecewise linear in L with two knots an octave, and never
falls: it is a constant plus one ramp a knot interval, all with coefficients of at least 0, found by non-negative least
squares. The last ramp goes on beyond the last knot. Sums of ramps have a closed form, so a query costs O(1) whatever
its length. Two one-factor sweeps fix d and e, and with them the whole (m, n) plane.

A light pull towards an even curvature decides what the cells leave open: without it e may rise anywhere between two
distant ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Cell, Measurement
from wattshed.predictors.bootstrap import (
    Bootstrap,
    energy_and_runtime,
    pooled_cells,
    support_of,
    token_means,
)
from wattshed.predictors.curve import Curve, CurvePredictor, Tokens
from wattshed.predictors.folds import folds
from wattshed.predictors.nonnegative import misfit, scale, solved, spread

_SMOOTHNESS = 0.1
"""Weight of uneven curvature against the relative error of a cell. On `bundled:wilkins2024` 0.02, 0.05, 0.1 and 0.2
give mean held-out energy errors of 4.0, 3.6, 3.4 and 3.3 %; a plateau that breaks into a slope asks for less."""


@dataclass(frozen=True, slots=True)
class PrefixBasis:
    """The terms of the prefix form: 1 for d, n for the constant part of e, and the sum of each ramp over the steps.

    Ramp j climbs from 0 at knot j to 1 at knot j + 1 and stays there; the last climbs for ever.
    """

    knot_tokens: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.knot_tokens) < 2 or self.knot_tokens[0] < 1 or np.any(np.diff(self.knot_tokens) < 1):
            raise ValueError(f"knots are two or more rising prefix lengths, got {self.knot_tokens}")

    @property
    def size(self) -> int:
        """Terms: one for d, one for the constant part of e, one a ramp."""
        return len(self.knot_tokens) + 1

    def weighted(self, input_tokens: Tokens, output_tokens: Tokens, weights: Floats) -> Floats:
        """Q sums of the terms of N queries, shape (N, Q); where many queries share few lengths, sums are looked up."""
        starts, ends = input_tokens, input_tokens + output_tokens
        if ends.dtype.kind == "i" and ends.max(initial=0) < ends.size:
            table = self._sums(np.arange(ends.max() + 1)) @ weights[1:]
            sums: Floats = np.take(table, ends.view(np.int64), axis=0)
            sums -= np.take(table, starts.view(np.int64), axis=0)
        else:
            sums = (self._sums(ends) - self._sums(starts)) @ weights[1:]
        sums += weights[0]
        return sums

    def summed(self, input_tokens: Integers, output_tokens: Integers, queries: Integers) -> Floats:
        """Each term summed over N shapes weighted by `queries`, shape (K,); costs O(N), and K for each length."""
        ends = input_tokens + output_tokens
        reach = int(ends.max(initial=0)) + 1
        open_ends = np.bincount(ends, queries, reach) - np.bincount(input_tokens, queries, reach)
        lengths = np.flatnonzero(open_ends)
        return np.append(queries.sum(), open_ends[lengths] @ self._sums(lengths))

    def _sums(self, lengths: Tokens) -> Floats:
        """1 and each ramp, summed over all prefixes shorter than each of N lengths; shape (N, K - 1).

        A ramp of width w sums to x (x - 1) / 2w over its first x steps, and to one more for each step after the climb.
        """
        knots = np.array(self.knot_tokens, np.float64)
        width = np.diff(knots)
        climb = np.append(width[:-1], np.inf)
        past = np.maximum(lengths[:, None] - knots[:-1], 0)
        climbed = np.minimum(past, climb)
        return np.column_stack([lengths, climbed * (climbed - 1) / (2 * width) + np.maximum(past - climb, 0)])


def fit_prefix(trials: Sequence[Measurement], channel: Channel, bootstrap: Bootstrap) -> CurvePredictor:
    """The prefix predictor of the one system that `trials` belong to; `InputError` says why there can be none."""
    pooled = pooled_cells(trials, channel)
    energy, runtime = bootstrap.means(energy_and_runtime(pooled))
    return CurvePredictor("prefix", support_of(pooled), _curve(pooled, energy), _curve(pooled, runtime))


def _curve(pooled: Sequence[Cell], means: Floats) -> Curve:
    """The curve through C cells; `means` has shape (R + 1, C), row 0 as recorded."""
    m, n = token_means(pooled)
    basis = PrefixBasis(_knots(m, n))
    size = scale(n, means[0])
    design, relative = basis.weighted(m, n, np.eye(basis.size)) / size[:, None], means / size
    pull = _SMOOTHNESS * _unevenness(basis, m + n / 2, size / n)
    fitted = np.array([_pulled(design, row, pull) for row in relative])
    errors = [design[out] @ _pulled(design[~out], relative[0, ~out], pull) - relative[0, out] for out in folds(pooled)]
    return Curve(basis, fitted[0], spread(fitted[1:], design), fitted[1:], misfit(errors))


def _pulled(design: Floats, relative: Floats, pull: Floats) -> Floats:
    """The coefficients, shape (K,), that bring `design` @ them nearest to `relative` and `pull` @ them to 0."""
    return solved(np.vstack([design, pull]), np.append(relative, np.zeros(len(pull))))


def _knots(m: Floats, n: Floats) -> tuple[int, ...]:
    """Whole powers of the root of 2 across the measured prefixes, two at least; no cell's absence moves them."""
    first, last = int(2 * np.log2(m.min())), int(2 * np.log2((m + n).max()))
    return tuple(sorted({round(2 ** (half / 2)) for half in range(first, max(last, first + 2) + 1)}))


def _unevenness(basis: PrefixBasis, length: Floats, per_token: Floats) -> Floats:
    """Change of e'' between inner knots, times L^2, relative to the cost of a step there; shape (K - 4, K).

    That cost is read off the cells: `per_token` at the middle `length` of each, both of shape (C,).
    """
    knots = np.array(basis.knot_tokens, np.float64)
    slopes = np.diag(1 / np.diff(knots))
    curvatures = np.diff(slopes, axis=0) / np.diff((knots[1:] + knots[:-1]) / 2)[:, None]
    between = (knots[1:-2] + knots[2:-1]) / 2
    order = np.argsort(length)
    cost = np.interp(between, length[order], per_token[order])
    changes = np.diff(curvatures, axis=0) * (between**2 / cost)[:, None]
    return np.pad(changes, ((0, 0), (2, 0)))  # d and the constant part of e are free
