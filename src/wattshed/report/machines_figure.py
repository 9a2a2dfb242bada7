"""Two machines in one picture: what company does to the cost of a token, beside what the machine does to it.

The first column climbs over requests in flight, on both machines; the others are maps of ours over theirs, one request
in flight. Joules above, time below. Where several hosts did the same work, the surest pair is drawn.
"""

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from wattshed.profiler.design import Shape
from wattshed.report.canvas import INK, colour, drawn, grid, plain_logarithm, powers_of_two
from wattshed.report.comparison import QUANTITIES, Compared, Ratioed, work_done
from wattshed.report.comparison_figures import draw_map, map_marks, reach_of
from wattshed.report.effects_lengths import span
from wattshed.report.levels import Climb, factors, in_both
from wattshed.report.marks import hollow_mark
from wattshed.units import milliseconds

_LINES: Final = ("-", "--", ":")
"""What a machine did, in the order of the climbs: its line."""

_COLOURS: Final = (colour(2), INK)
"""Ours and theirs; blue and vermilion are taken by less and more."""

_UNITS: Final[dict[Ratioed, str]] = {"joules": "J per output token", "seconds": "ms per output token, each who waits"}


@drawn
def machines_figure(compared: Sequence[Compared], climbs: Sequence[tuple[Climb, Climb]]) -> Figure:
    """The climbs of both machines, with 95 % intervals of scatter and sensors, and every map that tells of devices."""
    maps, climbs = [cells for cells in _planes(compared) if _tells(cells)], _surest(climbs)
    drawing, rows = grid(len(QUANTITIES), 1 + len(maps), height_in=3.2, width_in=4.6)
    for quantity, row in zip(QUANTITIES, rows, strict=True):
        for position, pair in enumerate(climbs):
            for side, climb in enumerate(pair):
                _climb(row[0], climb, quantity, shown=_COLOURS[side], line=_LINES[position % len(_LINES)])
        _finish(row[0], quantity, climbs)
        for axis, cells in zip(row[1:], maps, strict=True):
            draw_map(axis, cells, quantity, reach=reach_of(compared))
            axis.set_title(f"{quantity.capitalize()}, ratio: {work_done(cells[0].ours)}", fontsize=9)
    drawing.legend(handles=[*_handles(climbs), *map_marks()], loc="outside lower center", ncols=4)
    return drawing


def _surest(climbs: Sequence[tuple[Climb, Climb]]) -> list[tuple[Climb, Climb]]:
    """A pair for each kind of work: the one that tells most of devices, and of several the one with most windows."""
    best: dict[str, tuple[Climb, Climb]] = {}
    for pair in sorted(climbs, key=lambda pair: (_by_device(pair), _windows(pair))):
        best[work_done(pair[0].system)] = pair
    return [best[work] for work in sorted(best)]


def _windows(pair: tuple[Climb, Climb]) -> int:
    """How many windows a pair rests on."""
    return sum(level.windows for climb in pair for level in climb.levels)


def has_maps(compared: Sequence[Compared]) -> bool:
    """Whether some cells span two lengths a side and a device paced one of them."""
    return any(_tells(cells) for cells in _planes(compared))


def _planes(compared: Sequence[Compared]) -> list[list[Compared]]:
    """The cells with one request in flight by work, whoever the hosts; of a cell's pairs the surest, devices first."""
    best: dict[str, dict[Shape, Compared]] = {}
    for one in sorted(compared, key=lambda one: (not one.host_bound, min(one.trials), max(one.trials))):
        if one.shape.concurrency == 1:
            best.setdefault(work_done(one.ours), {})[one.shape] = one
    return [list(cells.values()) for _, cells in sorted(best.items())]


def _tells(cells: Sequence[Compared]) -> bool:
    """Whether a map would be more than a line, and not paced by hosts all over."""
    is_plane = all(len({shape(one) for one in cells}) > 1 for shape in (_input_tokens, _output_tokens))
    return is_plane and not all(one.host_bound for one in cells)


def _input_tokens(one: Compared) -> int:
    return one.shape.input_tokens


def _output_tokens(one: Compared) -> int:
    return one.shape.output_tokens


def _climb(axis: Axes, climb: Climb, quantity: Ratioed, *, shown: str, line: str) -> None:
    """One machine doing one thing; an interval that reaches up to twice the value is left out."""
    known = [(level, found) for level in climb.levels if (found := level.of(quantity)) is not None]
    scale = milliseconds(1) if quantity == "seconds" else 1.0
    at = [level.in_flight for level, _ in known]
    axis.plot(at, [scale * found.value for _, found in known], color=shown, ls=line, marker="o")
    for level, found in known:
        place, value = level.in_flight, scale * found.value
        if found.upper < 2 * found.value:
            ends = [scale * found.lower, scale * found.upper]
            axis.plot([place, place], ends, color=shown, lw=5, alpha=0.25, solid_capstyle="butt")
        if level.host_bound:
            axis.plot([place], [value], "o", mec=shown, mfc="white", zorder=3)


def _finish(axis: Axes, quantity: Ratioed, climbs: Sequence[tuple[Climb, Climb]]) -> None:
    powers_of_two(axis)
    plain_logarithm(axis)
    lengths = f"m = {climbs[0][0].input_tokens}, n = {climbs[0][0].output_tokens}"
    axis.set(xlabel="requests in flight", ylabel=_UNITS[quantity])
    axis.set_title(f"{quantity.capitalize()}: {lengths}", fontsize=9)
    _tell(axis, quantity, max(climbs, key=_by_device))


def _tell(axis: Axes, quantity: Ratioed, pair: tuple[Climb, Climb]) -> None:
    """What company and what the machine does, in the empty corner over the climbs."""
    found, at = factors(*pair, quantity), in_both(*pair)
    if found is None:
        return
    falls = quantity == "joules"
    company = f"{at[0]} to {at[-1]} in flight: {span(found.company, '.1f')} times {'less' if falls else 'more'}"
    machine = f"the other machine: {span(found.machine, '.2f')} times"
    place, side = ((0.98, 0.96), "right") if falls else ((0.02, 0.96), "left")
    told = f"{work_done(pair[0].system)}:\n{company}\n{machine}"
    axis.text(*place, told, transform=axis.transAxes, ha=side, va="top", fontsize=8)


def _by_device(pair: tuple[Climb, Climb]) -> int:
    """How many levels of a pair tell of devices."""
    return sum(not level.host_bound for climb in pair for level in climb.levels)


def _handles(climbs: Sequence[tuple[Climb, Climb]]) -> list[Line2D]:
    """Both machines by colour and what they did by line."""
    lines = [
        Line2D([], [], color=_COLOURS[side], ls=_LINES[position % len(_LINES)], label=climb.system.name)
        for side in (0, 1)
        for position, climb in enumerate(pair[side] for pair in climbs)
    ]
    return [*lines, hollow_mark()]
