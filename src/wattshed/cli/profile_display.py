"""Live progress of a campaign on stderr: which cell, how many watts, how narrow the intervals, how long still.

Drawn when something happens and not by a thread of its own, which would take its share of the processor that is being
measured.
"""

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from wattshed.profiler.events import CellDone, CellFailed, CellStarted, Event, TrialDone
from wattshed.profiler.summary import summarised
from wattshed.units import percent

if TYPE_CHECKING:
    from wattshed.domain.measurement import Measurement
    from wattshed.profiler.campaign import Campaign, Earlier


class Display:
    """A progress bar over the visits of a campaign."""

    def __init__(self, console: Console, campaign: "Campaign", earlier: "Earlier") -> None:
        columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, TextColumn("{task.description}"), console=console, auto_refresh=False)
        visits = len(campaign.visits)
        self._task = self._progress.add_task("loading", total=visits, completed=len(earlier.over))
        self._trials: list[Measurement] = []
        self._cell = ""

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, event: Event) -> None:
        """Show what an event changed."""
        if isinstance(event, CellStarted):
            self._trials, self._cell = [], f"{event.visit.experiment} {event.visit.shape}"
            self._progress.update(self._task, description=self._cell)
        elif isinstance(event, TrialDone) and not event.trial.warm_up:
            self._trials.append(event.trial)
            self._progress.update(self._task, description=f"{self._cell}: {words(self._trials)}")
        elif isinstance(event, CellFailed):
            self._progress.console.print(f"{self._cell}: {event.reason}, {event.message}", markup=False, soft_wrap=True)
        if isinstance(event, CellDone | CellFailed):
            self._progress.advance(self._task)
        self._progress.refresh()


def words(trials: "list[Measurement]") -> str:
    """A cell so far: windows, seconds, joules and watts, with relative half-widths."""
    cell, last = summarised(trials), trials[-1]
    parts = [f"{cell.trials} windows", f"{cell.runtime_s:.3g} s{_width(cell.runtime_s, cell.runtime_half_width_s)}"]
    if cell.energy_j is not None:
        parts.append(f"{cell.energy_j:.3g} J{_width(cell.energy_j, cell.energy_half_width_j)}")
    if last.measured_energy_j is not None and last.window_s:
        parts.append(f"{last.measured_energy_j * (last.window_queries or 1) / last.window_s:.0f} W")
    return ", ".join(parts)


def _width(value: float, half_width: float | None) -> str:
    return "" if half_width is None or not value else f" +-{percent(half_width / value):.1f} %"
