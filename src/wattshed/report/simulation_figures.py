"""Pictures of simulated runs: load and power over time, percentiles, joules by system and state, who served what."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wattshed.report.canvas import INK, colour, drawn, grid, marker, panels, powers_of_two, system_colour
from wattshed.report.simulation_words import energy_rows
from wattshed.simulator.results import Summary
from wattshed.simulator.results_timeline import Timeline, timeline
from wattshed.simulator.scenario import STATES, Run
from wattshed.units import kwh

_HATCHES: Final = dict(zip(STATES, ("", "///", "...", "xxx", "---"), strict=True))
"""States are told apart by hatching, systems by colour."""

_SHOWN: Final = {"wait_s": "wait", "ttft_s": "first token", "tpot_s": "between tokens", "runtime_s": "last token"}


@drawn
def timeline_figure(runs: Mapping[str, Run]) -> Figure:
    """Requests running, waiting, and the power of those running, a row a policy; a line a system."""
    drawing, rows = grid(len(runs), 3, height_in=2.3, width_in=3.5)
    for axes, (name, run) in zip(rows, runs.items(), strict=True):
        found = timeline(run)
        for axis, title in zip(axes, ("running", "waiting", "power of queries (W)"), strict=True):
            axis.set(title=f"{name}: {title}", xlabel="time (s)")
        _lines(axes, run, found)
    handles, labels = rows[0][0].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return drawing


@drawn
def times_figure(summaries: Mapping[str, Summary]) -> Figure:
    """Percentiles of wait, first token, time between tokens and last token; bars are 95 % intervals over seeds."""
    drawing, axes = panels(len(_SHOWN), height_in=3.0, width_in=2.7)
    for axis, (time, title) in zip(axes, _SHOWN.items(), strict=True):
        for place, (name, one) in enumerate(summaries.items()):
            _percentiles(axis, one, time, place, name)
        axis.set(title=f"{title} (s)", xticks=range(4), xticklabels=["mean", "p50", "p95", "p99"], ylim=(0, None))
    handles, labels = axes[-1].get_legend_handles_labels()
    drawing.legend(handles, labels, loc="outside lower center", ncols=min(3, len(labels) or 1))
    return drawing


@drawn
def energy_figure(summaries: Mapping[str, Summary]) -> Figure:
    """Joules by system (colour) and state (hatching), stacked, a bar a policy; what is not known is left out."""
    drawing, (axis,) = panels(1, height_in=1.2 + 0.5 * len(summaries), width_in=8.6)
    left = dict.fromkeys(summaries, 0.0)
    positions = {system.name: at for one in summaries.values() for at, system in enumerate(one.systems)}
    named: set[str] = set()
    for policy, system, state, figure in energy_rows(summaries):
        if not figure.value:
            continue
        label = f"{system}, {state}"
        axis.barh(
            policy, kwh(figure.value), left=left[policy], height=0.6, color=system_colour(system, positions[system]),
            hatch=_HATCHES.get(state, ""), edgecolor="white", lw=0.4, label=None if label in named else label,
        )  # fmt: skip
        named.add(label)
        left[policy] += kwh(figure.value)
    axis.invert_yaxis()
    axis.set(xlabel="energy (kWh)", title="Energy by system and state")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return drawing


@drawn
def served_figure(run: Run) -> Figure:
    """Who served what: each shape in the (m, n) plane, in the colour of the system that served most of its queries."""
    drawing, (axis,) = panels(1, height_in=4.4, width_in=7.4)
    scenario, machines = run.scenario, run.scenario.machines
    counts = np.zeros((scenario.input_tokens.size, len(machines)), np.int64)
    served = run.service.position >= 0
    np.add.at(counts, (scenario.bucket[served], run.service.position[served]), 1)
    total, most = counts.sum(axis=1), counts.argmax(axis=1)
    size = 4 + 26 * np.sqrt(total / max(int(total.max()), 1))
    for position, machine in enumerate(machines):
        here = (total > 0) & (most == position)
        axis.scatter(
            scenario.input_tokens[here], scenario.output_tokens[here], s=size[here], alpha=0.55, lw=0,
            color=system_colour(machine.name, position), rasterized=True,
            label=f"{machine.name}: {int(counts[:, position].sum()):,} queries",
        )  # fmt: skip
    powers_of_two(axis, "xy")
    axis.set(xlabel="input tokens m", ylabel="output tokens n", title="Who served most of each shape (area: how many)")
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2)
    return drawing


def _lines(axes: list[Axes], run: Run, found: Timeline) -> None:
    middle_s = (found.edges_s[1:] + found.edges_s[:-1]) / 2
    for position, machine in enumerate(run.scenario.machines):
        shown = system_colour(machine.name, position)
        for axis, values in zip(axes, (found.running, found.waiting, found.power_w), strict=True):
            axis.plot(middle_s, values[:, position], color=shown, lw=1.1, label=machine.name)


def _percentiles(axis: Axes, one: Summary, time: str, place: int, name: str) -> None:
    figures = [figure for figure in one.times[time].values() if figure.value is not None]
    values = [
        (f.value, f.lower, f.upper)
        for f in figures
        if f.value is not None and f.lower is not None and f.upper is not None
    ]
    if not values:
        axis.text(0.5, 0.5, "not known", transform=axis.transAxes, ha="center", color=INK)
        return
    mean, lower, upper = np.array(values).T
    at = np.arange(mean.size) + 0.12 * place
    axis.errorbar(
        at, mean, yerr=[mean - lower, upper - mean], fmt=marker(place), color=colour(place), ms=5, lw=1, capsize=2,
        label=name,
    )  # fmt: skip
