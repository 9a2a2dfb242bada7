"""Pictures of a profile: Figures 1 and 2 for new systems, prefill and decoding, and the power trace."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Measurement
from wattshed.domain.system import System
from wattshed.report.canvas import (
    GREY,
    colour,
    drawn,
    from_zero_or_logarithm,
    marker,
    panels,
    plain_logarithm,
    powers_of_two,
)
from wattshed.report.marks import draw_points, hollow_mark
from wattshed.report.profile_points import (
    FROZEN_TOKENS,
    Along,
    Trials,
    first_token_quantities,
    frozen_tokens,
    knee,
    quantities,
    sweep,
)

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
    known_names, names = legend_names(known), legend_names(new)
    for axis, (name, quantity) in zip(axes, quantities(channel).items(), strict=True):
        for position, (system, trials) in enumerate(known.items()):
            points, mark = sweep(trials, along, quantity), marker(position)
            draw_points(axis, points, shown=GREY, mark=mark, label=known_names[system])
        for position, (system, trials) in enumerate(new.items()):
            points = sweep(trials, along, quantity)
            label = names[system] + _frozen(trials, along)
            draw_points(axis, points, shown=colour(position), mark=marker(position), label=label)
            if (name, along) == ("throughput_tokens_per_s", "input"):
                _knee(axis, knee(sweep(trials, along, quantities(channel)["runtime_s"])), colour(position))
        axis.set(xlabel=f"{along} tokens", title=LABELS[name])
        _logarithmic(axis)
    _legend(drawing, axes[0], new)
    return drawing


@drawn
def first_token_figure(new: Trials) -> Figure:
    """Milliseconds to the first token, and of each token after it, along input tokens: prefill beside decoding."""
    drawing, axes = panels(2, height_in=3.4, width_in=4.8)
    names = legend_names(new)
    for axis, (title, quantity) in zip(axes, first_token_quantities().items(), strict=True):
        for position, (system, trials) in enumerate(new.items()):
            label = names[system] + _frozen(trials, "input")
            draw_points(
                axis, sweep(trials, "input", quantity), shown=colour(position), mark=marker(position), label=label
            )
        axis.set(xlabel="input tokens", title=title)
        powers_of_two(axis)
        from_zero_or_logarithm(axis)
    _legend(drawing, axes[0], new)
    return drawing


@drawn
def power_figure(trace: Trace) -> Figure:
    """Power of every channel over the campaign; a channel that stood at 0 W throughout was no reading."""
    drawing, (axis,) = panels(1, height_in=2.8, width_in=9.0)
    trace = {channel: samples for channel, samples in trace.items() if any(power_w for _, power_w in samples)}
    began_s = min((samples[0][0] for samples in trace.values() if samples), default=0.0)
    for position, (channel, samples) in enumerate(sorted(trace.items())):
        every = max(1, len(samples) // _TRACE_POINTS)
        at_s, power_w = np.array(samples[::every]).T
        axis.plot(at_s - began_s, power_w, lw=0.7, color=colour(position), label=channel)
    axis.set(xlabel="seconds", ylabel="watts", title="Power over the campaign", ylim=(0, None))
    axis.ticklabel_format(useOffset=False)
    if trace:
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return drawing


def describe(system: System) -> str:
    """A system in full."""
    return " · ".join(part for part in _parts(system) if part)


def legend_names(systems: Iterable[System]) -> dict[System, str]:
    """Each system by its name, and by no more of what else is known than tells it from the others."""
    listed = list(systems)
    told: dict[System, tuple[str, ...]] = {system: (system.name,) for system in listed}
    for part in range(1, len(_PARTS)):
        longer = {system: (*words, _parts(system)[part]) for system, words in told.items()}
        if len(set(longer.values())) > len(set(told.values())):
            told = longer
    return {system: " · ".join(word for word in words if word) for system, words in told.items()}


def has_first_tokens(trials: Iterable[Measurement]) -> bool:
    """Whether any trial tells when its first token came."""
    return any(trial.ttft_s is not None for trial in trials)


_PARTS: Final = ("name", "model", "engine", "cache", "batch", "host")


def _parts(system: System) -> tuple[str, ...]:
    """What there is to say of a system, in the order of `_PARTS`; empty words for what nobody said."""
    cache = {True: "KV cache", False: "no cache", None: ""}[system.kv_cache]
    batch = f"batch {system.concurrency}" if system.concurrency > 1 else ""
    return system.name, system.model, system.engine or "", cache, batch, system.host or ""


def _legend(drawing: Figure, axis: Axes, new: Trials) -> None:
    """The systems of a figure under it, with hollow marks explained where there are any."""
    handles, _ = axis.get_legend_handles_labels()
    by_host = any(trial.bound == "host" for trials in new.values() for trial in trials)
    drawing.legend(handles=[*handles, *([hollow_mark()] if by_host else [])], loc="outside lower center", ncols=2)


def _frozen(trials: Sequence[Measurement], along: Along) -> str:
    """What the other length stands at, where that is not the paper's."""
    frozen = frozen_tokens(trials, along)
    letter = "n" if along == "input" else "m"
    return "" if frozen in (None, FROZEN_TOKENS) else f" · {letter} = {frozen}"


def _knee(axis: Axes, at_tokens: float | None, shown: str) -> None:
    """Mark where a system leaves its floor, in words above the panel."""
    if at_tokens is not None:
        axis.axvline(at_tokens, color=shown, lw=0.8, ls=":")
        where, label = axis.get_xaxis_transform(), f"knee {at_tokens:.0f}"
        axis.annotate(label, (at_tokens, 1.01), xycoords=where, fontsize=8, color=shown, ha="center", va="bottom")


def _logarithmic(axis: Axes) -> None:
    """Both axes in logarithms, counts as powers of two; or the word that nothing was measured."""
    if not axis.lines:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center")
        return
    powers_of_two(axis)
    plain_logarithm(axis)
