"""The line itself: which system serves which part of the (m, n) plane for least."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from wattshed.planner.regions import Regions
from wattshed.report.canvas import INK, drawn, panels, powers_of_two, system_colour


@drawn
def regions_figure(regions: Regions) -> Figure:
    """The plane in the colours of the cheapest systems.

    Pale: the second cheapest lies within the 95 % interval. Hatched: the cheapest was not measured there.
    """
    drawing, (axis,) = panels(1, height_in=4.4, width_in=7.8)
    m, n, names = regions.input_tokens, regions.output_tokens, regions.fleet.names
    handles = []
    for position, name in enumerate(names):
        here = regions.position == position
        shown = system_colour(name, position)
        for mask, alpha in ((here & regions.decided, 0.9), (here & ~regions.decided, 0.4)):
            axis.contourf(m, n, _sure(mask), levels=[0.5, 1.5], colors=[shown], alpha=alpha)
        if here.any():
            axis.contour(m, n, _sure(here), levels=[0.5], colors=INK, linewidths=0.8)
            handles.append(Patch(color=shown, label=name))
    axis.contourf(m, n, _sure(regions.extrapolated), levels=[0.5, 1.5], colors="none", hatches=["///"])
    handles += [
        Patch(color="#bbbbbb", alpha=0.5, label="pale: not certain"),
        Patch(fill=False, hatch="///", label="hatched: not measured there"),
    ]
    powers_of_two(axis, "xy")
    axis.set(xlabel="input tokens m", ylabel="output tokens n", title="Who serves what for least", xlim=(m[0], m[-1]))
    axis.legend(handles=handles, loc="center left", bbox_to_anchor=(1, 0.5))
    return drawing


def _sure(mask: np.ndarray) -> np.ndarray:
    """A mask of shape (M, N) as `contourf` wants it: numbers, rows along n."""
    return mask.T.astype(np.float64)
