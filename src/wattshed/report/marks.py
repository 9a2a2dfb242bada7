"""How points are drawn: a line through means, their 95 % intervals, and hollow marks where the host set the pace."""

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from wattshed.report.canvas import INK
from wattshed.report.profile_points import Point

HOLLOW: Final = "hollow: the host set the pace"
"""What a legend says of hollow marks."""


def draw_points(
    axis: Axes, points: Sequence[Point], *, shown: str, mark: str, line: str = "-", label: str = ""
) -> None:
    """Draw points in the colour `shown`; a lone trial has no interval and no bar."""
    if not points:
        return
    at, means = [point.at for point in points], [point.mean for point in points]
    axis.plot(at, means, color=shown, ls=line, label=label or None, marker=mark)
    half_widths = [point.half_width or 0.0 for point in points]
    axis.errorbar(at, means, yerr=half_widths, color=shown, ls="", elinewidth=0.8, capsize=2, alpha=0.6)
    paced = [point for point in points if point.host_bound]
    axis.plot([point.at for point in paced], [point.mean for point in paced], mark, mec=shown, mfc="white", zorder=3)


def hollow_mark() -> Line2D:
    """The entry of a legend that explains hollow marks."""
    return Line2D([], [], ls="", marker="o", mec=INK, mfc="white", label=HOLLOW)
