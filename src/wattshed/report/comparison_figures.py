"""Two profiles in one picture: maps over (m, n) of the ratio of joules and of seconds, and the ratios over batches."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from wattshed.report.canvas import INK, colour, drawn, from_zero_or_logarithm, grid, marker, panels, powers_of_two
from wattshed.report.comparison import QUANTITIES, Compared, Ratioed, differs, ratio, title
from wattshed.report.marks import hollow_mark

_PALETTE: Final = LinearSegmentedColormap.from_list("less to more", [colour(0), "#ffffff", colour(1)])
"""Blue for less, vermilion for more: colour-blind readers tell them apart, and every field has its number too."""


@drawn
def map_figure(compared: Sequence[Compared]) -> Figure:
    """Ours over theirs for one request in flight: a row a pair of systems and their work, joules beside seconds.

    Bold where the ratio is off 1 by more than its interval; in brackets where a host set the pace of either side.
    """
    pairs = [list(group) for _, group in groupby((one for one in compared if one.shape.concurrency == 1), key=title)]
    drawing, rows = grid(len(pairs), len(QUANTITIES), height_in=2.5, width_in=4.4)
    for cells, row in zip(pairs, rows, strict=True):
        for quantity, axis in zip(QUANTITIES, row, strict=True):
            _map(axis, cells, quantity)
        row[0].set_title(title(cells[0]), fontsize=8, loc="left")
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
        handles=[*axes[0].get_legend_handles_labels()[0], hollow_mark()], loc="outside lower center", ncols=2
    )
    return drawing


def _map(axis: Axes, cells: Sequence[Compared], quantity: Ratioed) -> None:
    """One panel: a field a cell, its colour by the logarithm of the ratio, at most a factor of 4."""
    inputs = sorted({one.shape.input_tokens for one in cells})
    outputs = sorted({one.shape.output_tokens for one in cells})
    field = np.full((len(outputs), len(inputs)), np.nan)
    for one in cells:
        found, at = ratio(one, quantity), (outputs.index(one.shape.output_tokens), inputs.index(one.shape.input_tokens))
        if found is not None:
            field[at] = np.log2(found.value)
            words = f"{found.value:.2f}"
            shown = f"({words})" if one.host_bound else words
            weight = "bold" if differs(found) and not one.host_bound else "normal"
            ink = INK if abs(field[at]) < 1.5 else "white"
            axis.text(at[1], at[0], shown, ha="center", va="center", fontsize=7, color=ink, fontweight=weight)
    axis.imshow(field, cmap=_PALETTE, vmin=-2, vmax=2, origin="lower", aspect="auto")
    axis.set_xticks(range(len(inputs)), [str(m) for m in inputs], fontsize=7)
    axis.set_yticks(range(len(outputs)), [str(n) for n in outputs], fontsize=7)
    axis.grid(visible=False)
    axis.set(xlabel="input tokens m", ylabel=f"{quantity}: output tokens n")


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
