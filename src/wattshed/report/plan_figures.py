"""Pictures of a plan: what a token costs, where thresholds lead, the front, and who serves what."""

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wattshed.domain.arrays import Booleans, Floats, Integers
from wattshed.planner.evaluate import Evaluator
from wattshed.planner.planning import OPTIMUM, Planning
from wattshed.planner.sweep import surface
from wattshed.policies.threshold import Pair, Reading
from wattshed.report.canvas import INK, colour, drawn, marker, panels
from wattshed.units import kwh, percent

_TWO_SIDED_95: Final = 1.96
"""Standard deviations in half of a 95 % normal interval."""


@drawn
def curves_figure(evaluator: Evaluator) -> Figure:
    """Energy and runtime per token, along input at the median output and along output at the median input.

    The band is the 95 % interval of the prediction; dashes lie outside the measured range.
    """
    drawing, axes = panels(4, height_in=3.2, width_in=3.1)
    middle = {
        "m": _median(evaluator, evaluator.workload.input_tokens),
        "n": _median(evaluator, evaluator.workload.output_tokens),
    }
    for axis, (along, quantity) in zip(axes, (("m", "J"), ("m", "s"), ("n", "J"), ("n", "s")), strict=True):
        fixed = "n" if along == "m" else "m"
        for position in range(len(evaluator.fleet.pools)):
            _curve(axis, evaluator, position, along, quantity, middle[fixed])
        title = "Energy per token (J)" if quantity == "J" else "Runtime per token (s)"
        axis.set(xscale="log", yscale="log", xlabel=f"{_WORDS[along]}, {fixed} = {middle[fixed]}", title=title)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    handles, labels = axes[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return drawing


@drawn
def surface_figure(evaluator: Evaluator, pair: Pair) -> Figure:
    """Energy against the best single system for every (T_in, T_out), in both readings; blue saves, red costs more."""
    drawing, axes = panels(2, height_in=3.9, width_in=4.6)
    most = int(max(evaluator.workload.input_tokens.max(), evaluator.workload.output_tokens.max()))
    swept = surface(evaluator.workload, evaluator.costs, pair=pair, most_tokens=min(most, 2048))
    least = min(bill.energy_j for bill in evaluator.baselines)
    ticks = np.unique(np.geomspace(1, swept.corner_energy_j.shape[0] - 2, 160).astype(int))
    for axis, reading in zip(axes, _READINGS, strict=True):
        saving = percent(1) * (1 - swept.energy_j(reading)[np.ix_(ticks, ticks)] / least)
        reach = max(float(np.abs(saving).max()), 1e-9)
        drawn = axis.pcolormesh(ticks, ticks, saving.T, cmap="RdBu", vmin=-reach, vmax=reach, rasterized=True)
        axis.contour(ticks, ticks, saving.T, levels=[0], colors=INK, linewidths=0.8)
        i, j = np.unravel_index(int(np.argmax(saving)), saving.shape)
        axis.plot(ticks[i], ticks[j], marker="*", ms=13, mfc="#ffd400", mec=INK)
        axis.set(
            xlabel="T_in (tokens)",
            ylabel="T_out (tokens)",
            title=f"m ≤ T_in {reading} n ≤ T_out: best {saving.max():+.2f} %",
        )
        axis.set_xscale("log", base=2)
        axis.set_yscale("log", base=2)
        drawing.colorbar(drawn, ax=axis, label="energy saved against the best single system (%)")
    return drawing


@drawn
def front_figure(planning: Planning) -> Figure:
    """The exact front of energy against mean runtime, with every compared policy on the same axes."""
    drawing, (axis,) = panels(1, height_in=4.0, width_in=7.4)
    queries = planning.evaluator.workload.total_queries
    front = planning.front()
    axis.plot(front.runtime_s / queries, kwh(1) * front.energy_j, color=INK, lw=1.2, label="front")
    for position, (name, plan) in enumerate(planning.plans.items()):
        point = plan.mean_runtime_s, kwh(plan.energy_j.value)
        best = name == OPTIMUM
        axis.plot(
            *point, marker(position), color=colour(position), ms=12 if best else 7, mec=INK, mew=0.6, ls="", label=name
        )
    axis.set(
        xlabel="mean runtime of a query (s), no waiting",
        ylabel="energy of the workload (kWh)",
        title="Energy against runtime",
    )
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return drawing


@drawn
def placement_figure(planning: Planning) -> Figure:
    """Who serves what: each shape of the workload in the (m, n) plane in the colour of its system."""
    drawing, (axis,) = panels(1, height_in=4.4, width_in=7.4)
    workload, assignment = planning.evaluator.workload, planning.chosen.assignment
    size = 4 + 26 * np.sqrt(workload.queries / workload.queries.max())
    for position, share in enumerate(planning.chosen.shares):
        here: Booleans = assignment == position
        label = f"{share.system}: {share.queries:,} queries"
        axis.scatter(
            workload.input_tokens[here], workload.output_tokens[here], s=size[here], color=colour(position),
            alpha=0.55, lw=0, label=label, rasterized=True,
        )  # fmt: skip
    axis.set_xscale("log", base=2)
    axis.set_yscale("log", base=2)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set(xlabel="input tokens m", ylabel="output tokens n", title="Who serves what (area: how many queries)")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2)
    return drawing


_READINGS: Final[tuple[Reading, ...]] = ("and", "or")

_WORDS: Final = {"m": "input tokens m", "n": "output tokens n"}


def _median(evaluator: Evaluator, tokens: Integers) -> int:
    order = np.argsort(tokens)
    reached = np.cumsum(evaluator.workload.queries[order])
    return int(tokens[order][np.searchsorted(reached, reached[-1] / 2)])


def _curve(axis: Axes, evaluator: Evaluator, position: int, along: str, quantity: str, fixed_tokens: int) -> None:
    tokens = np.unique(np.geomspace(1, 4096, 120).astype(np.int64))
    fixed = np.full_like(tokens, fixed_tokens)
    m, n = (tokens, fixed) if along == "m" else (fixed, tokens)
    said = evaluator.predictors[position].predict(m, n)
    host_power_w = evaluator.fleet.pools[position].host_power_w
    mean: Floats = said.energy_j + host_power_w * said.runtime_s if quantity == "J" else said.runtime_s
    sd = said.energy_sd_j if quantity == "J" else said.runtime_sd_s
    both = m + n
    shown = colour(position)
    inside = np.where(said.extrapolated, np.nan, mean / both)
    axis.plot(tokens, mean / both, ls="--", lw=0.9, color=shown)
    axis.plot(tokens, inside, label=evaluator.fleet.names[position], color=shown)
    low, high = np.maximum(mean - _TWO_SIDED_95 * sd, mean * 1e-2), mean + _TWO_SIDED_95 * sd
    axis.fill_between(tokens, low / both, high / both, alpha=0.15, lw=0, color=shown)
