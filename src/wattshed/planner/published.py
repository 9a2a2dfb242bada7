"""The paper as published: its own rules, applied to its own trials, compared with every value that it plots.

Nothing here is improved. Which trials count, what divides what and what is multiplied by what follow the authors' plots
(found from their released data; each rule below names the figure it belongs to). `audit.py` undoes them one by one.
Source: Wilkins, Keshav, Mortier (2024), Figures 1, 2, 4 and 5, Equations 9 and 10.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from wattshed.datasets.published import PublishedPoint
from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.measurement import Measurement, Profile
from wattshed.planner.curves import Sweep, SweepCurve, varied_tokens
from wattshed.units import kwh

M1: Final = "M1-Pro"
V100: Final = "Palmetto Intel+V100"
A100: Final = "Swing AMD+A100"

FIGURE_SYSTEMS: Final = frozenset({M1, V100, A100})
"""Systems drawn in Figures 1 and 2; a measured A100 node of the Palmetto cluster is left out."""

THRESHOLDS: Final[dict[Sweep, tuple[int, ...]]] = {
    "input": (8, 16, 32, 64, 128, 256, 512, 1024, 2048),
    "output": (8, 16, 32, 64, 128, 256, 512),
}
"""Thresholds that Figures 4 (input) and 5 (output) try; the M1 stops at 512 output tokens."""

HYBRID_FIGURE: Final[dict[Sweep, str]] = {"input": "figure 4", "output": "figure 5"}


def is_plotted(trial: Measurement) -> bool:
    """Whether the trial is among those that any figure draws: a figure system, with a logged token count."""
    return trial.system.name in FIGURE_SYSTEMS and trial.logged_total_tokens is not None


def counts_in_figure_1(trial: Measurement) -> bool:
    """Figures 1, 4 and 5 drop every iteration whose number holds the digit 0 (0, 10, 20, ...), not the first alone."""
    return is_plotted(trial) and "0" not in str(trial.trial)


def counts_in_figure_2(trial: Measurement) -> bool:
    """Figure 2 drops the first iteration only."""
    return is_plotted(trial) and trial.trial != 0


def sweep_points(profile: Profile) -> list[PublishedPoint]:
    """The means of Figures 1 and 2: runtime, throughput, energy per token, and the total energy drawn beside them."""
    first = [t for t in profile.measurements if t.experiment == "paper-input" and counts_in_figure_1(t)]
    second = [t for t in profile.measurements if t.experiment == "paper-output" and counts_in_figure_2(t)]
    return _means("figure 1", first, "input") + _means("figure 2", second, "output")


def sweep_curves(
    profile: Profile, sweep: Sweep, models: Sequence[str] | None = None, rng: np.random.Generator | None = None
) -> dict[str, SweepCurve]:
    """The curves of the M1 and the A100 behind Figures 4 and 5, over `models` (all that were plotted when None)."""
    counted = [t for t in profile.measurements if t.experiment == f"paper-{sweep}" and counts_in_figure_1(t)]
    return {
        name: SweepCurve.of(
            (t for t in counted if t.system.name == name and (models is None or t.system.model in models)), sweep, rng
        )
        for name in (M1, A100)
    }


def hybrid_points(profile: Profile, lengths: Integers, queries: Integers) -> list[PublishedPoint]:
    """Figures 4 and 5 by Equations 9 and 10; `lengths` and `queries`, shape (N,), are the Alpaca input histogram.

    Both figures use the input histogram, and both multiply the runtime of a query by its length, as published.
    """
    points: list[PublishedPoint] = []
    for sweep in ("input", "output"):
        curves = sweep_curves(profile, sweep)
        tokens = lengths * queries
        energy_kwh = {s: kwh(1.0) * c.nearest(c.energy_per_token_j, lengths)[0] * tokens for s, c in curves.items()}
        runtime = {s: c.nearest(c.runtime_s, lengths)[0] * tokens for s, c in curves.items()}
        points += _threshold_points(sweep, "energy_kwh", lengths, energy_kwh)
        points += _threshold_points(sweep, "runtime_token_s", lengths, runtime)
    return points


@dataclass(frozen=True, slots=True)
class Difference:
    """One published point beside the value computed from the trials, and their relative difference."""

    published: PublishedPoint
    computed: float | None

    @property
    def relative_difference(self) -> float:
        """|computed / published - 1|; infinite where nothing could be computed."""
        return float("inf") if self.computed is None else abs(self.computed / self.published.value - 1)


def compare(computed: Iterable[PublishedPoint], published: Iterable[PublishedPoint]) -> list[Difference]:
    """Every published point with its computed twin, in the published order."""
    values = {(p.figure, p.quantity, p.series, p.model, p.tokens): p.value for p in computed}
    return [Difference(p, values.get((p.figure, p.quantity, p.series, p.model, p.tokens))) for p in published]


@dataclass(frozen=True, slots=True)
class Reproduced:
    """How close one figure comes to its published points."""

    figure: str
    points: int
    max_relative_difference: float
    worst: Difference


def by_figure(differences: Iterable[Difference]) -> list[Reproduced]:
    """The differences gathered by figure, in order of first appearance."""
    figures: dict[str, list[Difference]] = defaultdict(list)
    for difference in differences:
        figures[difference.published.figure].append(difference)
    worst = {name: max(points, key=lambda point: point.relative_difference) for name, points in figures.items()}
    return [Reproduced(name, len(figures[name]), top.relative_difference, top) for name, top in worst.items()]


@dataclass(frozen=True, slots=True)
class PublishedSaving:
    """The best hybrid of Figure 4 or 5 against both single systems; savings are fractions of the baseline."""

    figure: str
    threshold_tokens: int
    hybrid_energy_kwh: float
    a100_energy_kwh: float
    m1_energy_kwh: float

    @property
    def against_a100(self) -> float:
        """The saving the paper quotes."""
        return 1 - self.hybrid_energy_kwh / self.a100_energy_kwh

    @property
    def against_m1(self) -> float:
        """The saving it leaves out."""
        return 1 - self.hybrid_energy_kwh / self.m1_energy_kwh


def published_savings(points: Iterable[PublishedPoint]) -> list[PublishedSaving]:
    """The optimum of Figures 4 and 5 among `points`, computed or published."""
    energies = [point for point in points if point.quantity == "energy_kwh"]
    savings = []
    for figure in HYBRID_FIGURE.values():
        alone = {point.series: point.value for point in energies if point.figure == figure and point.tokens is None}
        hybrid = {
            point.tokens: point.value for point in energies if point.figure == figure and point.tokens is not None
        }
        best = min(hybrid, key=hybrid.__getitem__)
        savings.append(PublishedSaving(figure, best, hybrid[best], alone[f"{A100} only"], alone[f"{M1} only"]))
    return savings


def _means(figure: str, trials: Iterable[Measurement], sweep: Sweep) -> list[PublishedPoint]:
    pools: dict[tuple[str, str, int], list[Measurement]] = defaultdict(list)
    for trial in trials:
        pools[trial.system.name, trial.system.model, varied_tokens(trial, sweep)].append(trial)
    return [
        PublishedPoint(figure, quantity, system, model, tokens, float(np.mean(values)))
        for (system, model, tokens), pool in pools.items()
        for quantity, values in _quantities(pool).items()
    ]


def _quantities(pool: Sequence[Measurement]) -> dict[str, Floats]:
    """The four plotted quantities of K trials, shape (K,) each; a mean of ratios, not a ratio of means."""
    runtime_s = np.array([trial.runtime_s for trial in pool])
    energy_j = np.array([trial.energy_j("total") for trial in pool], np.float64)
    logged_tokens = np.array([trial.logged_total_tokens for trial in pool], np.float64)
    return {
        "runtime_s": runtime_s,
        "throughput_tokens_per_s": logged_tokens / runtime_s,
        "energy_per_token_j": energy_j / logged_tokens,
        "energy_j": energy_j,
    }


def _threshold_points(
    sweep: Sweep, quantity: str, lengths: Integers, per_length: dict[str, Floats]
) -> list[PublishedPoint]:
    figure = HYBRID_FIGURE[sweep]
    hybrid = [
        PublishedPoint(
            figure,
            quantity,
            "hybrid",
            None,
            most,
            float(np.where(lengths <= most, per_length[M1], per_length[A100]).sum()),
        )
        for most in THRESHOLDS[sweep]
    ]
    alone = [
        PublishedPoint(figure, quantity, f"{system} only", None, None, float(per_length[system].sum()))
        for system in (M1, A100)
    ]
    return hybrid + alone
