"""How still two machines stood, in words and tables: their reference cells within campaigns and between them."""

from collections.abc import Iterator, Sequence

from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Profile
from wattshed.domain.system import System
from wattshed.profiler.design import Shape
from wattshed.report.comparison import QUANTITIES, Compared, Ratioed, differs, ratio, work_done
from wattshed.report.drift import Drift, between_campaigns, drifts
from wattshed.report.page import Prose, Table
from wattshed.report.words import in_percent
from wattshed.units import hours, percent


def drift_blocks(ours: Profile, theirs: Profile, channel: Channel) -> list[Prose | Table]:
    """The reference cells: those that both machines have, those of two campaigns of one, and each by itself."""
    tables = [table for profile in (ours, theirs) if (table := drift_table(profile, channel)).rows]
    if not tables:
        return [Prose("No reference cell was visited twice.")]
    return [*(Prose(said) for said in drift_words(ours, theirs, channel)), *tables]


def drift_words(ours: Profile, theirs: Profile, channel: Channel) -> Iterator[str]:
    """A sentence for every reference cell that two machines, two campaigns, or two sessions have in common."""
    for first, second in ((ours, theirs), (ours, ours), (theirs, theirs)):
        for one in between_campaigns(first, second, channel):
            yield _sentence(one)
    for profile in (ours, theirs):
        yield from _sessions(drifts(profile, channel))


def drift_table(profile: Profile, channel: Channel) -> Table:
    """How still the reference cells of a profile stood."""
    spread = ("seconds", "range", "trend", "joules", "range", "trend")
    header = ("system", "host", "session", "cell", "windows", "hours", *spread)
    return Table(f"Reference cells of {profile.name}", header, [_row(one) for one in drifts(profile, channel)])


def _sentence(one: Compared) -> str:
    sides = " over ".join(f"{side.name} ({side.host})" if side.host else side.name for side in (one.ours, one.theirs))
    told = "; ".join(_told(one, quantity) for quantity in QUANTITIES)
    pace = " A host set the pace." if one.host_bound else ""
    return f"{work_done(one.ours)}, reference cell {one.shape}, {sides}: {told}.{pace}"


def _sessions(found: Sequence[Drift]) -> Iterator[str]:
    """How far the means of the sessions of one system lie apart."""
    by_cell: dict[tuple[System, Shape], list[Drift]] = {}
    for one in found:
        by_cell.setdefault((one.system, one.shape), []).append(one)
    for (system, shape), same in by_cell.items():
        if len(same) > 1:
            seconds, joules = (_apart([mean(one) for one in same]) for mean in (_mean_s, _mean_j))
            yield (
                f"{system.label}, reference cell {shape}: the means of {len(same)} sessions lie {seconds} apart in "
                f"seconds and {joules} in joules."
            )


def _mean_s(one: Drift) -> float | None:
    return one.mean_runtime_s


def _mean_j(one: Drift) -> float | None:
    return one.mean_energy_j


def _apart(means: Sequence[float | None]) -> str:
    """The range of means over the least of them."""
    known = [mean for mean in means if mean is not None]
    return f"{percent(max(known) / min(known) - 1):.1f} %" if len(known) == len(means) else "an unknown share"


def _told(one: Compared, quantity: Ratioed) -> str:
    found = ratio(one, quantity)
    if found is None:
        return f"no {quantity} on both sides"
    verdict = "more than the interval allows" if differs(found) else "within the interval"
    bounds = f"95 % interval {found.lower:.3f} to {found.upper:.3f}"
    return f"{found.value:.3f} times the {quantity} ({bounds}), {verdict}"


def _row(one: Drift) -> tuple[str, ...]:
    span = "–" if one.span_s is None else f"{hours(one.span_s):.2f}"
    seconds = f"{one.mean_runtime_s:.4g}", *_moved(one.seconds_range, one.seconds_trend)
    joules = "–" if one.mean_energy_j is None else f"{one.mean_energy_j:.4g}"
    session = "–" if one.session is None else str(one.session)
    place = (one.system.label, one.system.host or "–", session, str(one.shape), str(one.trials), span)
    return *place, *seconds, joules, *_moved(one.joules_range, one.joules_trend)


def _moved(spread: float | None, trend: float | None) -> tuple[str, str]:
    """A range, and a trend with its sign."""
    if spread is None or trend is None:
        return "–", "–"
    return f"{percent(spread):.1f} %", in_percent(trend, 1)
