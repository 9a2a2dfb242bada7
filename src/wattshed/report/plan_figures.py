"""Pictures of a plan: what a token costs, where thresholds lead, the front, and who serves what."""

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from wattshed.domain.arrays import Booleans, Floats, Integers
from wattshed.planner.evaluate import Evaluator, best_baseline
from wattshed.planner.planning import OPTIMUM, Planning
from wattshed.planner.sweep import surface
from wattshed.policies.threshold import Pair, Reading, TwoThresholds
from wattshed.predictors.curve import Z_95
from wattshed.report.canvas import INK, colour, drawn, panels, powers_of_two, system_colour
from wattshed.units import kwh, percent


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
        powers_of_two(axis)
    handles, labels = axes[0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return drawing


@drawn
def surface_figure(planning: Planning, pair: Pair) -> Figure:
    """Energy against the best single system for every (T_in, T_out), in both readings; blue saves, red costs more.

    Stars mark the exact optima over all thresholds; the map itself shows a grid of them.
    """
    drawing, axes = panels(2, height_in=3.9, width_in=4.6)
    evaluator = planning.evaluator
    most = int(max(evaluator.workload.input_tokens.max(), evaluator.workload.output_tokens.max()))
    swept = surface(evaluator.workload, evaluator.costs, pair=pair, most_tokens=min(most, 2048))
    least = min(bill.energy_j for bill in evaluator.baselines)
    ticks = np.unique(np.geomspace(1, swept.corner_energy_j.shape[0] - 2, 160).astype(int))
    for axis, reading in zip(axes, _READINGS, strict=True):
        saving = percent(1) * (1 - swept.energy_j(reading)[np.ix_(ticks, ticks)] / least)
        sides = TwoSlopeNorm(0, min(float(saving.min()), -1e-6), max(float(saving.max()), 1e-6))
        drawn_map = axis.pcolormesh(ticks, ticks, saving.T, cmap="RdBu", norm=sides, rasterized=True)
        axis.contour(ticks, ticks, saving.T, levels=[0], colors=INK, linewidths=0.8)
        name = f"best threshold on m {reading} n"
        policy, best = planning.policies[name], best_baseline(planning.plans[name]).energy.value
        if isinstance(policy, TwoThresholds) and policy.pair == pair:
            star = max(policy.most_input_tokens, 1), max(policy.most_output_tokens, 1)
            axis.plot(*star, marker="*", ms=13, mfc="#ffd400", mec=INK, clip_on=False)
        title = f"m ≤ T_in {reading} n ≤ T_out: best {percent(best):+.2f} %"
        axis.set(xlabel="T_in (tokens)", ylabel="T_out (tokens)", title=title)
        powers_of_two(axis, "xy")
        drawing.colorbar(drawn_map, ax=axis, label="energy saved against the best single system (%)")
    return drawing


@drawn
def front_figure(planning: Planning) -> Figure:
    """The exact front of energy against mean runtime, and the policies near it; the others are named beside it."""
    drawing, (axis,) = panels(1, height_in=4.2, width_in=8.6)
    queries, front = planning.evaluator.workload.total_queries, planning.front()
    mean_s, energy_kwh = front.runtime_s / queries, kwh(1) * front.energy_j
    axis.plot(mean_s, energy_kwh, color=colour(2), lw=2, label="front: all trades that some λ makes")
    reach_s = mean_s.max() + 0.6 * max(np.ptp(mean_s), 0.1 * mean_s.max())
    reach_kwh = energy_kwh.max() + 0.6 * max(np.ptp(energy_kwh), 0.02 * energy_kwh.max())
    beyond = []
    for name, plan in planning.plans.items():
        at = plan.mean_runtime_s, kwh(plan.energy_j.value)
        if at[0] > reach_s or at[1] > reach_kwh:
            beyond.append(f"{name}: {at[1]:.3g} kWh, {at[0]:.3g} s")
            continue
        axis.plot(*at, "*" if name == OPTIMUM else "o", color=INK, ms=13 if name == OPTIMUM else 5)
        axis.annotate(name, at, xytext=(7, 4), textcoords="offset points", fontsize=8)
    if beyond:
        axis.plot([], [], " ", label="beyond the picture:\n" + "\n".join(beyond))
    axis.set(xlabel="mean runtime of a query (s), no waiting", ylabel="energy of the workload (kWh)")
    axis.set_title("Energy against runtime")
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
            workload.input_tokens[here], workload.output_tokens[here], s=size[here], alpha=0.55, lw=0,
            color=system_colour(share.system, position), label=label, rasterized=True,
        )  # fmt: skip
    powers_of_two(axis, "xy")
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
    shown = system_colour(evaluator.fleet.names[position], position)
    inside = np.where(said.extrapolated, np.nan, mean / both)
    axis.plot(tokens, mean / both, ls="--", lw=0.9, color=shown)
    axis.plot(tokens, inside, label=evaluator.fleet.names[position], color=shown)
    low, high = np.maximum(mean - Z_95 * sd, mean * 1e-2), mean + Z_95 * sd
    axis.fill_between(tokens, low / both, high / both, alpha=0.15, lw=0, color=shown)
