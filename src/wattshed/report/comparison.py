"""Two profiles, cell by cell: how many times the joules and the seconds, and is it more than the measuring leaves open?

Cells are compared where both sides did the same work: model, token counts, requests in flight, KV cache, and the
engine's configuration where both name one. Cells paced by a host tell of that host as well; they are compared, flagged,
and left out of every count. Nothing is averaged over cells.

The interval of a ratio holds the scatter of both sides and, for joules, the uncertainty of both sensors: see
`scatter.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

from wattshed.domain.choices import Channel
from wattshed.domain.joining import work_of
from wattshed.domain.measurement import Profile
from wattshed.domain.plan import Interval
from wattshed.domain.system import EAGER, System
from wattshed.profiler.design import Shape
from wattshed.profiler.pace import BUSY
from wattshed.report.scatter import MeasuredCells, ratio_of

Ratioed = Literal["joules", "seconds"]
"""What is compared: joules and seconds of a query."""

QUANTITIES: Final[tuple[Ratioed, ...]] = get_args(Ratioed)


@dataclass(frozen=True, slots=True)
class Compared:
    """One cell on both sides: ours over theirs, with 95 % intervals; `joules_ratio` is `None` where a side has none.

    `sensor_known` says that the interval of `joules_ratio` holds the accuracy of both sensors. `trials` counts windows,
    ours and theirs. `utilization` is the share of time that the accelerator ran kernels, of the side where it is less;
    `None` where a side does not tell.
    """

    ours: System
    theirs: System
    shape: Shape
    joules_ratio: Interval | None
    seconds_ratio: Interval
    host_bound: bool
    sensor_known: bool
    trials: tuple[int, int]
    utilization: float | None

    @property
    def partly_idle(self) -> bool:
        """Whether the device counts as setting the pace of both sides, though one of them was not `BUSY` throughout."""
        return not self.host_bound and self.utilization is not None and self.utilization < BUSY


def compare(ours: Profile, theirs: Profile, channel: Channel) -> list[Compared]:
    """Every cell that both profiles measured, by model, configuration and shape."""
    first, second = (MeasuredCells.of(profile, channel) for profile in (ours, theirs))
    found = [
        _compared(first, second, mine, other, shape)
        for mine in first.cells
        for other in second.cells
        if work_done(mine) == work_done(other)
        for shape in sorted(first.cells[mine].keys() & second.cells[other].keys())
    ]
    return sorted(found, key=lambda one: (title(one), one.shape))


def ratio(one: Compared, quantity: Ratioed) -> Interval | None:
    """Ours over theirs, of one quantity."""
    return one.joules_ratio if quantity == "joules" else one.seconds_ratio


def title(one: Compared) -> str:
    """Both systems, and what both did."""
    return f"{one.ours.name} / {one.theirs.name}: {work_done(one.ours)}"


def work_done(system: System) -> str:
    """What a system does, whoever it is: the work, the cache, and the launching where it is not one by one."""
    cache = {True: "KV cache", False: "no cache", None: "cache not known"}[system.kv_cache]
    launching = [] if system.configuration == EAGER else [system.configuration]
    return ", ".join((work_of(system.model), cache, *launching))


def differs(interval: Interval | None) -> bool:
    """Whether a ratio is off 1 by more than its interval allows."""
    return interval is not None and not interval.lower <= 1 <= interval.upper


class Tally(NamedTuple):
    """The ratios of cells that have one, and in how many ours takes less, more, or as much as the interval allows."""

    ratios: tuple[float, ...]
    less: int
    more: int

    @classmethod
    def of(cls, cells: Iterable[Compared], quantity: Ratioed) -> "Tally":
        """Every cell alike: whoever asks leaves out those that hosts paced."""
        known = [found for one in cells if (found := ratio(one, quantity)) is not None]
        less, more = (sum(differs(found) and (found.value < 1) == below for found in known) for below in (True, False))
        return cls(tuple(found.value for found in known), less, more)

    @property
    def within(self) -> int:
        """In how many cells the interval holds 1."""
        return len(self.ratios) - self.less - self.more


def _compared(first: MeasuredCells, second: MeasuredCells, mine: System, other: System, shape: Shape) -> Compared:
    joules = first.joules(mine, shape), second.joules(other, shape)
    seconds = ratio_of(first.seconds(mine, shape), second.seconds(other, shape))
    assert seconds is not None  # no runtime is 0
    return Compared(
        mine,
        other,
        shape,
        ratio_of(*joules),
        seconds,
        first.host_bound(mine, shape) or second.host_bound(other, shape),
        all(side is None or side.sensor_uncertainty is not None for side in joules),
        (len(first.cells[mine][shape]), len(second.cells[other][shape])),
        _least([first.utilization(mine, shape), second.utilization(other, shape)]),
    )


def _least(values: Sequence[float | None]) -> float | None:
    """The least, where all are known."""
    known = [value for value in values if value is not None]
    return min(known) if len(known) == len(values) else None
