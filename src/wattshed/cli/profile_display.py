"""Live progress of a campaign on stderr, in three lines that fit a terminal of 60 columns:

    ━━━━━━━━━━━╸━━━━━━━━ 12/27  0:09:41 gone, 0:12:05 left     visits over; the bar and what is left go by windows
    grid (2048, 128) x 16: window 5, 412 W
    1.73 s +-0.4 %, 43.6 J +-1.1 %                             means so far, with 95 % half-widths

Drawn when something happens and not by a thread of its own, which would take its share of the processor that is being
measured. Where stderr is no terminal, each cell leaves one line when it is over.
"""

import math
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from wattshed.profiler.campaign import NO_TIME
from wattshed.profiler.events import CampaignDone, CellDone, CellFailed, CellStarted, Event, IdleMeasured, TrialDone
from wattshed.profiler.forecast import fewest_windows
from wattshed.profiler.summary import summarised
from wattshed.units import percent

if TYPE_CHECKING:
    from wattshed.domain.measurement import Measurement
    from wattshed.profiler.campaign import Campaign, Earlier


class Display:
    """A bar over the windows of a campaign, and below it the cell of the moment."""

    def __init__(self, console: Console, campaign: "Campaign", earlier: "Earlier") -> None:
        self._console, self._earlier = console, earlier
        self._windows = {visit.number: fewest_windows(campaign, visit) for visit in campaign.visits}
        self._over = set(earlier.over)
        self._cell = ""
        self._trials: list[Measurement] = []
        self._progress = _progress()
        done = sum(self._windows[number] for number in self._over)
        self._task = self._progress.add_task("", total=sum(self._windows.values()), completed=done)
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live.start()
            self._draw("looking at the meters, loading, settling, idling")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, event: Event) -> None:
        """Show what an event changed."""
        match event:
            case CellStarted(visit):
                before = self._earlier.trials.get(visit.number, ())
                self._trials = [trial for trial in before if not trial.warm_up]
                self._cell = f"{visit.experiment} {visit.shape}"
                self._draw(f"{self._cell}: settling, warming up")
            case TrialDone(visit=number, trial=trial) if not trial.warm_up:
                self._trials.append(trial)
                self._count(min(len(self._trials), self._windows[number]))
                self._draw_trials()
            case CellFailed(reason=reason) if reason == NO_TIME:
                self._draw(said(event))
            case CellFailed(visit=number):
                self._end(number, f"{event.reason}, {event.message}", lasting=True)
            case CellDone(visit=number):
                self._end(number, means(self._trials), lasting=not self._console.is_terminal)
            case IdleMeasured() | CampaignDone():
                self._draw(said(event))

    def _draw_trials(self) -> None:
        if self._console.is_terminal:  # or else the statistics would be for nobody
            self._draw(f"{self._cell}: {pace(self._trials)}", means(self._trials))

    def _draw(self, *lines: str) -> None:
        if self._console.is_terminal:
            self._progress.update(self._task, description=f"{len(self._over)}/{len(self._windows)}")
            below = Text("\n".join((*lines, "")[:2]), no_wrap=True, overflow="ellipsis")
            self._live.update(Group(self._progress, below), refresh=True)

    def _count(self, windows: int) -> None:
        """Move the bar to the visits that are over and so many windows of the next."""
        done = sum(self._windows[number] for number in self._over) + windows
        self._progress.update(self._task, completed=done)

    def _end(self, number: int, how: str, *, lasting: bool) -> None:
        """A visit is over; a lasting line stays above the bar."""
        self._over.add(number)
        self._count(0)
        if lasting:
            line = f"{len(self._over)}/{len(self._windows)} {self._cell}: {how}"
            self._console.print(line, markup=False, soft_wrap=True)


def pace(trials: "list[Measurement]") -> str:
    """How many windows a cell has, and the watts of the last; K at least 1."""
    last = trials[-1]
    if last.measured_energy_j is None or not last.window_s:
        return f"window {len(trials)}"
    power_w = last.measured_energy_j * (last.window_queries or 1) / last.window_s
    return f"window {len(trials)}, {power_w:.0f} W"


def means(trials: "list[Measurement]") -> str:
    """Seconds and joules of a cell so far, with relative half-widths; K trials, K at least 1."""
    cell = summarised(trials)
    runtime = f"{cell.runtime_s:.3g} s{_width(cell.runtime_s, cell.runtime_half_width_s)}"
    if cell.energy_j is None:
        return runtime
    return f"{runtime}, {cell.energy_j:.3g} J{_width(cell.energy_j, cell.energy_half_width_j)}"


def said(event: IdleMeasured | CampaignDone | CellFailed) -> str:
    """What happened between the cells, or to one that was not begun."""
    match event:
        case IdleMeasured():
            watts = [f"{part} {power_w:.0f} W" for part, power_w in event.power_w.items() if power_w is not None]
            return f"idle {event.when}: {', '.join(watts) or 'not measured'}"
        case CampaignDone(ended="complete"):
            return "all cells are over"
        case CampaignDone(ended="engine_gone"):
            return "the engine is gone"
    return "time is up"


def _progress() -> Progress:
    return Progress(
        BarColumn(20),
        TextColumn("{task.description} "),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        speed_estimate_period=math.inf,  # a cell may take longer than the half minute that rich looks back
        auto_refresh=False,
    )


def _width(value: float, half_width: float | None) -> str:
    return "" if half_width is None or not value else f" +-{percent(half_width / value):.1f} %"
