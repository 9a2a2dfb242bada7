"""Measurements: one trial of one cell, and the profile that collects them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.choices import Channel
from wattshed.domain.system import Limits, System


@dataclass(frozen=True, slots=True)
class Measurement:
    """One trial: a query of m input and n output tokens run once on one system.

    Column by column the same as the table in `domain/schema.py`, which gives unit and meaning of each; the fields of
    `system` stand beside them as columns of their own. `None` is "not measured", and `reasons` says why; a
    `sensor_uncertainty` of `None` beside joules says that a sensor behind them is of unknown accuracy.
    """

    system: System
    experiment: str
    requested_input_tokens: int
    requested_output_tokens: int
    input_tokens: int
    output_tokens: int
    trial: int
    warm_up: bool
    runtime_s: float
    boundary: str
    order: int | None = None
    compute_runtime_s: float | None = None
    ttft_s: float | None = None
    gpu_energy_j: float | None = None
    cpu_energy_j: float | None = None
    package_energy_j: float | None = None
    idle_power_w: float | None = None
    sensor_uncertainty: float | None = None
    logged_total_tokens: int | None = None
    energy_method: str | None = None
    session: int | None = None
    started_at_s: float | None = None
    window_s: float | None = None
    window_queries: int | None = None
    memory_energy_j: float | None = None
    platform_energy_j: float | None = None
    cached_tokens: float | None = None
    host_cpu_s: float | None = None
    host_load: float | None = None
    gpu_utilization: float | None = None
    gpu_limit_share: float | None = None
    bound: str | None = None
    reasons: tuple[str, ...] = ()
    note: str | None = None

    def energy_j(self, channel: Channel) -> float | None:
        """Energy of the trial on one channel, gross as recorded; `None` where a part of it was not measured."""
        if channel == "gpu":
            return self.gpu_energy_j
        if channel == "cpu":
            return self.cpu_energy_j
        if channel == "platform":
            return self.platform_energy_j
        if self.gpu_energy_j is None or self.cpu_energy_j is None:
            return None
        return self.gpu_energy_j + self.cpu_energy_j

    @property
    def measured_energy_j(self) -> float | None:
        """Energy of accelerator and processor, as far as measured, added up; of the platform where neither was.

        `None` where none was. Whose joules they are is in `boundary`. Memory is in no sum, since not every machine
        tells it apart and a sum with it would compare with none without.
        """
        parts = [energy_j for energy_j in (self.gpu_energy_j, self.cpu_energy_j) if energy_j is not None]
        return sum(parts) if parts else self.platform_energy_j

    @property
    def query_runtime_s(self) -> float:
        """Seconds the query itself took, without meter start and sleep where the source tells them apart."""
        return self.runtime_s if self.compute_runtime_s is None else self.compute_runtime_s


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """The K trials of one system at one requested (m, n): `energy_j` and `runtime_s` have shape (K,), K at least 1.

    `input_tokens` and `output_tokens` are the means of what was achieved, which may differ from what was requested.
    `concurrency` requests were in flight together; joules and seconds are those of one of them.
    """

    experiment: str
    requested_input_tokens: int
    requested_output_tokens: int
    concurrency: int
    input_tokens: float
    output_tokens: float
    energy_j: Floats
    runtime_s: Floats


@dataclass(frozen=True, slots=True)
class Profile:
    """The measurements of one campaign or publication.

    `limits` holds what each (system name, model) is known to fail at. Trials of `validation_experiments` are kept
    out of every fit, so that they can test it.
    """

    name: str
    measurements: tuple[Measurement, ...]
    limits: Mapping[tuple[str, str], Limits] = field(default_factory=dict)
    validation_experiments: frozenset[str] = frozenset()

    @property
    def systems(self) -> tuple[System, ...]:
        """Every system measured, sorted."""
        return tuple(
            sorted({trial.system for trial in self.measurements}, key=lambda system: (system.name, system.model))
        )

    def limits_of(self, system: str, model: str) -> Limits:
        """What the system is known to fail at; no limits where nothing is known."""
        return self.limits.get((system, model), Limits())

    def where(self, keep: Callable[[Measurement], bool]) -> "Profile":
        """The same profile with only the trials to keep."""
        kept = tuple(trial for trial in self.measurements if keep(trial))
        return Profile(self.name, kept, self.limits, self.validation_experiments)


def cells(trials: Iterable[Measurement], channel: Channel) -> list[Cell]:
    """Trials pooled by experiment, requested (m, n) and concurrency, in order of first appearance; no warm-ups.

    Trials without energy on `channel` are left out too, so a cell has as many energies as runtimes. All trials must
    belong to one system, whatever its concurrency: pooling across systems (or hosts) is a ValueError.
    """
    pools: dict[tuple[str, int, int, int], list[Measurement]] = {}
    system: System | None = None
    for trial in trials:
        if system is not None and trial.system != system and trial.system.single != system.single:
            raise ValueError(f"trials of {system.label} and {trial.system.label} cannot share a cell")
        system = trial.system
        if not trial.warm_up and trial.energy_j(channel) is not None:
            tokens = (trial.requested_input_tokens, trial.requested_output_tokens)
            pools.setdefault((trial.experiment, *tokens, trial.system.concurrency), []).append(trial)
    return [
        Cell(
            *key,
            float(np.mean([trial.input_tokens for trial in pool])),
            float(np.mean([trial.output_tokens for trial in pool])),
            np.array([trial.energy_j(channel) for trial in pool], np.float64),
            np.array([trial.query_runtime_s for trial in pool], np.float64),
        )
        for key, pool in pools.items()
    ]


def cell_shapes(pooled: Iterable[Cell]) -> tuple[Integers, Integers]:
    """Achieved (m, n) of C cells, rounded to whole tokens: two arrays of shape (C,)."""
    shapes = [(round(cell.input_tokens), round(cell.output_tokens)) for cell in pooled]
    m, n = np.array(shapes, np.int64).reshape(-1, 2).T
    return m, n
