"""The paper's predictor as published: joules per logged token at the nearest power of two of the input length.

    E(m, n) = (m + n) J[2^round(log2 m)],   R(m, n) = R[2^round(log2 m)]          (METHOD section 2, Figure 4)

J and R are means over the trials of the input sweep, in which n was 32 throughout; iterations whose number holds the
digit 0 are dropped, as the authors did, and so are trials without a logged token count. Lengths beyond the sweep take
its first or last value. The table knows nothing of n but the tokens it multiplies by, and claims nothing.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Cell, Measurement, cells
from wattshed.errors import InputError
from wattshed.predictors.bootstrap import LEAST_CELLS, Bootstrap, support_of, token_means
from wattshed.predictors.curve import Basis, Curve, CurvePredictor, Tokens, spread_factor


@dataclass(frozen=True, slots=True)
class TableBasis:
    """One term a bucket of input length: 0 outside it, and inside 1 or, where `per_token`, the tokens of the query."""

    bucket_tokens: tuple[int, ...]
    per_token: bool

    def __post_init__(self) -> None:
        if not self.bucket_tokens or self.bucket_tokens[0] < 1 or np.any(np.diff(self.bucket_tokens) < 1):
            raise ValueError(f"buckets are one or more rising input lengths, got {self.bucket_tokens}")

    @property
    def size(self) -> int:
        """Buckets."""
        return len(self.bucket_tokens)

    def weighted(self, input_tokens: Tokens, output_tokens: Tokens, weights: Floats) -> Floats:
        """Q sums of the terms of N queries, shape (N, Q)."""
        return weights[self._bucket(input_tokens)] * self._times(input_tokens, output_tokens)[:, None]

    def summed(self, input_tokens: Integers, output_tokens: Integers, queries: Integers) -> Floats:
        """Each term summed over N shapes weighted by `queries`, shape (K,)."""
        times = queries * self._times(input_tokens, output_tokens)
        return np.asarray(np.bincount(self._bucket(input_tokens), times, self.size), np.float64)

    def _bucket(self, input_tokens: Tokens) -> Integers:
        """Position of the bucket nearest to 2^round(log2 m), as the authors rounded."""
        power = np.round(np.log2(input_tokens))
        between = (np.log2(self.bucket_tokens)[1:] + np.log2(self.bucket_tokens)[:-1]) / 2
        return np.searchsorted(between, power).astype(np.int64)

    def _times(self, input_tokens: Tokens, output_tokens: Tokens) -> Floats:
        tokens = np.asarray(input_tokens + output_tokens, np.float64)
        return tokens if self.per_token else np.ones_like(tokens)


def fit_table(trials: Sequence[Measurement], channel: Channel, bootstrap: Bootstrap) -> CurvePredictor:
    """The paper's predictor of the one system that `trials` belong to; `InputError` says why there can be none."""
    buckets = _buckets(trials, channel)
    if len(buckets) < LEAST_CELLS:
        raise InputError(
            f"{LEAST_CELLS} input lengths with {channel} energy and logged tokens are needed, found {len(buckets)}"
        )
    pooled = cells(trials, channel)
    tokens = tuple(sorted(buckets))
    per_token, runtime_s = bootstrap.means([buckets[m] for m in tokens])
    energy = _curve(TableBasis(tokens, per_token=True), per_token, pooled, [cell.energy_j.mean() for cell in pooled])
    runtime = _curve(TableBasis(tokens, per_token=False), runtime_s, pooled, [cell.runtime_s.mean() for cell in pooled])
    return CurvePredictor("table", support_of(pooled), energy, runtime)


def _buckets(trials: Sequence[Measurement], channel: Channel) -> Mapping[int, Floats]:
    """J per logged token and recorded runtime of the trials at each nominal input length, shape (K, 2)."""
    outputs: dict[str, set[int]] = defaultdict(set)
    for trial in trials:
        outputs[trial.experiment].add(trial.requested_output_tokens)
    rows: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for trial in trials:
        energy_j = trial.energy_j(channel)
        in_sweep = len(outputs[trial.experiment]) == 1  # n held still: only m can have been swept
        if in_sweep and energy_j is not None and trial.logged_total_tokens is not None and "0" not in str(trial.trial):
            rows[trial.requested_input_tokens].append((energy_j / trial.logged_total_tokens, trial.runtime_s))
    return {tokens: np.array(row) for tokens, row in rows.items()}


def _curve(basis: Basis, means: Floats, pooled: Sequence[Cell], measured: Sequence[float]) -> Curve:
    """The curve of one quantity; its misfit is how far it lies beside every cell, whichever sweep, on average."""
    replicates = means[1:]
    predicted = basis.weighted(*token_means(pooled), means[0][:, None])[:, 0]
    misfit = float(np.sqrt(np.mean((predicted / np.array(measured) - 1) ** 2)))
    return Curve(basis, means[0], spread_factor(replicates), replicates, misfit)
