"""Figures 1 to 5 of the paper, redrawn from the trials (lines) beside what was published (open rings)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from wattshed.datasets.published import PublishedPoint
from wattshed.domain.arrays import Integers
from wattshed.report.canvas import INK, drawn, marker, panels, powers_of_two, system_colour

PANELS: Final = {
    "runtime_s": "Runtime (s)",
    "throughput_tokens_per_s": "Throughput (tokens/s)",
    "energy_per_token_j": "Energy per token (J)",
}
"""Panels (a) to (c) of Figures 1 and 2."""

AXIS: Final = {"figure 1": "Input tokens m (n = 32)", "figure 2": "Output tokens n (m = 32)"}


@drawn
def sweep_figure(figure: str, computed: Sequence[PublishedPoint], published: Sequence[PublishedPoint]) -> Figure:
    """Figure 1 or 2: runtime, throughput and energy per token along one sweep, a colour a system, a marker a model."""
    drawing, axes = panels(len(PANELS), height_in=3.6)
    systems = sorted({point.series for point in computed if point.figure == figure})
    models = sorted({point.model or "" for point in computed if point.figure == figure})
    for axis, (quantity, label), letter in zip(axes, PANELS.items(), "abc", strict=True):
        for (system, model), (tokens, values) in _curves(computed, figure, quantity).items():
            shown, mark = system_colour(system, systems.index(system)), marker(models.index(model or ""))
            axis.plot(tokens, values, label=f"{system} · {model}", color=shown, marker=mark)
        for tokens, values in _curves(published, figure, quantity).values():
            axis.plot(tokens, values, "o", mfc="none", mec=INK, ms=8, mew=0.6)
        axis.set(xscale="log", yscale="log", xlabel=AXIS[figure], title=f"{figure[-1]}{letter}  {label}")
        powers_of_two(axis)
    handles, labels = axes[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=3)
    return drawing


@drawn
def lengths_figure(lengths: dict[str, tuple[Integers, Integers]]) -> Figure:
    """Figure 3: how long Alpaca's queries are; one panel a name, (tokens, queries) of shape (N,) each."""
    drawing, axes = panels(len(lengths), height_in=2.8, width_in=4.4)
    for axis, (name, (tokens, queries)) in zip(axes, lengths.items(), strict=True):
        axis.bar(tokens, queries, width=1.0, color="#7a8794")
        middle = int(np.repeat(tokens, queries)[int(queries.sum()) // 2])
        axis.axvline(middle, color=INK, lw=1, ls=":")
        axis.annotate(f"median {middle}", (middle, queries.max()), xytext=(6, -8), textcoords="offset points")
        axis.set(xlabel=f"{name} tokens", ylabel="queries", title=f"3  {name} lengths of Alpaca", xlim=(0, None))
    return drawing


@drawn
def hybrid_figure(figure: str, computed: Sequence[PublishedPoint], published: Sequence[PublishedPoint]) -> Figure:
    """Figure 4 or 5: energy and (token-weighted) runtime of the hybrid against the threshold."""
    drawing, axes = panels(2, height_in=3.2, width_in=4.4)
    quantities = {"energy_kwh": "Energy (kWh)", "runtime_token_s": "Runtime × length (token s), as published"}
    for axis, (quantity, label) in zip(axes, quantities.items(), strict=True):
        ours = [point for point in computed if point.figure == figure and point.quantity == quantity]
        theirs = [point for point in published if point.figure == figure and point.quantity == quantity]
        hybrid = [point for point in ours if point.tokens is not None]
        axis.plot(*_xy(hybrid), marker="o", color=INK, label="hybrid")
        axis.plot(*_xy([p for p in theirs if p.tokens is not None]), "o", mfc="none", mec=INK, ms=10, label="published")
        for position, point in enumerate(point for point in ours if point.tokens is None):
            shown = system_colour(point.series.removesuffix(" only"), position)
            axis.axhline(point.value, color=shown, ls="--", label=point.series)
        axis.set(xscale="log", xlabel="Threshold T (tokens)", title=f"{figure[-1]}  {label}")
        powers_of_two(axis)
        axis.legend()
    return drawing


def _curves(
    points: Iterable[PublishedPoint], figure: str, quantity: str
) -> dict[tuple[str, str | None], tuple[list[int], list[float]]]:
    curves: dict[tuple[str, str | None], list[PublishedPoint]] = defaultdict(list)
    for point in points:
        if (point.figure, point.quantity) == (figure, quantity):
            curves[point.series, point.model].append(point)
    return {key: _xy(sorted(curve, key=lambda point: point.tokens or 0)) for key, curve in sorted(curves.items())}


def _xy(points: Sequence[PublishedPoint]) -> tuple[list[int], list[float]]:
    return [point.tokens or 0 for point in points], [point.value for point in points]
