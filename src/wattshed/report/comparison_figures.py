"""Two profiles in one picture: maps over (m, n) of the ratio of joules and of seconds, and the ratios over batches."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from wattshed.domain.plan import Interval
from wattshed.report.canvas import INK, colour, drawn, from_zero_or_logarithm, grid, marker, panels, powers_of_two
from wattshed.report.comparison import QUANTITIES, Compared, Ratioed, differs, ratio, title
from wattshed.report.marks import hollow_mark

_PALETTE: Final = LinearSegmentedColormap.from_list("less to more", [colour(0), "#ffffff", colour(1)])
"""Blue for less, vermilion for more: colour-blind readers tell them apart, and every field has its number too."""

_HATCH: Final = "////"
_HATCH_INK: Final = "#555555"
"""Dark enough to be seen on every colour of the palette: a lighter grey vanished on pale blue."""

_BY_HOST: Final = "#eeeeee"


@drawn
def map_figure(compared: Sequence[Compared]) -> Figure:
    """Ours over theirs for one request in flight: a row a pair of systems and their work, joules beside seconds."""
    pairs, reach = alone(compared), reach_of(compared)
    drawing, rows = grid(len(pairs), len(QUANTITIES), height_in=2.5, width_in=4.4)
    for cells, row in zip(pairs, rows, strict=True):
        for quantity, axis in zip(QUANTITIES, row, strict=True):
            draw_map(axis, cells, quantity, reach=reach)
            axis.set_ylabel(f"{quantity}: output tokens n")
        row[0].set_title(title(cells[0]), fontsize=8, loc="left")
    drawing.legend(handles=map_marks(), loc="outside lower center", ncols=4)
    return drawing


@drawn
def batch_figure(compared: Sequence[Compared]) -> Figure:
    """Ours over theirs against requests in flight, with 95 % intervals: a line a shape, joules beside seconds."""
    shapes = {
        (one.shape.input_tokens, one.shape.output_tokens, title(one)) for one in compared if one.shape.concurrency > 1
    }
    drawing, axes = panels(len(QUANTITIES), height_in=3.2, width_in=4.4)
    for axis, quantity in zip(axes, QUANTITIES, strict=True):
        for position, (m, n, name) in enumerate(sorted(shapes)):
            line = [
                one for one in compared if (one.shape.input_tokens, one.shape.output_tokens, title(one)) == (m, n, name)
            ]
            _line(axis, line, quantity, position)
        axis.axhline(1, color=INK, lw=0.8, ls=":")
        axis.set(xlabel="requests in flight", title=f"{quantity}, ratio")
        powers_of_two(axis)
        from_zero_or_logarithm(axis)
    drawing.legend(
        handles=[*axes[0].get_legend_handles_labels()[0], hollow_mark()], loc="outside lower center", ncols=1
    )
    return drawing


def alone(compared: Sequence[Compared]) -> list[list[Compared]]:
    """The cells with one request in flight, by systems and work, where there are several."""
    groups = (list(group) for _, group in groupby((one for one in compared if one.shape.concurrency == 1), key=title))
    return [group for group in groups if len(group) > 1]


def reach_of(compared: Sequence[Compared]) -> float:
    """The furthest that a ratio between devices is off 1, in doublings, where colours end: half a one to 2."""
    found = (ratio(one, quantity) for one in compared if not one.host_bound for quantity in QUANTITIES)
    doublings = [abs(np.log2(one.value)) for one in found if one is not None]
    return float(np.clip(max(doublings, default=0.0), 0.5, 2.0))


def draw_map(axis: Axes, cells: Sequence[Compared], quantity: Ratioed, *, reach: float) -> None:
    """One panel: a field a cell, its colour by the logarithm of the ratio, deepest `reach` doublings away from 1.

    Hatched where the interval holds 1; grey and in brackets where a host set the pace of either side; with a star where
    a device did, but was not busy throughout.
    """
    inputs = sorted({one.shape.input_tokens for one in cells})
    outputs = sorted({one.shape.output_tokens for one in cells})
    for one in cells:
        found = ratio(one, quantity)
        if found is not None:
            at = inputs.index(one.shape.input_tokens), outputs.index(one.shape.output_tokens)
            _field(axis, at, found, of=one, reach=reach)
    axis.set_xticks(range(len(inputs)), [str(m) for m in inputs], fontsize=7)
    axis.set_yticks(range(len(outputs)), [str(n) for n in outputs], fontsize=7)
    axis.set(xlabel="input tokens m", ylabel="output tokens n")
    axis.set(xlim=(-0.5, len(inputs) - 0.5), ylim=(-0.5, len(outputs) - 0.5))
    axis.grid(visible=False)


def map_marks() -> list[Patch]:
    """The entries of a legend that explain a map."""
    return [
        Patch(color=_PALETTE(0.15), label="less"),
        Patch(color=_PALETTE(0.85), label="more"),
        Patch(fc="white", ec=_HATCH_INK, lw=0, hatch=_HATCH, label="cannot tell: the interval holds 1"),
        Patch(color=_BY_HOST, label="in brackets: a host set the pace"),
    ]


def _field(axis: Axes, at: tuple[int, int], found: Interval, *, of: Compared, reach: float) -> None:
    """One cell of a map."""
    doublings = np.log2(found.value)
    shown = _BY_HOST if of.host_bound else _PALETTE(0.5 + doublings / reach / 2)
    open_ = not of.host_bound and not differs(found)
    corner = at[0] - 0.5, at[1] - 0.5
    axis.add_patch(Rectangle(corner, 1, 1, fc=shown, ec=_HATCH_INK, hatch=_HATCH if open_ else None, lw=0))
    words = f"({found.value:.2f})" if of.host_bound else f"{found.value:.2f}{'*' if of.partly_idle else ''}"
    ink = "white" if not of.host_bound and abs(doublings) > 0.75 * reach else INK
    box = {"fc": shown, "ec": "none", "pad": 1.2} if open_ else None
    axis.text(*at, words, ha="center", va="center", fontsize=8, color=ink, bbox=box)


def _line(axis: Axes, cells: Sequence[Compared], quantity: Ratioed, position: int) -> None:
    """One shape over its batches; a bar that would leave the panel, of cells with a window or two, is left out."""
    known = [
        (one.shape.concurrency, found, one.host_bound) for one in cells if (found := ratio(one, quantity)) is not None
    ]
    if not known:
        return
    shown, mark = colour(position), marker(position)
    m, n = cells[0].shape.input_tokens, cells[0].shape.output_tokens
    at, values = [count for count, *_ in known], [found.value for _, found, _ in known]
    axis.plot(at, values, color=shown, marker=mark, label=f"{title(cells[0])} · ({m}, {n})")
    for count, found, by_host in known:
        if found.upper < 2 * found.value:
            axis.plot([count, count], [found.lower, found.upper], color=shown, lw=0.8, alpha=0.6)
        if by_host:
            axis.plot([count], [found.value], mark, mec=shown, mfc="white", zorder=3)
