"""What a predictor is worth: its errors at cells it was fitted to, at token counts it has never met, and its intervals.

Everything said of a cell left out comes from a complete fit without it, misfit and standard errors included. Cells that
the host paced are counted apart as well: they wander with the host, whatever the form.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wattshed.domain.arrays import Booleans, Floats
from wattshed.domain.choices import Channel, PredictorKind
from wattshed.domain.joining import told_apart
from wattshed.domain.measurement import Cell, Measurement, Profile, cells
from wattshed.errors import InputError
from wattshed.predictors.batch import BatchPredictor
from wattshed.predictors.bootstrap import token_means
from wattshed.predictors.curve import Z_95, CurvePredictor, Estimate
from wattshed.predictors.fit import Pair, fit_pair, training_trials
from wattshed.predictors.folds import folds

Quantity = Literal["energy", "runtime"]

_Key = tuple[str, int, int, int]
"""Experiment, requested m and n, and concurrency: what makes a cell of one system."""

REPLICATES = 50
"""Resamplings behind each of the many fits of a check; enough for a standard error (see `bootstrap.py`)."""


@dataclass(frozen=True, slots=True)
class Check:
    """Errors of one quantity on one system, as fractions of the measured cell means.

    `fit_mape` is over the `cells` fitted. `held_out_mape`, `held_out_max_error` and `coverage` (share inside the 95 %
    interval) are over `held_out_cells`, each left out with its token count: `host_bound_mape` over the
    `host_bound_cells` among them, `other_mape` over the others. `unseen_mape` is over the cells of validation
    experiments, whose (m, n) no fit has seen. `None` where there is no such cell.
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
    host_bound_cells: int = 0
    host_bound_mape: float | None = None
    other_mape: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """Relative errors of N predictions, the half-widths of their intervals on the same scale, and whether the host
    paced the cell; shape (N,) each.
    """

    error: Floats
    half_width: Floats
    host_bound: Booleans

    @classmethod
    def of(cls, estimate: Estimate, measured: Sequence[float], host_bound: Sequence[bool]) -> "_Errors":
        size = np.abs(measured)
        return cls((estimate.mean - measured) / size, Z_95 * estimate.sd / size, np.array(host_bound, np.bool_))

    def __add__(self, other: "_Errors") -> "_Errors":
        return _Errors(
            np.append(self.error, other.error),
            np.append(self.half_width, other.half_width),
            np.append(self.host_bound, other.host_bound),
        )

    def where(self, kept: Booleans) -> "_Errors":
        """Those to keep."""
        return _Errors(self.error[kept], self.half_width[kept], self.host_bound[kept])

    @property
    def mape(self) -> float | None:
        return float(np.abs(self.error).mean()) if self.error.size else None

    @property
    def worst(self) -> float | None:
        return float(np.abs(self.error).max()) if self.error.size else None

    @property
    def coverage(self) -> float | None:
        return float((np.abs(self.error) <= self.half_width).mean()) if self.error.size else None


_NONE = _Errors(np.zeros(0), np.zeros(0), np.zeros(0, np.bool_))


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
    unseen = _errors(fitted, _among(trained, _unseen_cells(profile, pair, channel)), set())
    seen = _errors(fitted, trained, set())
    quantities: tuple[Quantity, Quantity] = ("energy", "runtime")
    return tuple(
        _check(pair, quantity, fitted=seen[at], held_out=held_out[at], unseen=unseen[at])
        for at, quantity in enumerate(quantities)
    )


def _check(pair: Pair, quantity: Quantity, *, fitted: _Errors, held_out: _Errors, unseen: _Errors) -> Check:
    by_host = held_out.where(held_out.host_bound)
    return Check(
        *pair,
        quantity,
        cells=fitted.error.size,
        fit_mape=fitted.mape or 0.0,
        held_out_cells=held_out.error.size,
        held_out_mape=held_out.mape,
        held_out_max_error=held_out.worst,
        coverage=held_out.coverage,
        unseen_mape=unseen.mape,
        host_bound_cells=by_host.error.size,
        host_bound_mape=by_host.mape,
        other_mape=held_out.where(~held_out.host_bound).mape,
    )


def _errors(fitted: CurvePredictor, pooled: Sequence[Cell], by_host: Collection[_Key]) -> tuple[_Errors, _Errors]:
    """Errors of energy and of runtime at C cells, each at its own concurrency where the form asks for that.

    `by_host` names the cells that the host paced.
    """
    energy, runtime = _NONE, _NONE
    for concurrency in sorted({cell.concurrency for cell in pooled}):
        seen = BatchPredictor(fitted).at(concurrency) if fitted.kind == "batch" else fitted
        alike = [cell for cell in pooled if cell.concurrency == concurrency]
        m, n = token_means(alike)
        paced = [_key(cell) in by_host for cell in alike]
        energy += _Errors.of(seen.energy.estimate(m, n), [float(cell.energy_j.mean()) for cell in alike], paced)
        runtime += _Errors.of(seen.runtime.estimate(m, n), [float(cell.runtime_s.mean()) for cell in alike], paced)
    return energy, runtime


def _held_out(
    trials: Sequence[Measurement], trained: Sequence[Cell], *, kind: PredictorKind, channel: Channel
) -> tuple[_Errors, _Errors]:
    """Errors of energy and of runtime at every cell that some fold leaves out, each said by a fit without its fold."""
    energy, runtime = _NONE, _NONE
    by_host = {_key(trial) for trial in trials if trial.bound == "host" and not trial.warm_up}
    for out in folds(trained):
        left_out = [cell for cell, is_out in zip(trained, out, strict=True) if is_out]
        keys = {_key(cell) for cell in left_out}
        try:
            kept = [trial for trial in trials if _key(trial) not in keys]
            fitted = fit_pair(kept, kind, channel, replicates=REPLICATES)
        except InputError:  # too few cells remain
            continue
        of_energy, of_runtime = _errors(fitted, left_out, by_host)
        energy, runtime = energy + of_energy, runtime + of_runtime
    return energy, runtime


def _key(of: Cell | Measurement) -> _Key:
    concurrency = of.concurrency if isinstance(of, Cell) else of.system.concurrency
    return of.experiment, of.requested_input_tokens, of.requested_output_tokens, concurrency


def _among(trained: Sequence[Cell], pooled: Iterable[Cell]) -> list[Cell]:
    """The cells whose concurrency the fit knows: a reference cell may be named at any other."""
    known = [cell.concurrency for cell in trained]
    return [cell for cell in pooled if min(known) <= cell.concurrency <= max(known)]


def _unseen_cells(profile: Profile, pair: Pair, channel: Channel) -> list[Cell]:
    """The cells of validation experiments of one pair."""
    return cells(
        (
            trial
            for trial in told_apart(profile).measurements
            if (trial.system.name, trial.system.model) == pair and trial.experiment in profile.validation_experiments
        ),
        channel,
    )
