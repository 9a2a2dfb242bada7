"""Pictures of the effects: the cost of an output token on both sides of a contrast, and over requests in flight."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wattshed.domain.system import EAGER
from wattshed.report.canvas import INK, colour, drawn, from_zero_or_logarithm, grid, marker, powers_of_two
from wattshed.report.effects import Batch, Contrast, Effect, Pair
from wattshed.report.marks import draw_points, hollow_mark
from wattshed.report.profile_points import Along, Point
from wattshed.units import milliseconds

ALONG: Final[dict[Effect, Along]] = {"cache": "output", "launch": "input"}
"""Which length an effect is drawn along; there is a line for each of the other."""

SIDES: Final[dict[Effect, tuple[str, str]]] = {
    "cache": ("without KV cache", "with it"),
    "launch": ("eager", "graph replayed"),
}
"""The two sides in a legend, dashed and drawn through."""

_JOULES, _TIME = "J per output token", "ms per output token"

_PAPER: Final = {"fc": "white", "ec": "none", "alpha": 0.8, "pad": 0.6}
"""What a label stands on, so that lines behind it do not cross it out."""

_APART: Final = 0.06
"""Least distance of two labels, as a share of the highest ratio."""


@drawn
def contrast_figure(contrasts: Sequence[Contrast], effect: Effect) -> Figure:
    """A row a contrast: joules and time of an output token on both sides, and how many times more joules before.

    Contrasts that would be lone points have none, where others have lines.
    """
    shown = in_lines(contrasts, effect)
    drawing, rows = grid(len(shown), 3, height_in=3.2)
    along, places = ALONG[effect], _places(shown, effect)
    for contrast, axes in zip(shown, rows, strict=True):
        lines = _lines(contrast, effect)
        for length, pairs in lines.items():
            _draw_sides(axes, pairs, along, position=places[length])
        _label_ratios(axes[2], [_ratios(pairs, along) for pairs in lines.values()])
        titles = f"{_name(contrast, contrasts)}\n{_JOULES}", _TIME, f"J {SIDES[effect][0]} / J {SIDES[effect][1]}"
        for axis, title in zip(axes, titles, strict=True):
            _finish(axis, title, f"{along} tokens")
        axes[2].set(yscale="linear", ylim=(0, None))
    paced = any(side.host_bound for one in shown for pair in one.pairs for side in (pair.before, pair.after))
    handles = [*_handles(places, effect), *([hollow_mark()] if paced else [])]
    drawing.legend(handles=handles, loc="outside lower center", ncols=4)
    return drawing


def in_lines(contrasts: Sequence[Contrast], effect: Effect) -> list[Contrast]:
    """Those with two cells in a line; all, where none has."""
    found = [one for one in contrasts if any(len(pairs) > 1 for pairs in _lines(one, effect).values())]
    return found or list(contrasts)


@drawn
def batches_figure(batches: Sequence[Batch]) -> Figure:
    """Joules and time of an output token against the requests in flight, a line a system and shape."""
    drawing, (axes,) = grid(1, 2, height_in=3.4, width_in=4.8)
    for position, batch in enumerate(batches):
        shown, mark = colour(position), marker(position)
        energies = [cost.energy for cost in batch.costs if cost.energy is not None]
        draw_points(axes[0], energies, shown=shown, mark=mark)
        draw_points(
            axes[1], [_in_ms(cost.runtime) for cost in batch.costs], shown=shown, mark=mark, label=_label(batch)
        )
    for axis, title in zip(axes, (_JOULES, f"{_TIME}, for each who waits"), strict=True):
        _finish(axis, title, "requests in flight")
    handles, _ = axes[1].get_legend_handles_labels()
    paced = any(cost.host_bound for batch in batches for cost in batch.costs)
    drawing.legend(handles=[*handles, *([hollow_mark()] if paced else [])], loc="outside lower center", ncols=2)
    return drawing


def _label(batch: Batch) -> str:
    """Whose batch it is; launching only where it is not one by one."""
    system, (m, n) = batch.system, batch.shape
    launching = "" if system.configuration == EAGER else f" · {system.configuration}"
    return f"{system.model} · {system.name}{launching} · ({m}, {n})"


def _name(contrast: Contrast, contrasts: Sequence[Contrast]) -> str:
    """What stands above a row: its model, and the names of both sides where another row has that model too."""
    model = contrast.after.model
    namesakes = sum(one.after.model == model for one in contrasts) > 1
    return f"{model}\n{contrast.before.name}\n{contrast.after.name}" if namesakes else model


def _held(effect: Effect) -> int:
    """Position in a shape of the length that each line holds still."""
    return 0 if ALONG[effect] == "output" else 1


def _places(contrasts: Sequence[Contrast], effect: Effect) -> dict[int, int]:
    """A place, and so a colour, for every length that is held still, the same in all rows."""
    lengths = sorted({pair.shape[_held(effect)] for contrast in contrasts for pair in contrast.pairs})
    return {length: place for place, length in enumerate(lengths)}


def _lines(contrast: Contrast, effect: Effect) -> dict[int, list[Pair]]:
    """The pairs of each length that is held still."""
    lines: dict[int, list[Pair]] = {}
    for pair in contrast.pairs:
        lines.setdefault(pair.shape[_held(effect)], []).append(pair)
    return lines


def _handles(places: Mapping[int, int], effect: Effect) -> list[Line2D]:
    """What a legend explains of lines: lengths held still, and the two sides."""
    letter = "mn"[_held(effect)]
    lengths = [
        Line2D([], [], color=colour(place), marker=marker(place), label=f"{letter} = {length}")
        for length, place in places.items()
    ]
    sides = [Line2D([], [], color=INK, ls=ls, label=side) for ls, side in zip(("--", "-"), SIDES[effect], strict=True)]
    return [*lengths, *sides]


def _draw_sides(axes: Sequence[Axes], pairs: Sequence[Pair], along: Along, *, position: int) -> None:
    """One line in the three panels of a contrast."""
    shown, mark = colour(position), marker(position)
    at = [_length(pair, along) for pair in pairs]
    for line, costs in (("--", [pair.before for pair in pairs]), ("-", [pair.after for pair in pairs])):
        energies = [replace(cost.energy, at=length) for cost, length in zip(costs, at, strict=True) if cost.energy]
        runtimes = [replace(_in_ms(cost.runtime), at=length) for cost, length in zip(costs, at, strict=True)]
        draw_points(axes[0], energies, shown=shown, mark=mark, line=line)
        draw_points(axes[1], runtimes, shown=shown, mark=mark, line=line)
    draw_points(axes[2], _ratios(pairs, along), shown=shown, mark=mark)


def _ratios(pairs: Sequence[Pair], along: Along) -> list[Point]:
    """Joules before over joules after; hollow where the host paced either side."""
    return [
        Point(_length(pair, along), pair.joules_ratio, None, 1, pair.before.host_bound or pair.after.host_bound)
        for pair in pairs
        if pair.joules_ratio is not None
    ]


def _label_ratios(axis: Axes, lines: Sequence[Sequence[Point]]) -> None:
    """A line where nothing changes, and the last ratio of each line in figures, unless another stands there."""
    axis.axhline(1, color=INK, lw=0.8)
    ends = sorted((points[-1] for points in lines if points), key=lambda end: -end.mean)
    last = float("inf")
    for end in ends:
        if last - end.mean > _APART * ends[0].mean:
            label, place = f"{end.mean:.2g}×", (end.at, end.mean)
            axis.annotate(label, place, (8, 0), textcoords="offset points", fontsize=8, va="center", bbox=_PAPER)
            last = end.mean


def _length(pair: Pair, along: Along) -> int:
    return pair.shape[1] if along == "output" else pair.shape[0]


def _in_ms(point: Point) -> Point:
    half_width = None if point.half_width is None else milliseconds(point.half_width)
    return replace(point, mean=milliseconds(point.mean), half_width=half_width)


def _finish(axis: Axes, title: str, xlabel: str) -> None:
    axis.set(title=title, xlabel=xlabel)
    if axis.lines:
        powers_of_two(axis)
        from_zero_or_logarithm(axis)
    else:
        axis.text(0.5, 0.5, "not measured", transform=axis.transAxes, ha="center")
