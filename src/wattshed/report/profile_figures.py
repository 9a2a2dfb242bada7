"""Pictures of a profile: Figures 1 and 2 for new systems, prefill and decoding, and the power trace."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Measurement
from wattshed.domain.system import System
from wattshed.report.canvas import GREY, colour, drawn, marker, panels, plain_logarithm, powers_of_two
from wattshed.report.marks import draw_points, hollow_mark
from wattshed.report.profile_points import FROZEN_TOKENS, Along, Trials, frozen_tokens, knee, quantities, sweep

LABELS: Final = {
    "runtime_s": "Runtime (s)",
    "throughput_tokens_per_s": "Throughput (tokens/s)",
    "energy_per_token_j": "Energy per token (J)",
}

_TRACE_POINTS: Final = 4000
"""Most points of a power trace that a picture shows of each channel."""

Trace = Mapping[str, Sequence[tuple[float, float]]]
"""Power samples by channel: (seconds, watts)."""


@drawn
def sweep_figure(new: Trials, known: Trials, along: Along, channel: Channel) -> Figure:
    """Figure 1 (input) or 2 (output): the new systems in colour with 95 % intervals, known ones in grey behind them."""
    drawing, axes = panels(3, height_in=3.8)
    for axis, (name, quantity) in zip(axes, quantities(channel).items(), strict=True):
        for position, (system, trials) in enumerate(known.items()):
            points, mark = sweep(trials, along, quantity), marker(position)
            draw_points(axis, points, shown=GREY, mark=mark, label=f"{system.name} · {system.model}")
        for position, (system, trials) in enumerate(new.items()):
            points = sweep(trials, along, quantity)
            label = describe(system) + _frozen(trials, along)
            draw_points(axis, points, shown=colour(position), mark=marker(position), label=label)
            if (name, along) == ("throughput_tokens_per_s", "input"):
                _knee(axis, knee(sweep(trials, along, quantities(channel)["runtime_s"])), position)
        axis.set(xlabel=f"{along} tokens", title=LABELS[name])
        _logarithmic(axis)
    handles, _ = axes[0].get_legend_handles_labels()
    by_host = any(trial.bound == "host" for trials in new.values() for trial in trials)
    drawing.legend(handles=[*handles, *([hollow_mark()] if by_host else [])], loc="outside lower center", ncols=2)
    return drawing


@drawn
def first_token_figure(trials: Sequence[Measurement]) -> Figure:
    """Seconds before and after the first token of every cell, as stacked bars: prefill against decoding."""
    cells: dict[tuple[int, int], list[Measurement]] = defaultdict(list)
    for trial in trials:
        if trial.ttft_s is not None:
            cells[trial.requested_input_tokens, trial.requested_output_tokens].append(trial)
    shapes = sorted(cells)
    before = np.array([np.mean([trial.ttft_s for trial in cells[shape]]) for shape in shapes])
    whole = np.array([np.mean([trial.query_runtime_s for trial in cells[shape]]) for shape in shapes])
    drawing, (axis,) = panels(1, height_in=3.4, width_in=max(5.0, 0.32 * len(shapes) + 2))
    rows = np.arange(len(shapes))
    axis.bar(rows, before, color=colour(1), label="to the first token (prefill)")
    axis.bar(rows, whole - before, bottom=before, color=colour(0), label="after it (decoding)")
    axis.set_xticks(rows, [f"{m}, {n}" for m, n in shapes], rotation=60, ha="right")
    axis.set(xlabel="input tokens, output tokens", ylabel="seconds", title="Prefill and decoding")
    axis.legend()
    return drawing


@drawn
def power_figure(trace: Trace) -> Figure:
    """Power of every channel over the campaign."""
    drawing, (axis,) = panels(1, height_in=2.8, width_in=9.0)
    began_s = min((samples[0][0] for samples in trace.values() if samples), default=0.0)
    for position, (channel, samples) in enumerate(sorted(trace.items())):
        every = max(1, len(samples) // _TRACE_POINTS)
        at_s, power_w = np.array(samples[::every]).T
        axis.plot(at_s - began_s, power_w, lw=0.7, color=colour(position), label=channel)
    axis.set(xlabel="seconds", ylabel="watts", title="Power over the campaign", ylim=(0, None))
    axis.ticklabel_format(useOffset=False)
    axis.legend()
    return drawing


def describe(system: System) -> str:
    """A system in a legend: what tells it from its neighbours."""
    cache = {True: "KV cache", False: "no cache", None: ""}[system.kv_cache]
    batch = f"batch {system.concurrency}" if system.concurrency > 1 else ""
    parts = (system.name, system.model, system.engine, cache, batch, system.host)
    return " · ".join(part for part in parts if part)


def has_first_tokens(trials: Iterable[Measurement]) -> bool:
    """Whether any trial tells when its first token came."""
    return any(trial.ttft_s is not None for trial in trials)


def _frozen(trials: Sequence[Measurement], along: Along) -> str:
    """What the other length stands at, where that is not the paper's."""
    frozen = frozen_tokens(trials, along)
    letter = "n" if along == "input" else "m"
    return "" if frozen in (None, FROZEN_TOKENS) else f" · {letter} = {frozen}"


def _knee(axis: Axes, at_tokens: float | None, position: int) -> None:
    """Mark where a system leaves its floor; the words of systems stand one above the other."""
    if at_tokens is not None:
        axis.axvline(at_tokens, color=colour(position), lw=0.8, ls=":")
        place = (at_tokens, 0.03 + 0.06 * position)
        where = axis.get_xaxis_transform()
        axis.annotate(f" knee {at_tokens:.0f}", place, xycoords=where, fontsize=8, color=colour(position))


def _logarithmic(axis: Axes) -> None:
    """Both axes in logarithms, counts as powers of two; or the word that nothing was measured."""
    if not axis.lines:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center")
        return
    powers_of_two(axis)
    plain_logarithm(axis)
