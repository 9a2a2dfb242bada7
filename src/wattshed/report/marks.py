"""How points are drawn: a line through means, their 95 % intervals, and hollow marks where the host set the pace."""

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from wattshed.report.canvas import INK
from wattshed.report.profile_points import Point

HOLLOW: Final = "hollow: the host set the pace"
"""What a legend says of hollow marks."""

LEAST_FOR_BARS: Final = 3
"""Trials from which on an interval is drawn: at two, Student's t is 12.7 and a bar hides the figure; tables have it."""

BARS: Final = "Bars: 95 % intervals of the scatter, where there are three trials or more."
"""What a caption says of bars."""


def draw_points(
    axis: Axes, points: Sequence[Point], *, shown: str, mark: str, line: str = "-", label: str = ""
) -> None:
    """Draw points in the colour `shown`; fewer than three trials get no bar."""
    if not points:
        return
    at, means = [point.at for point in points], [point.mean for point in points]
    axis.plot(at, means, color=shown, ls=line, label=label or None, marker=mark)
    barred = [point for point in points if point.trials >= LEAST_FOR_BARS]
    bars = [point.half_width or 0.0 for point in barred]
    places = [point.at for point in barred], [point.mean for point in barred]
    axis.errorbar(*places, yerr=bars, color=shown, ls="", elinewidth=0.8, capsize=2, alpha=0.6)
    paced = [point for point in points if point.host_bound]
    axis.plot([point.at for point in paced], [point.mean for point in paced], mark, mec=shown, mfc="white", zorder=3)


def hollow_mark() -> Line2D:
    """The entry of a legend that explains hollow marks."""
    return Line2D([], [], ls="", marker="o", mec=INK, mfc="white", label=HOLLOW)
