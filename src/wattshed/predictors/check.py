"""What a predictor is worth: its errors at cells it was fitted to, at token counts it has never met, and its intervals.

Everything said of a cell left out comes from a complete fit without it, misfit and standard errors included.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.choices import Channel, PredictorKind
from wattshed.domain.measurement import Cell, Measurement, Profile, cells
from wattshed.errors import InputError
from wattshed.predictors.batch import BatchPredictor
from wattshed.predictors.bootstrap import token_means
from wattshed.predictors.curve import Z_95, CurvePredictor, Estimate
from wattshed.predictors.fit import Pair, fit_pair, training_trials
from wattshed.predictors.folds import folds

Quantity = Literal["energy", "runtime"]

REPLICATES = 50
"""Resamplings behind each of the many fits of a check; enough for a standard error (see `bootstrap.py`)."""


@dataclass(frozen=True, slots=True)
class Check:
    """Errors of one quantity on one system, as fractions of the measured cell means.

    `fit_mape` is over the `cells` fitted. `held_out_mape`, `held_out_max_error` and `coverage` (share inside the 95 %
    interval) are over `held_out_cells`, each left out with its token count. `unseen_mape` is over the cells of
    validation experiments, whose (m, n) no fit has seen. `None` where there is no such cell.
    """

    system: str
    model: str
    quantity: Quantity
    cells: int
    fit_mape: float
    held_out_cells: int
    held_out_mape: float | None
    held_out_max_error: float | None
    coverage: float | None
    unseen_mape: float | None


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """Relative errors of N predictions, and the half-widths of their intervals on the same scale; shape (N,) each."""

    error: Floats
    half_width: Floats

    @classmethod
    def of(cls, estimate: Estimate, measured: Sequence[float]) -> "_Errors":
        size = np.abs(measured)
        return cls((estimate.mean - measured) / size, Z_95 * estimate.sd / size)

    def __add__(self, other: "_Errors") -> "_Errors":
        return _Errors(np.append(self.error, other.error), np.append(self.half_width, other.half_width))

    @property
    def mape(self) -> float | None:
        return float(np.abs(self.error).mean()) if self.error.size else None

    @property
    def worst(self) -> float | None:
        return float(np.abs(self.error).max()) if self.error.size else None

    @property
    def coverage(self) -> float | None:
        return float((np.abs(self.error) <= self.half_width).mean()) if self.error.size else None


_NONE = _Errors(np.zeros(0), np.zeros(0))


def check(
    profile: Profile,
    *,
    kind: PredictorKind = "prefix",
    channel: Channel = "total",
    only: Collection[Pair] | None = None,
) -> tuple[Check, ...]:
    """Two checks, of energy and of runtime, for every pair of the profile (or in `only`) that can be fitted."""
    return tuple(
        one
        for pair in training_trials(profile)
        if only is None or pair in only
        for one in check_pair(profile, pair, kind=kind, channel=channel)
    )


def check_pair(profile: Profile, pair: Pair, *, kind: PredictorKind, channel: Channel) -> tuple[Check, ...]:
    """The checks of energy and of runtime of one pair; none where it cannot be fitted. Costs one fit a cell."""
    trials = training_trials(profile)[pair]
    try:
        fitted = fit_pair(trials, kind, channel, replicates=REPLICATES)
    except InputError:
        return ()
    trained = cells(trials, channel)
    held_out = _held_out(trials, trained, kind=kind, channel=channel)
    unseen = _errors(fitted, _unseen_cells(profile, pair, channel))
    seen = _errors(fitted, trained)
    quantities: tuple[Quantity, Quantity] = ("energy", "runtime")
    return tuple(
        Check(
            *pair,
            quantity,
            len(trained),
            seen[at].mape or 0.0,
            held_out[at].error.size,
            held_out[at].mape,
            held_out[at].worst,
            held_out[at].coverage,
            unseen[at].mape,
        )
        for at, quantity in enumerate(quantities)
    )


def _errors(fitted: CurvePredictor, pooled: Sequence[Cell]) -> tuple[_Errors, _Errors]:
    """Errors of energy and of runtime at C cells, each at its own concurrency where the form asks for that."""
    energy, runtime = _NONE, _NONE
    for concurrency in sorted({cell.concurrency for cell in pooled}):
        seen = BatchPredictor(fitted).at(concurrency) if fitted.kind == "batch" else fitted
        alike = [cell for cell in pooled if cell.concurrency == concurrency]
        m, n = token_means(alike)
        energy += _Errors.of(seen.energy.estimate(m, n), [float(cell.energy_j.mean()) for cell in alike])
        runtime += _Errors.of(seen.runtime.estimate(m, n), [float(cell.runtime_s.mean()) for cell in alike])
    return energy, runtime


def _held_out(
    trials: Sequence[Measurement], trained: Sequence[Cell], *, kind: PredictorKind, channel: Channel
) -> tuple[_Errors, _Errors]:
    """Errors of energy and of runtime at every cell that some fold leaves out, each said by a fit without its fold."""
    energy, runtime = _NONE, _NONE
    for out in folds(trained):
        left_out = [cell for cell, is_out in zip(trained, out, strict=True) if is_out]
        keys = {(cell.concurrency, *_key(cell)) for cell in left_out}
        try:
            kept = [trial for trial in trials if (trial.system.concurrency, *_key(trial)) not in keys]
            fitted = fit_pair(kept, kind, channel, replicates=REPLICATES)
        except InputError:  # too few cells remain
            continue
        of_energy, of_runtime = _errors(fitted, left_out)
        energy, runtime = energy + of_energy, runtime + of_runtime
    return energy, runtime


def _key(of: Cell | Measurement) -> tuple[str, int, int]:
    return of.experiment, of.requested_input_tokens, of.requested_output_tokens


def _unseen_cells(profile: Profile, pair: Pair, channel: Channel) -> list[Cell]:
    """The cells of validation experiments of one pair."""
    return cells(
        (
            trial
            for trial in profile.measurements
            if (trial.system.name, trial.system.model) == pair and trial.experiment in profile.validation_experiments
        ),
        channel,
    )
