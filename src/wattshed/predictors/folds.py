"""Which cells are left out together, to see what a predictor says of token counts that it has never met.

A fold is every cell of one experiment at one requested token count, or at one concurrency. The smallest and the largest
of an experiment stay in, since to predict beyond them is to extrapolate. In a sweep a fold is one cell; in an m x n
grid, a row or a column.
"""

from collections.abc import Callable, Sequence

import numpy as np

from wattshed.domain.arrays import Booleans
from wattshed.domain.measurement import Cell

_AXES: tuple[Callable[[Cell], int], ...] = (
    lambda cell: cell.requested_input_tokens,
    lambda cell: cell.requested_output_tokens,
    lambda cell: cell.concurrency,
)


def folds(pooled: Sequence[Cell]) -> list[Booleans]:
    """One mask of shape (C,) a fold: the cells to leave out."""
    return [
        np.array([cell.experiment == experiment and count_of(cell) == count for cell in pooled])
        for experiment in dict.fromkeys(cell.experiment for cell in pooled)
        for count_of in _AXES
        for count in sorted({count_of(cell) for cell in pooled if cell.experiment == experiment})[1:-1]
    ]
