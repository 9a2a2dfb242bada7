"""What a predictor says of N queries."""

from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Booleans, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Energy and runtime of N queries with one standard deviation each; every array has shape (N,).

    `extrapolated` marks the queries outside the measured range: the numbers there continue the curve, unmeasured.
    """

    energy_j: Floats
    runtime_s: Floats
    energy_sd_j: Floats
    runtime_sd_s: Floats
    extrapolated: Booleans

    def __post_init__(self) -> None:
        shapes = {self.energy_j.shape, self.runtime_s.shape, self.energy_sd_j.shape, self.runtime_sd_s.shape}
        if len(shapes | {self.extrapolated.shape}) > 1:
            raise ValueError("the parts of a prediction need one common shape")


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """Energy and runtime of N queries without their uncertainty; shape (N,) each. What placing millions needs."""

    energy_j: Floats
    runtime_s: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """Energy and runtime of a whole set of queries under each of R resamplings of the trials; shape (R,) each."""

    energy_j: Floats
    runtime_s: Floats

    def __add__(self, other: "Totals") -> "Totals":
        """The totals of two disjoint sets of queries; systems are resampled independently, so replicates pair up."""
        return Totals(self.energy_j + other.energy_j, self.runtime_s + other.runtime_s)


ZERO_TOTALS = Totals(np.zeros(1), np.zeros(1))
"""The totals of no queries; adds to any number of replicates."""
