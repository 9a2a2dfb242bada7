"""Decisions and plans: where one query goes, and where all of them go (the partition {Q_s} of Equations 2-4)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wattshed.domain.arrays import Floats, Integers


class Decision(NamedTuple):
    """Where one query goes. `scores` has one entry a system, lower is better, infinite where it cannot go.

    Made twice a request, hence a bare tuple.
    """

    system: str
    position: int
    policy: str
    reason: str
    scores: tuple[float, ...]
    energy_j: float
    runtime_s: float


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the bounds of its interval (95 % unless said otherwise)."""

    value: float
    lower: float
    upper: float

    @classmethod
    def of(cls, value: float, replicates: Floats) -> "Interval":
        """The 95 % percentile interval of an estimate over its bootstrap replicates, shape (R,).

        Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
        """
        lower, upper = np.percentile(replicates, (2.5, 97.5))
        return cls(float(value), float(lower), float(upper))


@dataclass(frozen=True, slots=True)
class Saving:
    """How much less energy (a fraction, positive is less) a plan uses than one baseline, and how much more time.

    `infeasible_queries` of the baseline were continued beyond what its system can run.
    """

    baseline: str
    energy: Interval
    runtime: Interval
    infeasible_queries: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """What one system serves in a plan."""

    system: str
    queries: int
    energy_j: float
    runtime_s: float
    extrapolated_queries: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The partition of a workload over a fleet by one policy, and what it costs.

    `assignment` has shape (B,): the position of the system that serves each shape of the workload, -1 where the policy
    spreads a shape over several (random, round robin). `boundary` says whose joules these are. Runtimes are service
    times at infinite capacity: no waiting.
    """

    policy: str
    workload: str
    boundary: str
    assignment: Integers
    shares: tuple[Share, ...]
    energy_j: Interval
    runtime_s: Interval
    mean_runtime_s: float
    p95_runtime_s: float
    savings: tuple[Saving, ...]

    @property
    def queries(self) -> int:
        """Queries placed."""
        return sum(share.queries for share in self.shares)

    def saving(self, baseline: str) -> Saving:
        """The saving against one baseline; KeyError where it was not compared."""
        for saving in self.savings:
            if saving.baseline == baseline:
                return saving
        raise KeyError(baseline)
