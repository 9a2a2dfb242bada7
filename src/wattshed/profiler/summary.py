"""A cell in numbers: means and half-widths over its trials. The display, the bundle and its re-analysis share it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.measurement import Measurement
from wattshed.profiler.design import Shape
from wattshed.profiler.interval import combined_interval, random_interval
from wattshed.profiler.pace import mean_known


@dataclass(frozen=True, slots=True, order=True)
class CellKey:
    """What trials are pooled by: never across hosts."""

    host: str
    experiment: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over the K trials of a cell, with half-widths at 95 %; `None` where nothing, or one value, was measured.

    `energy_half_width_j` is scatter alone. `combined_half_width_j` holds the sensor's uncertainty too, and is `None`
    where that is not known.
    """

    trials: int
    runtime_s: float
    runtime_half_width_s: float | None
    energy_j: float | None
    energy_half_width_j: float | None
    combined_half_width_j: float | None
    bound: str | None


def pooled(trials: Iterable[Measurement]) -> dict[CellKey, list[Measurement]]:
    """Trials by cell, warm-ups left out, in order of first appearance."""
    pools: dict[CellKey, list[Measurement]] = {}
    for trial in trials:
        if not trial.warm_up:
            pools.setdefault(cell_key(trial), []).append(trial)
    return pools


def cell_key(trial: Measurement) -> CellKey:
    """The cell that a trial belongs to."""
    shape = Shape(trial.requested_input_tokens, trial.requested_output_tokens, trial.system.concurrency)
    return CellKey(trial.system.host or "", trial.experiment, shape)


def summarised(trials: Sequence[Measurement]) -> Summary:
    """The cell of K trials, K at least 1; energies are those of the parts that were measured."""
    runtime_s = np.array([trial.runtime_s for trial in trials])
    energy_j = alike_energies_j(trials)
    sensor = mean_known([trial.sensor_uncertainty for trial in trials if trial.measured_energy_j is not None])
    runtime = random_interval(runtime_s) if runtime_s.size > 1 else None
    energy = random_interval(energy_j) if energy_j.size > 1 else None
    combined = combined_interval(energy_j, sensor) if energy_j.size > 1 and sensor is not None else None
    return Summary(
        trials=len(trials),
        runtime_s=float(np.mean(runtime_s)),
        runtime_half_width_s=None if runtime is None else runtime.upper - runtime.value,
        energy_j=float(np.mean(energy_j)) if energy_j.size else None,
        energy_half_width_j=None if energy is None else energy.upper - energy.value,
        combined_half_width_j=None if combined is None else combined.upper - combined.value,
        bound=_most_common([trial.bound for trial in trials if trial.bound is not None]),
    )


def alike_energies_j(trials: Sequence[Measurement]) -> Floats:
    """Joules of the trials that have some, shape (K,); of none where they differ in boundary, for no mean has two."""
    metered = [trial for trial in trials if trial.measured_energy_j is not None]
    if len({trial.boundary for trial in metered}) > 1:
        return np.zeros(0)
    return np.array([trial.measured_energy_j for trial in metered], np.float64)


def _most_common(values: Sequence[str]) -> str | None:
    return Counter(values).most_common(1)[0][0] if values else None
