"""What an output token costs over requests in flight, on each of two machines, with all that leaves it open."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Profile
from wattshed.domain.plan import Interval
from wattshed.domain.system import System
from wattshed.profiler.design import Shape
from wattshed.report.comparison import Ratioed, work_done
from wattshed.report.scatter import Mean, MeasuredCells


@dataclass(frozen=True, slots=True)
class Level:
    """One cell: joules of an output token, and the seconds that each who waits gives for one; `None` without joules.

    `windows` counts those behind them.
    """

    in_flight: int
    joules: Interval | None
    seconds: Interval
    host_bound: bool
    windows: int

    def of(self, quantity: Ratioed) -> Interval | None:
        """One of the two."""
        return self.joules if quantity == "joules" else self.seconds


@dataclass(frozen=True, slots=True)
class Climb:
    """The levels of one system over requests in flight, rising, all of `input_tokens` and `output_tokens`."""

    system: System
    input_tokens: int
    output_tokens: int
    levels: tuple[Level, ...]


class Factors(NamedTuple):
    """What company does to one quantity on ours and on theirs, and what the machine does to it at each level.

    `company` counts joules that fall and seconds that rise from the first level to the last; `machine` is ours over
    theirs, an entry a level of both.
    """

    company: tuple[float, float]
    machine: tuple[float, ...]


def shared_climbs(ours: Profile, theirs: Profile, channel: Channel) -> list[tuple[Climb, Climb]]:
    """Ours beside theirs wherever both did the same work at two numbers of requests in flight or more.

    All have the lengths that both machines met at most such numbers, the longest of several.
    """
    first, second = (list(_climbs(profile, channel)) for profile in (ours, theirs))
    pairs = [
        (mine, other)
        for mine in first
        for other in second
        if work_done(mine.system) == work_done(other.system) and _lengths(mine) == _lengths(other)
    ]
    counts: dict[tuple[int, int], int] = defaultdict(int)
    for mine, other in pairs:
        counts[_lengths(mine)] += min(len(mine.levels), len(other.levels))
    chosen = max(counts, key=lambda lengths: (counts[lengths], lengths), default=None)
    return [pair for pair in pairs if _lengths(pair[0]) == chosen]


def in_both(ours: Climb, theirs: Climb) -> list[int]:
    """The numbers of requests in flight that both climbs have, rising."""
    return sorted({level.in_flight for level in ours.levels} & {level.in_flight for level in theirs.levels})


def factors(ours: Climb, theirs: Climb, quantity: Ratioed) -> Factors | None:
    """Over the levels that both climbs have; `None` where one of them has no joules."""
    at = in_both(ours, theirs)
    mine, others = ([level.of(quantity) for level in climb.levels if level.in_flight in at] for climb in (ours, theirs))
    ratios = [one.value / other.value for one, other in zip(mine, others, strict=True) if one and other]
    if not ratios or len(ratios) < len(at):
        return None
    ends = ((side[0], side[-1]) for side in (mine, others))
    fallen = [first.value / last.value for first, last in ends if first and last]
    one, other = fallen if quantity == "joules" else [1 / times for times in fallen]
    return Factors((one, other), tuple(ratios))


def _climbs(profile: Profile, channel: Channel) -> Iterator[Climb]:
    measured = MeasuredCells.of(profile, channel)
    for system, cells in measured.cells.items():
        by_lengths: dict[tuple[int, int], list[Shape]] = defaultdict(list)
        for shape in sorted(cells, key=lambda one: one.concurrency):
            by_lengths[shape.input_tokens, shape.output_tokens].append(shape)
        for lengths, shapes in by_lengths.items():
            if len(shapes) > 1:
                yield Climb(system, *lengths, tuple(_levels(measured, system, shapes)))


def _levels(measured: MeasuredCells, system: System, shapes: Sequence[Shape]) -> Iterator[Level]:
    for shape in shapes:
        joules, windows = measured.joules(system, shape), len(measured.cells[system][shape])
        shared = None if joules is None else _per_token(joules, shape)
        seconds = _per_token(measured.seconds(system, shape), shape)
        yield Level(shape.concurrency, shared, seconds, measured.host_bound(system, shape), windows)


def _per_token(mean: Mean, shape: Shape) -> Interval:
    return mean._replace(value=mean.value / shape.output_tokens).interval


def _lengths(climb: Climb) -> tuple[int, int]:
    return climb.input_tokens, climb.output_tokens
