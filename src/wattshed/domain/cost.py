"""The cost of a query, Equation 1: U(m, n, s) = lambda E(m, n, s) + (1 - lambda) R(m, n, s)."""

from dataclasses import dataclass
from math import inf

import numpy as np

from wattshed.domain.arrays import Booleans, Floats


@dataclass(frozen=True, slots=True)
class Objective:
    """What to minimise: U = lam E / energy_ref_j + (1 - lam) R / runtime_ref_s, without unit.

    Equation 1 adds joules to seconds; the reference scales make that explicit, and 1 J and 1 s are the paper's. To
    minimise U is to minimise E + w R, where `exchange_w` = w is a power: the watts one would spend to save a second.
    """

    lam: float = 1.0
    energy_ref_j: float = 1.0
    runtime_ref_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.lam <= 1:
            raise ValueError(f"lambda lies in [0, 1], got {self.lam}")
        if not (0 < self.energy_ref_j < inf and 0 < self.runtime_ref_s < inf):
            raise ValueError("the reference scales are positive")

    @classmethod
    def from_exchange(cls, exchange_w: float) -> "Objective":
        """The objective that spends up to `exchange_w` joules to save a second; infinity asks for speed alone."""
        if not exchange_w >= 0:
            raise ValueError(f"an exchange rate is at least 0 W, got {exchange_w}")
        return cls(lam=1 / (1 + exchange_w))

    @property
    def exchange_w(self) -> float:
        """Watts one spends to save a second; infinite at lambda 0."""
        if self.lam == 0:
            return inf
        return (1 - self.lam) / self.lam * self.energy_ref_j / self.runtime_ref_s

    def cost(self, energy_j: Floats, runtime_s: Floats) -> Floats:
        """U of each query, Equation 1; any shapes that broadcast."""
        return self.lam * energy_j / self.energy_ref_j + (1 - self.lam) * runtime_s / self.runtime_ref_s


@dataclass(frozen=True, slots=True, eq=False)
class CostTable:
    """E and R of every shape of a workload on every system: arrays of shape (B, S).

    Cells that a system is known to fail at are `feasible` = False; their energy and runtime are continuations all the
    same, because a single-system baseline must answer for every query and says how many it could not serve.
    """

    energy_j: Floats
    runtime_s: Floats
    feasible: Booleans
    extrapolated: Booleans

    def __post_init__(self) -> None:
        shapes = {self.energy_j.shape, self.runtime_s.shape, self.feasible.shape, self.extrapolated.shape}
        if len(shapes) > 1 or self.energy_j.ndim != 2:
            raise ValueError("the parts of a cost table need one common shape (B, S)")
        if not (np.isfinite(self.energy_j).all() and np.isfinite(self.runtime_s).all()):
            raise ValueError("a cost table holds finite numbers; mark what cannot run as infeasible instead")
