"""Simulated runs in words: figures with their intervals, verdicts between policies, and what qualifies them."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from wattshed.simulator.results import Figure, Summary
from wattshed.simulator.results_comparison import Comparison
from wattshed.simulator.scenario import Run
from wattshed.units import kwh, percent

FULL: Final = 0.97
"""Utilisation from which a system is as good as full: its queue grows for as long as the run lasts, or room allows."""


def shown(figure: Figure | None, *, digits: int = 3, scale: float = 1.0) -> str:
    """A figure with half the width of its interval, times `scale`; a dash where it is not known."""
    if figure is None or figure.value is None or figure.lower is None or figure.upper is None:
        return "–"
    value, half = scale * figure.value, abs(scale) * (figure.upper - figure.lower) / 2
    return _plain(value, digits) + (f" ± {_plain(half, 2)}" if half > 1e-9 * abs(value) else "")


def _plain(value: float, digits: int) -> str:
    """So many digits, and all those before the point: 1,110 and not 1.11e+03."""
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:,.{digits}g}"


def shown_in_kwh(figure: Figure | None) -> str:
    """Joules as kilowatt-hours."""
    return shown(figure, scale=kwh(1))


def verdicts(comparison: Comparison) -> Iterator[str]:
    """A sentence on each other policy: energy and the slowest twentieth, with what other seeds would change."""
    for name, differences in comparison.differences.items():
        other, own = comparison.summaries[name], comparison.summaries[comparison.chosen]
        known = own.energy_j.value is not None and other.energy_j.value is not None
        energy, against = ("energy_j", other.energy_j) if known else ("served_energy_j", other.served_energy_j)
        kind = "energy" if known else "energy of queries (idling is not known)"
        slow = _difference(differences["runtime_s.p95"], other.times["runtime_s"]["p95"], "s", "longer", "shorter")
        spent = _difference(differences[energy], against, "kWh", "more", "less")
        yield f"{comparison.chosen} against {name}: {kind} {spent}; 95 % of queries within a time {slow}."


def caveats(comparison: Comparison) -> Iterator[str]:
    """What a reader has to know beside the numbers."""
    own = comparison.summaries[comparison.chosen]
    yield f"Boundary: {comparison.boundary}. {_intervals(comparison, own)}"
    if own.warm_up_s:
        yield f"Times leave out queries of the first {own.warm_up_s:g} s; joules are of the whole run."
    run = comparison.runs[comparison.chosen]
    alone = [machine.name for machine in run.scenario.machines if machine.steps is None]
    if alone:
        names = ", ".join(alone)
        yield (
            f"A query holds a slot of {names} by itself, its first token comes when R(m, 1) says: only a predictor of "
            f"kind batch knows what company does."
        )
    broken = [machine.name for machine in run.scenario.machines if machine.operation.failures is not None]
    if broken:
        yield f"What {', '.join(broken)} draws while it is down is not counted."
    yield from _crowded(comparison)
    yield from dict.fromkeys(
        f"Not known: {reason}." for one in comparison.summaries.values() for reason in _reasons(one)
    )
    for name, one in comparison.summaries.items():
        if not one.compiled:
            yield f"{name} cannot be compiled and ran at Python speed."
    yield from _outside(comparison)


def _intervals(comparison: Comparison, own: Summary) -> str:
    said = f"Intervals are 95 %, Student's t over {own.seeds} seeds"
    return said + (
        "." if comparison.chancy else ": the arrivals are the same in all, so they show lots and failures only."
    )


def _difference(difference: Figure, of: Figure, unit: str, more: str, less: str) -> str:
    """A paired difference, also as a share of what the other policy has."""
    if difference.value is None or difference.lower is None or difference.upper is None or not of.value:
        return "not known"
    if difference.lower == difference.upper == 0:
        return "the same"
    scale = kwh(1) if unit == "kWh" else 1.0
    low, high = sorted((abs(difference.lower), abs(difference.upper)))
    if difference.lower <= 0 <= difference.upper:
        share = percent(max(low, high) / of.value)
        return f"no different for certain ({scale * difference.value:+.3g} {unit}, at most {share:.2g} %)"
    word = more if difference.value > 0 else less
    shares = tuple(percent(one / of.value) for one in (abs(difference.value), low, high))
    return f"{scale * abs(difference.value):.3g} {unit} {word} ({shares[0]:.3g} %, {shares[1]:.3g} to {shares[2]:.3g})"


def _crowded(comparison: Comparison) -> Iterator[str]:
    for name, one in comparison.summaries.items():
        full = [system.name for system in one.systems if (system.utilisation.value or 0.0) >= FULL]
        if full:
            yield f"Under {name} {', '.join(full)} has hardly a free slot: it is asked for all that it can do, or more."


def _reasons(one: Summary) -> Iterator[str]:
    """Why figures are not known, those of the whole fleet first."""
    figures: list[Figure] = [one.energy_j, *(figure for time in one.times.values() for figure in time.values())]
    for figure in figures:
        if figure.reason is not None:
            yield figure.reason


def _outside(comparison: Comparison) -> Iterator[str]:
    run = comparison.runs[comparison.chosen]
    outside, served = outside_measured(run)
    if outside:
        share = percent(outside / served)
        yield f"{share:.3g} % of the queries of {comparison.chosen} lie outside the measured range of their system."


def outside_measured(run: Run) -> tuple[int, int]:
    """Queries served outside the measured range of their system, and all that were served."""
    served = run.service.position >= 0
    bucket, position = run.scenario.bucket[served], run.service.position[served]
    return int(np.count_nonzero(run.scenario.costs.extrapolated[bucket, position])), int(served.sum())


def energy_rows(summaries: Mapping[str, Summary]) -> Iterator[tuple[str, str, str, Figure]]:
    """Policy, system, state and joules, for all that are known."""
    for name, one in summaries.items():
        for system in one.systems:
            for state, figure in system.energy_j.items():
                if figure.value is not None:
                    yield name, system.name, state, figure
