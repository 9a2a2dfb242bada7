"""What stands above a profile's figures in words: the sweep beside known systems, and the answers in a few lines."""

from collections.abc import Iterator, Sequence

from wattshed.domain.choices import Channel
from wattshed.domain.joining import work_of
from wattshed.domain.measurement import Profile
from wattshed.domain.system import System
from wattshed.planner.evaluate import best_baseline
from wattshed.planner.planning import Planning
from wattshed.planner.regions import Stretch
from wattshed.report.effects import Pair, batches, contrasts, known_ratios
from wattshed.report.effects_lengths import meetings, span
from wattshed.report.effects_words import at, joules, time, whose
from wattshed.report.page import Prose, Section, Table
from wattshed.report.profile_points import FROZEN_TOKENS, Point, Trials, frozen_tokens, measured, quantities, sweep
from wattshed.report.words import bounds
from wattshed.units import percent


def beside_section(profile: Profile, known: Profile, channel: Channel) -> Section:
    """Joules per token along input tokens, of systems without a KV cache beside the best of `known` at each length.

    Systems that were not measured at the paper's `FROZEN_TOKENS` are left out: their tokens are others.
    """
    old, said, rows = measured(known), [], []
    for system, trials in measured(profile).items():
        swept = frozen_tokens(trials, "input") == FROZEN_TOKENS
        if swept and system.kv_cache is False and system.concurrency == 1:
            peers = {peer: own for peer, own in old.items() if peer.model == work_of(system.model)}
            found = list(_beside(sweep(trials, "input", quantities(channel)["energy_per_token_j"]), peers, channel))
            said.append(_sentence(system, known.name, found))
            rows += [(system.model, system.name, *_row(*one)) for one in found]
    header = ("model", "system", "m", "J per token", f"best of {known.name}", "its J per token", "ratio", "paced by")
    return Section("Beside", [Prose(" ".join(said)), Table(f"Joules per token at n = {FROZEN_TOKENS}", header, rows)])


def abstract_table(profile: Profile, line: Sequence[Stretch], planning: Planning, channel: Channel) -> Table:
    """The questions of a profile and a fleet, each with its answer in one sentence."""
    trials = measured(profile)
    answers = {
        "a KV cache": _cache(trials, channel),
        "requests in flight": _batch(trials, channel),
        "launching kernels": _launch(trials, channel),
        "the first step at a new length": _lengths(profile, channel),
        "the line between the machines": _line(line, planning),
    }
    return Table("In short", ("what was asked", "what was found"), [one for one in answers.items() if one[1]])


def _beside(points: Sequence[Point], peers: Trials, channel: Channel) -> Iterator[tuple[Point, Point, str]]:
    """Each point that a peer has too, with the least of theirs and whose it is."""
    swept = {peer.name: sweep(own, "input", quantities(channel)["energy_per_token_j"]) for peer, own in peers.items()}
    for point in points:
        theirs = [(other.mean, name, other) for name, own in swept.items() for other in own if other.at == point.at]
        if theirs:
            _, name, least = min(theirs, key=lambda one: one[:2])
            yield point, least, name


def _sentence(system: System, known: str, found: Sequence[tuple[Point, Point, str]]) -> str:
    fewer = [str(point.at) for point, least, _ in found if point.mean < least.mean]
    where = f"{len(fewer)} of {len(found)} input lengths" + (f" (m = {', '.join(fewer)})" if fewer else "")
    return f"{system.model} on {system.name} takes fewer joules a token than on the best of {known} at {where}."


def _row(point: Point, least: Point, name: str) -> tuple[str, ...]:
    pace = "host" if point.host_bound else "device"
    return str(point.at), f"{point.mean:.3g}", name, f"{least.mean:.3g}", f"{point.mean / least.mean:.2f}", pace


def _cache(trials: Trials, channel: Channel) -> str:
    found = [
        (pair.joules_ratio or 0.0, one.after.model, pair)
        for one in contrasts(trials, "cache", channel)
        for pair in known_ratios(one.pairs)
    ]
    if not found:
        return ""
    least, most = (end(found, key=lambda one: one[0]) for end in (min, max))
    return (
        f"Without one an output token takes {least[0]:.2f} ({least[1]}, {_where(least[2])}) to {most[0]:.1f} "
        f"({most[1]}, {_where(most[2])}) times the joules: in the last, {joules(most[2].before)} against "
        f"{joules(most[2].after)}."
    )


def _batch(trials: Trials, channel: Channel) -> str:
    said, found = [], batches(trials, channel)
    most = {batch.system: max(len(one.costs) for one in found if one.system == batch.system) for batch in found}
    for batch in (one for one in found if len(one.costs) == most[one.system]):
        first, last = batch.costs[0], batch.costs[-1]
        said.append(
            f"{whose(batch.system)}, {_plain(batch.shape)}: from {first.runtime.at} to {last.runtime.at} at once an "
            f"output token goes from {joules(first)} to {joules(last)}, and from {time(first)} to {time(last)} for "
            "each who waits."
        )
    return " ".join(said)


def _launch(trials: Trials, channel: Channel) -> str:
    pairs = [pair for one in contrasts(trials, "launch", channel) for pair in one.pairs]
    known = [ratio for pair in pairs if (ratio := pair.joules_ratio) is not None]
    if not known:
        return ""
    slower = span([pair.seconds_ratio for pair in pairs], ".2f")
    by_host = sum(pair.before.host_bound for pair in pairs)
    return (
        f"One by one and not as a graph, they cost {span(known, '.2f')} times the joules, {slower} times the time; the "
        f"host set the pace of {by_host} of {len(pairs)} cells where they went one by one."
    )


def _lengths(profile: Profile, channel: Channel) -> str:
    found = meetings(profile.measurements)
    if not found:
        return ""
    worst = max(found, key=lambda one: one.step_s[0] / one.step_s[1])
    own, met = worst.step_s
    energies = worst.token_j(channel)
    more = f", an output token {energies[0] / energies[1]:.2f} times the joules" if energies else ""
    m, n = worst.window.requested_input_tokens, worst.window.requested_output_tokens
    where = f"{worst.window.system.model}, {_plain((m, n))}, {worst.window.system.concurrency} at once"
    return f"A step takes up to {own / met:.2f} times as long{more} ({where})."


def _line(line: Sequence[Stretch], planning: Planning) -> str:
    along = [one for one in line if one.output_tokens == FROZEN_TOKENS]
    runs = ", ".join(f"{one.system} from m = {one.first_input_tokens}" for one in along)
    chosen, best = planning.chosen, best_baseline(planning.chosen)
    saved = f"{percent(best.energy.value):.1f} % ({bounds(best.energy, 1)})"
    return (
        f"At n = {FROZEN_TOKENS} the cheapest is {runs}. On {chosen.workload} the best placement takes {saved} less "
        f"energy than {best.baseline} alone."
    )


def _where(pair: Pair) -> str:
    """The cell of a pair, and whether a host had a part in it."""
    by_host = pair.before.host_bound or pair.after.host_bound
    return _plain(pair.shape) + (", paced by a host" if by_host else "")


def _plain(shape: tuple[int, int]) -> str:
    return at(shape).strip("()")
