"""Two machines in sentences made from their cells: what company does beside what the machine does, and the answers."""

from collections.abc import Iterator, Sequence
from typing import Literal

from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Profile
from wattshed.domain.plan import Interval
from wattshed.planner.changes import idle_change, power_changes
from wattshed.planner.evaluate import best_baseline
from wattshed.planner.planning import Planning
from wattshed.report.comparison import QUANTITIES, Compared, Ratioed, Tally, compare, differs, work_done
from wattshed.report.drift import Drift, between_campaigns, drifts
from wattshed.report.effects_lengths import span
from wattshed.report.levels import Climb, Factors, factors, in_both, shared_climbs
from wattshed.report.page import Table
from wattshed.report.words import bounds
from wattshed.units import percent


def climb_words(climbs: Sequence[tuple[Climb, Climb]]) -> Iterator[str]:
    """What requests in flight do to an output token on both machines, beside what the other machine does to it."""
    for ours, theirs in climbs:
        at = in_both(ours, theirs)
        if len(at) > 1:
            joules, seconds = (factors(ours, theirs, quantity) for quantity in QUANTITIES)
            cell = f"{work_done(ours.system)}, m = {ours.input_tokens}, n = {ours.output_tokens}"
            yield (
                f"{cell}: from {at[0]} to {at[-1]} requests in flight the joules of an output token fall by a factor "
                f"of {_span(joules, 'company', '.1f')} on either machine, and the seconds that each waits for it rise "
                f"by one of {_span(seconds, 'company', '.1f')}. At the same number in flight {ours.system.name} takes "
                f"{_span(joules, 'machine', '.2f')} times the joules of {theirs.system.name}, and "
                f"{_span(seconds, 'machine', '.2f')} times the seconds."
            )


def machines_abstract(ours: Profile, theirs: Profile, planning: Planning, channel: Channel) -> Table:
    """The questions of two machines and a fleet with both, each with its answer in a sentence or two."""
    compared, still = compare(ours, theirs, channel), [*drifts(ours, channel), *drifts(theirs, channel)]
    answers = {
        **{f"{quantity} of a query": _ratios(compared, quantity, (ours.name, theirs.name)) for quantity in QUANTITIES},
        "requests in flight": " ".join(climb_words(shared_climbs(ours, theirs, channel))),
        "the reference cells, within a session": _within(still),
        "the reference cells, between machines": _between(between_campaigns(ours, theirs, channel)),
        "a hybrid": _hybrid(planning),
        "what flips that": _flips(planning),
    }
    return Table("In short", ("what was asked", "what was found"), [one for one in answers.items() if one[1]])


def _span(found: Factors | None, of: Literal["company", "machine"], form: str) -> str:
    return "unknown" if found is None else span(getattr(found, of), form)


def _ratios(compared: Sequence[Compared], quantity: Ratioed, names: tuple[str, str]) -> str:
    """How the machines compare where devices set the pace of both."""
    paced = [one for one in compared if not one.host_bound]
    tally, shared = Tally.of(paced, quantity), sum(one.partly_idle for one in compared)
    if not tally.ratios:
        return ""
    known = len(tally.ratios)
    return (
        f"{names[0]} takes {span(tally.ratios, '.2f')} times those of {names[1]} in the {known} of {len(compared)} "
        f"pairs of cells where the devices set the pace: less beyond the interval in {tally.less}, more in "
        f"{tally.more}; {tally.within} cannot tell."
        + (f" In {shared} of the {known} a board ran no kernel for over a tenth of the time." if shared else "")
    )


def _within(still: Sequence[Drift]) -> str:
    if not still:
        return ""
    seconds = max(one.seconds_range for one in still)
    joules = max((one.joules_range for one in still if one.joules_range is not None), default=None)
    more = "" if joules is None else f", and {percent(joules):.1f} % in joules"
    widest = f"{percent(seconds):.1f} % of their mean in seconds{more}"
    return f"They range over at most {widest}, in the worst of {len(still)} sessions."


def _between(found: Sequence[Compared]) -> str:
    return " ".join(
        f"{work_done(one.ours)}, {one.shape}, over {one.theirs.name}: {_sure(one.joules_ratio)} times the joules, "
        f"{_sure(one.seconds_ratio)} times the seconds{' (a host set the pace)' if one.host_bound else ''}."
        for one in found
        if one.joules_ratio is not None
    )


def _sure(found: Interval) -> str:
    """A ratio, with a word where its interval holds 1."""
    return f"{found.value:.2f}{'' if differs(found) else ' (cannot tell)'}"


def _hybrid(planning: Planning) -> str:
    chosen, best = planning.chosen, best_baseline(planning.chosen)
    shares = ", ".join(f"{percent(s.queries / chosen.queries):.1f} % to {s.system}" for s in chosen.shares if s.queries)
    saved = f"{percent(best.energy.value):.1f} % ({bounds(best.energy, 1)})"
    return f"Of {chosen.workload}, {shares}: {saved} less energy than {best.baseline} alone, before anybody waits."


def _flips(planning: Planning) -> str:
    """The least host power, the least error of a meter and the idle power that end the saving."""
    powers, idle, said = power_changes(planning), idle_change(planning), []
    if powers:
        least = min(powers, key=lambda change: change.power_w)
        nearest = min(powers, key=lambda change: change.share)
        said.append(f"{least.power_w:.3g} W more on {least.system} while it serves")
        said.append(f"meters of {nearest.system} that read {percent(nearest.share):.2g} % too little")
    if idle is not None:
        said.append(f"{idle.power_w:.3g} W of each machine that waits for {idle.last}")
    return f"Any one of these: {'; '.join(said)}." if said else ""
