"""An engine's log beside its simulation: each request's times, measured across and simulated up."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wattshed.domain.arrays import Booleans, Floats
from wattshed.domain.replay import Replay
from wattshed.report.canvas import COLOURS, GREY, drawn, panels

_TIMES = {
    "ttft_s": "time to first token (s)",
    "tpot_s": "time between tokens (s)",
    "runtime_s": "end to end (s)",
}


@drawn
def replay_figure(log: Replay, again: Replay, *, fitted: Booleans) -> Figure:
    """Three panels; requests that were `fitted` on, shape (N,), are grey, and those predicted are not."""
    figure, all_axes = panels(len(_TIMES))
    for axes, (quantity, label) in zip(all_axes, _TIMES.items(), strict=True):
        measured, simulated = getattr(log, quantity), getattr(again, quantity)
        axes.axline((0, 0), slope=1, color=GREY, linewidth=0.8)
        _dots(axes, measured[fitted], simulated[fitted], "fitted", GREY)
        _dots(axes, measured[~fitted], simulated[~fitted], "predicted", COLOURS[0])
        axes.set(xlabel=f"measured {label}", ylabel="simulated")
    all_axes[0].legend(frameon=False)
    return figure


def _dots(axes: Axes, measured: Floats, simulated: Floats, label: str, colour: str) -> None:
    axes.plot(measured, simulated, ".", markersize=3, label=label, color=colour)
