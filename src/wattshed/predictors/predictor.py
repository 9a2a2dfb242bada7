"""The role of a predictor: energy and runtime of queries on one system, on one channel.

Implementations are frozen values fitted by `fit.py` and kept in one JSON file by `file.py`. All pass the contract suite
in `tests/contracts/predictor_suite.py`.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wattshed.domain.arrays import Booleans, Integers
from wattshed.domain.choices import PredictorKind
from wattshed.domain.prediction import Expectation, Prediction, Totals


@dataclass(frozen=True, slots=True)
class Support:
    """The range that was measured; predictions outside it are flagged as extrapolated.

    `concurrencies` are the numbers of requests in flight at which trials were taken, rising.
    """

    min_input_tokens: int
    max_input_tokens: int
    min_output_tokens: int
    max_output_tokens: int
    max_total_tokens: int
    concurrencies: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if not self.concurrencies or self.concurrencies[0] < 1 or np.any(np.diff(self.concurrencies) < 1):
            raise ValueError(f"concurrencies are one or more rising counts, got {self.concurrencies}")

    def holds(self, input_tokens: int, output_tokens: int, concurrency: int | None = None) -> bool:
        """Whether one query lies in the measured box; `inside` for many."""
        return (
            (concurrency is None or self.concurrencies[0] <= concurrency <= self.concurrencies[-1])
            and self.min_input_tokens <= input_tokens <= self.max_input_tokens
            and self.min_output_tokens <= output_tokens <= self.max_output_tokens
            and input_tokens + output_tokens <= self.max_total_tokens
        )

    def inside(self, input_tokens: Integers, output_tokens: Integers, concurrency: int | None = None) -> Booleans:
        """Whether each of N queries lies in the measured box, at `concurrency` where that matters; shape (N,)."""
        m, n = np.asarray(input_tokens), np.asarray(output_tokens)
        among = concurrency is None or self.concurrencies[0] <= concurrency <= self.concurrencies[-1]
        return (
            among
            & (m >= self.min_input_tokens)
            & (m <= self.max_input_tokens)
            & (n >= self.min_output_tokens)
            & (n <= self.max_output_tokens)
            & (m + n <= self.max_total_tokens)
        )


class Predictor(Protocol):
    """Predicts E(m, n) and R(m, n) of one system."""

    @property
    def kind(self) -> PredictorKind:
        """Which family it belongs to; names the form in the predictor file."""
        ...

    @property
    def monotone(self) -> bool:
        """Whether it claims non-negative predictions that never fall as m or n grows."""
        ...

    @property
    def support(self) -> Support:
        """The measured range."""
        ...

    def predict(self, input_tokens: Integers, output_tokens: Integers) -> Prediction:
        """Predictions for N queries; both arrays have shape (N,) and so has each part of the answer.

        The standard deviations hold both the scatter of the trials and the misfit of the form, so that
        prediction +- 1.96 sd is meant to cover a new cell's mean in 95 of 100 cases; `check.py` counts.
        """
        ...

    def expect(self, input_tokens: Integers, output_tokens: Integers) -> Expectation:
        """The energies and runtimes of `predict` alone, several times as fast."""
        ...

    def totals(self, input_tokens: Integers, output_tokens: Integers, queries: Integers) -> Totals:
        """Sums over N shapes, weighted by `queries`, under each of R resamplings: of the trials, and of how
        far the form may lie beside the truth.

        Costs O(N) and not O(N R) where the form allows. R is at least 200.
        """
        ...
