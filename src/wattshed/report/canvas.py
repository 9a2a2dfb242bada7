"""How every figure of the project looks: one palette, one style, and no state that outlives a drawing.

Colours are those of Okabe and Ito (2008), told apart by colour-blind readers; a system keeps its colour in all figures
of one document because `colour` goes by its place in the fleet.
"""

import io
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from wattshed.files import write_whole

P = ParamSpec("P")

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
_PAPER_SYSTEMS: Final = ("M1-Pro", "Swing AMD+A100", "Palmetto Intel+A100", "Palmetto Intel+V100")

INK: Final = "#222222"
GREY: Final = "#b5b5b5"
"""For what stands behind, to compare with."""

_STYLE: Final = Path(__file__).with_name("wattshed.mplstyle")


def drawn(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the style of the project; for every function that makes a figure."""

    @wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with rc_context(fname=_STYLE):
            return function(*args, **kwargs)

    return styled


def system_colour(name: str, position: int) -> str:
    """The colour of a system: always the same for those of the paper, by position for others; theirs never meet."""
    if name in _PAPER_SYSTEMS:
        return colour(_PAPER_SYSTEMS.index(name))
    return colour(len(_PAPER_SYSTEMS) + position % (len(COLOURS) - len(_PAPER_SYSTEMS)))


def colour(position: int) -> str:
    """The colour of the system at `position`; repeats after eight."""
    return COLOURS[position % len(COLOURS)]


def marker(position: int) -> str:
    """The marker of the series at `position`; repeats after eight."""
    return MARKERS[position % len(MARKERS)]


def panels(columns: int, *, height_in: float = 3.0, width_in: float = 3.4) -> tuple[Figure, list[Axes]]:
    """A figure with `columns` panels in a row, each `width_in` by `height_in` inches."""
    figure, rows = grid(1, columns, height_in=height_in, width_in=width_in)
    return figure, rows[0]


def grid(rows: int, columns: int, *, height_in: float = 3.0, width_in: float = 3.4) -> tuple[Figure, list[list[Axes]]]:
    """The same with `rows` rows of panels."""
    figure = Figure(figsize=(width_in * columns, height_in * rows), layout="constrained")
    return figure, [list(row) for row in figure.subplots(rows, columns, squeeze=False)]


def powers_of_two(axes: Axes, sides: str = "x") -> None:
    """Powers of two in plain digits along the sides named, "x" or "xy"."""
    axes.set_xscale("log", base=2)
    if "y" in sides:
        axes.set_yscale("log", base=2)
    for side in (axes.xaxis, axes.yaxis)[: len(sides)]:
        side.set_major_formatter(lambda value, _: f"{value:g}")


def from_zero_or_logarithm(axes: Axes) -> None:
    """A y axis from 0 where all points lie within a decade, else a logarithmic one."""
    values = np.concatenate([np.asarray(line.get_ydata(), np.float64) for line in axes.lines])
    if values.max() < 10 * values.min():
        axes.set_ylim(0, 1.05 * values.max())
    else:
        plain_logarithm(axes)


def plain_logarithm(axes: Axes) -> None:
    """A logarithmic y axis with 1, 2 and 5 of every decade in plain digits."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def svg(figure: Figure) -> str:
    """The figure as an SVG document, the same bytes for the same figure."""
    buffer = io.StringIO()
    with rc_context(fname=_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG and return its path."""
    buffer = io.BytesIO()
    with rc_context(fname=_STYLE):
        figure.savefig(buffer, format="png", dpi=160)
    return write_whole(path, buffer.getvalue())
