"""Curves along one sweep of one system, as the paper drew them, with their bootstrap replicates.

A sweep varies one token count and freezes the other at 32. Its curve is a mean at every nominal power of two, pooled
over models trial by trial. Row 0 of every array is the trials as recorded; rows 1 to R resample them within each cell
(system, model, token count), so that whatever is computed from a curve comes with an interval.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.measurement import Measurement

Sweep = Literal["input", "output"]

REPLICATES = 1000
"""Resamplings behind every interval of the audit: the 2.5 and 97.5 percentiles each rest on 25 of them."""


def varied_tokens(trial: Measurement, sweep: Sweep) -> int:
    """The nominal token count that the sweep varies."""
    return trial.requested_input_tokens if sweep == "input" else trial.requested_output_tokens


@dataclass(frozen=True, slots=True, eq=False)
class SweepCurve:
    """Means at K token counts: `tokens` (nominal) has shape (K,), the rest (R + 1, K) with row 0 as recorded.

    `achieved_tokens` is what the varied side of the query really had, on average.
    """

    tokens: Integers
    achieved_tokens: Floats
    energy_per_token_j: Floats
    energy_j: Floats
    runtime_s: Floats

    @classmethod
    def of(cls, trials: Iterable[Measurement], sweep: Sweep, rng: np.random.Generator | None) -> "SweepCurve":
        """The curve of `trials` (one system, both energies and the logged token count recorded in each).

        Without `rng` nothing is resampled and R is 0.
        """
        cells: dict[tuple[int, str], list[Measurement]] = defaultdict(list)
        for trial in trials:
            cells[varied_tokens(trial, sweep), trial.system.model].append(trial)
        keys = sorted({tokens for tokens, _ in cells})
        columns = [
            np.concatenate(
                [_resampled(pool, sweep, rng) for (tokens, _), pool in cells.items() if tokens == key], axis=1
            ).mean(axis=1)
            for key in keys
        ]  # one (R + 1, 4) array a token count
        achieved, per_token, energy_j, runtime_s = np.stack(columns, axis=1).transpose(2, 0, 1)
        return cls(np.array(keys, np.int64), achieved[0], per_token, energy_j, runtime_s)

    def nearest(self, values: Floats, lengths: Integers) -> Floats:
        """`values` (R + 1, K) at the power of two nearest to each length in logarithm: (R + 1, N). The paper's rule."""
        buckets = 2 ** np.rint(np.log2(lengths)).astype(np.int64)
        column = np.searchsorted(self.tokens, np.clip(buckets, self.tokens[0], self.tokens[-1]))
        return values[:, column]

    def between(self, values: Floats, lengths: Integers) -> Floats:
        """`values` (R + 1, K) at each length, piecewise linear in achieved tokens and continued beyond: (R + 1, N)."""
        knots = self.achieved_tokens
        left = np.clip(np.searchsorted(knots, lengths, side="right") - 1, 0, knots.size - 2)
        along = (lengths - knots[left]) / (knots[left + 1] - knots[left])
        return values[:, left] * (1 - along) + values[:, left + 1] * along


def _resampled(pool: list[Measurement], sweep: Sweep, rng: np.random.Generator | None) -> Floats:
    """Achieved tokens, J/token, J and s of K trials, then of R draws with replacement: shape (R + 1, K, 4)."""
    recorded = np.array([_row(trial, sweep) for trial in pool])
    if rng is None:
        return recorded[None]
    draws = rng.integers(len(pool), size=(REPLICATES, len(pool)))
    return np.concatenate([recorded[None], recorded[draws]])


def _row(trial: Measurement, sweep: Sweep) -> tuple[float, float, float, float]:
    energy_j, logged = trial.energy_j("total"), trial.logged_total_tokens
    if energy_j is None or logged is None:
        raise ValueError(f"a trial of {trial.system.label} lacks an energy or its logged tokens")
    achieved = trial.input_tokens if sweep == "input" else trial.output_tokens
    return achieved, energy_j / logged, energy_j, trial.runtime_s
