"""Synthetic profiles whose truth is known exactly, and a way to fit one system."""

from collections.abc import Callable, Iterable
from functools import cache

import numpy as np

from wattshed.domain.choices import PredictorKind
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System
from wattshed.predictors.curve import CurvePredictor
from wattshed.predictors.fit import fit

SYSTEM = System("bench", "toy", "abacus")
PAIR = (SYSTEM.name, SYSTEM.model)
POWERS = tuple(2**power for power in range(3, 12))
SWEEPS = {"input": [(m, 32) for m in POWERS], "output": [(32, n) for n in POWERS]}
"""The paper's design: two one-factor sweeps."""

Cost = Callable[[int, int], float]


def summed(base: float, step: Callable[[int], float]) -> Cost:
    """The cost of (m, n): `base` once and `step` of every prefix length, added up one by one."""

    @cache
    def cost(m: int, n: int) -> float:
        return base + sum(step(m + t) for t in range(n))

    return cost


def profile(energy_j: Cost, *, noise: float = 0.0, system: System = SYSTEM, trials: int = 5) -> Profile:
    """Both sweeps of a system whose energy is known; it runs at 100 W."""
    rng = np.random.default_rng(3)
    return Profile(
        "synthetic",
        tuple(
            trial(experiment, cell, number, energy_j(*cell) * (1 + noise * rng.standard_normal()), system=system)
            for experiment, cells in SWEEPS.items()
            for cell in cells
            for number in range(1, trials + 1)
        ),
    )


def trial(
    experiment: str, cell: tuple[int, int], number: int, energy_j: float, *, system: System = SYSTEM
) -> Measurement:
    """One trial that used `energy_j` at 100 W, one part in ten on the processor."""
    m, n = cell
    return Measurement(
        system,
        experiment,
        m,
        n,
        m,
        n,
        number,
        warm_up=False,
        runtime_s=energy_j / 100,
        boundary="all",
        gpu_energy_j=0.9 * energy_j,
        cpu_energy_j=0.1 * energy_j,
        logged_total_tokens=m + n,
    )


def fitted(measured: Profile, kind: PredictorKind) -> CurvePredictor:
    """The predictor of the one system of a profile."""
    return fit(measured, kind=kind).predictor(*PAIR)


def grid(inputs: Iterable[int], outputs: Iterable[int]) -> np.ndarray:
    """Every combination, shape (2, N)."""
    return np.array([(m, n) for m in inputs for n in outputs]).T
