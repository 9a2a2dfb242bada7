"""Small systems with exactly known costs, and requests for them."""

from collections.abc import Sequence

import numpy as np

from wattshed.domain.system import Limits
from wattshed.gateway.fleet.served import ServedSystem
from wattshed.gateway.placing.asking import Ask
from wattshed.predictors.batch import energy_basis, runtime_basis
from wattshed.predictors.curve import Curve, CurvePredictor
from wattshed.predictors.length import Forecast
from wattshed.predictors.predictor import Support
from wattshed.predictors.prefix import PrefixBasis
from wattshed.predictors.regression import BilinearBasis
from wattshed.predictors.table import TableBasis

SUPPORT = Support(1, 4096, 1, 4096, 8192, (1, 2, 8))
ENERGY = (5.0, 1.0, 0.02, 1e-5, 2.0, 0.3, 1e-4, 0.05)
RUNTIME = (0.1, 0.02, 0.001, 1e-7, 0.02, 0.002, 1e-6, 0.001)
"""w0, w1, p1, p2, s0, s1, c and one hinge of the batch form, in J and s."""


def batch(scale_j: float = 1.0, scale_s: float = 1.0, *, misfit: float = 0.0) -> CurvePredictor:
    """A machine that gains by company."""
    energy = curve(energy_basis(SUPPORT), np.array(ENERGY) * scale_j, misfit)
    return CurvePredictor(
        "batch", SUPPORT, energy, curve(runtime_basis(SUPPORT), np.array(RUNTIME) * scale_s, misfit), 1
    )


def prefix(scale_j: float = 1.0, scale_s: float = 1.0, *, misfit: float = 0.0) -> CurvePredictor:
    """A machine that reruns the whole prefix at every step."""
    basis, terms = PrefixBasis((8, 64, 512)), np.array([4.0, 0.5, 0.2, 1.5])
    energy, runtime = curve(basis, terms * scale_j, misfit), curve(basis, terms / 40 * scale_s, misfit)
    return CurvePredictor("prefix", SUPPORT, energy, runtime)


def regression() -> CurvePredictor:
    """The form of the thesis."""
    energy = curve(BilinearBasis(), np.array([0.1, 2.0, 0.001]))
    return CurvePredictor("regression", SUPPORT, energy, curve(BilinearBasis(), np.array([0.001, 0.05, 1e-5])))


def table() -> CurvePredictor:
    """The form of the paper."""
    energy = curve(TableBasis((8, 64, 512), per_token=True), np.array([0.5, 0.7, 1.1]))
    return CurvePredictor(
        "table", SUPPORT, energy, curve(TableBasis((8, 64, 512), per_token=False), np.array([1.0, 2, 4]))
    )


def curve(basis: object, coefficients: np.ndarray, misfit: float = 0.0) -> Curve:
    """A curve without scatter between trials."""
    return Curve(basis, coefficients, np.zeros((coefficients.size, 1)), np.vstack([coefficients] * 2), misfit)  # type: ignore[arg-type]  # any basis


def served(name: str, predictor: CurvePredictor, slots: int = 4, **rest: object) -> ServedSystem:
    """A system with a context of 8,192 tokens."""
    return ServedSystem(name, predictor, slots, **{"context_tokens": 8192, **rest})  # type: ignore[arg-type]  # any field


def fleet(slots: int = 4, **rest: object) -> list[ServedSystem]:
    """A frugal machine, a fast one, and one that takes short requests only."""
    short = Limits(max_total_tokens=64)
    return [
        served("frugal", prefix(), slots, **rest),
        served("fast", prefix(4.0, 0.1), slots, **rest),
        served("short", prefix(0.1, 2.0), slots, limits=short, **rest),
    ]


def ask(systems: int = 3, *, m: int = 100, n: int | Forecast = 50, **rest: object) -> Ask:
    """A request that every system may serve."""
    forecast = n if isinstance(n, Forecast) else Forecast.exactly(n)
    positions, everyone = tuple(range(systems)), (True,) * systems
    return Ask(**{"serving": positions, "input_tokens": m, "forecast": forecast, "available": everyone, **rest})  # type: ignore[arg-type]  # any field


def forecast(lengths: Sequence[int]) -> Forecast:
    """All of them equally likely."""
    return Forecast(np.sort(np.array(lengths)), np.full(len(lengths), 1 / len(lengths)))
