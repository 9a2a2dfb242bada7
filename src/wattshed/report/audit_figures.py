"""Pictures of the audit: the way from the published saving to the true one, host power, and the line itself."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from wattshed.domain.plan import Interval
from wattshed.planner.audit import Audit
from wattshed.planner.audit_pairs import INPUT_RULE, PUBLISHED_THRESHOLD, PairAudit
from wattshed.planner.planning import OPTIMUM
from wattshed.report.canvas import INK, colour, drawn, marker, panels, powers_of_two
from wattshed.units import percent

_PAIR_RULES = (INPUT_RULE, f"m <= {PUBLISHED_THRESHOLD} and n <= {PUBLISHED_THRESHOLD}", OPTIMUM)


@drawn
def steps_figure(audited: Audit) -> Figure:
    """Savings against both single systems, with intervals: for Figure 4, Figure 5, and three rules on real pairs."""
    drawing, axes = panels(3, height_in=4.6, width_in=4.9)
    titles = {"input": "Figure 4, input lengths", "output": "Figure 5, output lengths", "pairs": "Real (m, n) pairs"}
    for axis, (analysis, title) in zip(axes, titles.items(), strict=True):
        steps = [step for step in audited.steps if step.analysis == analysis]
        if analysis == "pairs":
            steps = [step for step in steps if step.rule in _PAIR_RULES]
        labels = [step.title if analysis != "pairs" else f"{step.title}: {step.rule}" for step in steps]
        for position, baseline in enumerate(("M1 only", "A100 only")):
            savings = [step.saving_against_a100 if position else step.saving_against_m1 for step in steps]
            rows = np.arange(len(steps)) + 0.2 * (position - 0.5)
            axis.errorbar(
                *_points(savings), rows, xerr=_errors(savings), fmt=marker(position), color=colour(position),
                label=f"against {baseline}",
            )  # fmt: skip
        axis.axvline(0, color=INK, lw=0.8)
        axis.set_yticks(np.arange(len(steps)), labels)
        axis.invert_yaxis()
        axis.set(xlabel="energy saved (%)", title=title)
    drawing.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return drawing


@drawn
def host_power_figure(audited: Audit) -> Figure:
    """What the paper's threshold and the optimum save against the best single system as host power grows."""
    nodes = sorted({case.above_system for case in audited.host_power})
    drawing, axes = panels(len(nodes), height_in=3.3, width_in=4.6)
    for axis, node in zip(axes, nodes, strict=True):
        for position, rule in enumerate(_PAIR_RULES):
            cases = [case for case in audited.host_power if (case.above_system, case.rule) == (node, rule)]
            watts, savings = [case.host_power_w for case in cases], [case.best_saving for case in cases]
            shown = colour(position + 4)  # the first four belong to systems
            axis.plot(watts, *_points(savings), marker=marker(position), color=shown, label=rule)
            low, high = ([percent(getattr(saving, end)) for saving in savings] for end in ("lower", "upper"))
            axis.fill_between(watts, low, high, color=shown, alpha=0.25, lw=0)
        axis.axhline(0, color=INK, lw=0.8)
        axis.set(
            xlabel="host power billed to the A100 node (W)", ylabel="saved against the best single (%)", title=node
        )
        axis.set_ylim(-35, 20)
    drawing.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return drawing


@drawn
def line_figure(pairs: PairAudit, below: str, above: str) -> Figure:
    """The line between two machines: where each needs less energy, with the real queries on top."""
    drawing, (axis,) = panels(1, height_in=4.6, width_in=7.4)
    m, n = (np.unique(np.geomspace(*ends, 110).astype(np.int64)) for ends in ((4, 1024), (1, 2048)))
    grid_m, grid_n = (grid.ravel() for grid in np.meshgrid(m, n, indexing="ij"))
    here, there = (pairs.mean_predictor(name).predict(grid_m, grid_n).energy_j for name in (below, above))
    workload, ratio = pairs.workload, here / there
    doublings = np.log2(ratio).reshape(m.size, n.size).T
    drawn = axis.pcolormesh(m, n, doublings, cmap="RdBu_r", vmin=-1, vmax=1, rasterized=True)
    axis.contour(m, n, doublings, levels=[0], colors=INK, linewidths=2.2)
    size = 60 * workload.queries / workload.queries.max()
    axis.scatter(
        workload.input_tokens, workload.output_tokens, s=size + 1, color=INK, alpha=0.25, lw=0, rasterized=True
    )
    axis.axvline(PUBLISHED_THRESHOLD, color="white", lw=2.4, ls="--")
    axis.annotate(
        "published: M1 left of the line", (PUBLISHED_THRESHOLD, 1200), xytext=(6, 0), color="white",
        textcoords="offset points", weight="bold",
    )  # fmt: skip
    powers_of_two(axis, "xy")
    axis.set(xlim=(4, 1024), ylim=(1, 2048), xlabel="input tokens m", ylabel="output tokens n")
    axis.set_title("Which machine needs less energy for a query")
    bar = drawing.colorbar(drawn, ax=axis, ticks=[-1, 0, 1])
    bar.ax.set_yticklabels([f"{below}\nneeds half", "equal", f"{above}\nneeds half"])
    return drawing


def _points(savings: Sequence[Interval]) -> tuple[list[float]]:
    return ([percent(saving.value) for saving in savings],)


def _errors(savings: Sequence[Interval]) -> list[list[float]]:
    below = [percent(max(saving.value - saving.lower, 0)) for saving in savings]
    return [below, [percent(max(saving.upper - saving.value, 0)) for saving in savings]]
