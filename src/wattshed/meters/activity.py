"""What powermetrics says of one interval, as values: joules of an Apple chip, and how hard each process drove it.

Equation 5 of the paper is the chip's GPU energy as it stands. Equation 6 bills a share of the CPU energy to our
process: `alpha` = its energy impact / the energy impact of all. Apple does not say what an energy impact is, so the
share of CPU time stands beside it.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Final

TOLERANCE: Final = 0.05
"""How far the processes' sum and their printed total, or counter and power x time, may lie apart (METHOD.md, 4.8)."""


ATTRIBUTED: Final = {
    "ours-by-energy-impact": "energy impact",
    "ours-by-cpu-time": "CPU time",
    "our-cores": "cores that ran it",
}
"""How our processes' part of a channel was found, by the last word of the name of the channel that holds it."""


@dataclass(frozen=True, slots=True)
class Task:
    """One process over one interval; `impact` is its energy impact, in Apple's own unit.

    `started` (boot-relative nanoseconds) tells apart two processes that shared a pid. A negative pid stands for no
    process: -1 for those that died within the interval, together.
    """

    pid: int
    name: str
    impact: float
    cpu_time_s: float
    started: int | None = None


@dataclass(frozen=True, slots=True)
class Rails:
    """Joules of one interval by part of the chip; `None` where the sample does not say."""

    cpu_j: float | None
    gpu_j: float | None
    ane_j: float | None
    combined_j: float | None

    @property
    def known(self) -> int:
        """How many of them the sample says."""
        return sum(getattr(self, rail.name) is not None for rail in fields(self))


@dataclass(frozen=True, slots=True)
class Activity:
    """One sample of `duration_s`, or the summary of all; `all_tasks` is the printed total of the processes."""

    duration_s: float
    rails: Rails
    tasks: tuple[Task, ...] = ()
    all_tasks: Task | None = None
    summary: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the CPU that some processes drove, by energy impact and by CPU time; `None` where nobody can tell."""

    by_impact: float | None
    by_cpu: float | None


@dataclass(frozen=True, slots=True)
class ActivityLog:
    """The samples of a log in order, and its summary where it has one."""

    samples: tuple[Activity, ...]
    summary: Activity | None = None

    @property
    def total(self) -> Rails:
        """Joules of all samples; a part that any sample lacks is `None`."""
        rails = ([getattr(sample.rails, rail.name) for sample in self.samples] for rail in fields(Rails))
        return Rails(*(None if None in parts or not parts else sum(parts) for parts in rails))

    @property
    def deviations(self) -> dict[str, float]:
        """Relative distance of the samples' joules from the summary's, by part; empty without a summary."""
        if self.summary is None:
            return {}
        total, said = self.total, self.summary.rails
        pairs = {rail.name: (getattr(total, rail.name), getattr(said, rail.name)) for rail in fields(Rails)}
        return {name: abs(ours / theirs - 1) for name, (ours, theirs) in pairs.items() if ours is not None and theirs}


class Ours:
    """Processes to bill, by pid, with everything that they start; a pid that comes back is another process.

    `roots` is looked up at each sample, so that a process may be added that starts after its meter. `descendants` tells
    the pids below them; one that was seen stays ours when its parent ends. Identity is pid and start.
    """

    def __init__(
        self, roots: Collection[int], descendants: Callable[[Collection[int]], Collection[int]] = frozenset
    ) -> None:
        self._roots, self._descendants = roots, descendants
        self._seen: frozenset[int] = frozenset()
        self._started: dict[int, int] = {}

    def __contains__(self, task: Task) -> bool:
        if task.pid not in self._seen:
            return False
        return task.started is None or self._started.setdefault(task.pid, task.started) == task.started

    def share(self, activity: Activity) -> Share:
        """Our fraction of one sample: alpha of Equation 6, and the same by CPU time.

        The denominator is the sum of the rows; where the printed total is more than 5 % away from it, rows are
        missing and there is no answer.
        """
        roots = tuple(self._roots)
        self._seen |= {*roots, *self._descendants(roots)}
        ours = [task for task in activity.tasks if task in self]
        total = activity.all_tasks
        return Share(
            _fraction(
                [task.impact for task in ours],
                [task.impact for task in activity.tasks],
                None if total is None else total.impact,
            ),
            _fraction(
                [task.cpu_time_s for task in ours],
                [task.cpu_time_s for task in activity.tasks],
                None if total is None else total.cpu_time_s,
            ),
        )


def descendants(roots: Collection[int]) -> frozenset[int]:
    """The pids of everything that some processes have started and that runs now; needs psutil."""
    import psutil

    found: set[int] = set()
    for root in roots:
        with suppress(psutil.Error):  # it has ended
            found.update(child.pid for child in psutil.Process(root).children(recursive=True))
    return frozenset(found)


def _fraction(ours: list[float], everyone: list[float], printed: float | None) -> float | None:
    total = sum(everyone)
    if total <= 0 or (printed is not None and abs(printed - total) > TOLERANCE * total):
        return None
    return sum(ours) / total
