"""Resampling of trials within their cells: how far would everything move, had the same campaign been run again?

Only the scatter between trials of one cell is in the answer, not what the whole campaign has in common (a host, a
sensor). Cells keep their size, so the spread comes out small by (K - 1) / K in a cell of K trials.
Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Cell, Measurement, cells
from wattshed.errors import InputError
from wattshed.predictors.predictor import Support

REPLICATES = 200
"""Resamplings behind every standard error; Efron and Tibshirani (1993), section 6.4, ask for 50 to 200."""

LEAST_CELLS = 5
"""A curve through fewer cells than this has nothing to be checked against."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """R resamplings of trials within cells."""

    rng: np.random.Generator
    replicates: int = REPLICATES

    def means(self, trials: Sequence[Floats]) -> Floats:
        """Means of Q quantities over C cells, as recorded (row 0) and resampled (rows 1 to R); shape (Q, R + 1, C).

        `trials` has one array of shape (K, Q) a cell. The quantities of one trial are drawn together and stay paired.
        """
        columns = []
        for cell in trials:
            drawn = cell[self.rng.integers(len(cell), size=(self.replicates, len(cell)))].mean(axis=1)
            columns.append(np.vstack([cell.mean(axis=0), drawn]))
        return np.ascontiguousarray(np.stack(columns, axis=-1).transpose(1, 0, 2))


def pooled_cells(trials: Sequence[Measurement], channel: Channel) -> list[Cell]:
    """The cells of one system; `InputError` where there are too few of them to fit."""
    pooled = cells(trials, channel)
    if len(pooled) < LEAST_CELLS:
        raise InputError(f"{LEAST_CELLS} cells with {channel} energy are needed, found {len(pooled)}")
    return pooled


def support_of(pooled: Sequence[Cell]) -> Support:
    """The range that the cells span, counting both the tokens asked for and those achieved; all concurrencies."""
    m = [tokens for cell in pooled for tokens in (cell.requested_input_tokens, round(cell.input_tokens))]
    n = [tokens for cell in pooled for tokens in (cell.requested_output_tokens, round(cell.output_tokens))]
    longest = max(a + b for a, b in zip(m, n, strict=True))
    concurrencies = tuple(sorted({cell.concurrency for cell in pooled}))
    return Support(min(m), max(m), min(n), max(n), longest, concurrencies)


def token_means(pooled: Sequence[Cell]) -> tuple[Floats, Floats]:
    """Mean tokens achieved, input and output, of C cells; shape (C,) each."""
    return np.array([cell.input_tokens for cell in pooled]), np.array([cell.output_tokens for cell in pooled])


def energy_and_runtime(pooled: Sequence[Cell]) -> list[Floats]:
    """The trials of each cell as `Bootstrap.means` takes them: energy in J beside runtime in s, shape (K, 2)."""
    return [np.column_stack([cell.energy_j, cell.runtime_s]) for cell in pooled]
