"""Two profiles compared, as sections of a page: the verdict in words, the maps, every cell, and what drifted."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Profile
from wattshed.domain.plan import Interval
from wattshed.profiler.pace import BUSY
from wattshed.report.comparison import QUANTITIES, Compared, Ratioed, Tally, compare, title
from wattshed.report.comparison_figures import alone, batch_figure, map_figure
from wattshed.report.drift_page import drift_blocks
from wattshed.report.effects_lengths import span
from wattshed.report.levels import shared_climbs
from wattshed.report.machines_figure import has_maps, machines_figure
from wattshed.report.machines_words import climb_words
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.profile_page import best_channel
from wattshed.units import percent

_STAR: Final = f"Star: a board ran kernels for less than {percent(BUSY):.0f} % of the time."


def comparison_pictures(ours: Profile, theirs: Profile) -> dict[str, Picture]:
    """The maps over (m, n), and the lines over batches, where both sides have some."""
    channel = shared_channel(ours, theirs)
    compared, pictures = compare(ours, theirs, channel), {}
    climbs = shared_climbs(ours, theirs, channel)
    if climbs and has_maps(compared):
        pictures["machines"] = Picture(
            machines_figure(compared, climbs),
            f"{ours.name} and {theirs.name}. First column: what a token costs with more requests in flight, with 95 % "
            "intervals of scatter and sensors, of the hosts with most windows where several did the same. Maps: the "
            f"one over the other for one request in flight, blue where {ours.name} takes less; there is none where "
            f"hosts set the pace all over. {_STAR}",
            "Joules and milliseconds of an output token against requests in flight for both machines, and maps of the "
            "ratios of joules and of seconds over input and output tokens.",
        )
    if alone(compared):
        pictures["compared"] = Picture(
            map_figure(compared),
            f"{ours.name} over {theirs.name}: below 1 (blue) {ours.name} takes less. Hatched: the 95 % interval "
            f"holds 1. In brackets: a host set the pace of one side. {_STAR}",
            "A field a cell over input and output tokens, with the ratio of joules above and of seconds below.",
        )
    if any(one.shape.concurrency > 1 for one in compared):
        pictures["compared-batch"] = Picture(
            batch_figure(compared),
            f"{ours.name} over {theirs.name} with more requests in flight. Bars: 95 % intervals, scatter and sensors "
            "together, where they are narrower than the ratio.",
            "Ratios of joules and of seconds against requests in flight, a line a shape.",
        )
    return pictures


def comparison_sections(ours: Profile, theirs: Profile, pictures: Mapping[str, Picture]) -> list[Section]:
    """The verdict around the pictures, every cell, and the drift of both profiles' reference cells."""
    channel = shared_channel(ours, theirs)
    compared = compare(ours, theirs, channel)
    said = [*verdicts(compared, ours.name), *climb_words(shared_climbs(ours, theirs, channel))]
    words = [Prose(text) for text in said] or [Prose("No cell was measured by both.")]
    title = f"{ours.name} against {theirs.name}, energy on channel {channel}"
    return [
        Section(title, [*words, *pictures.values(), *cell_tables(compared)]),
        Section("Drift of the reference cells", drift_blocks(ours, theirs, channel)),
    ]


def shared_channel(ours: Profile, theirs: Profile) -> Channel:
    """The widest boundary that both profiles know; the accelerator where they differ."""
    channels = {best_channel(ours), best_channel(theirs)}
    return channels.pop() if len(channels) == 1 else "gpu"


def verdicts(compared: Sequence[Compared], ours: str) -> Iterator[str]:
    """A sentence for each pair of systems, on the cells that the device paced; no mean is taken over cells."""
    for name, group in groupby(compared, key=title):
        cells = list(group)
        paced = [one for one in cells if not one.host_bound]
        said = "; ".join(_verdict(paced, quantity, ours) for quantity in QUANTITIES) if paced else "none to judge by"
        yield f"{name}. The device set the pace of both sides in {len(paced)} of {len(cells)} cells: {said}."
        yield from _idle_words(paced)
    if not all(one.sensor_known for one in compared):
        yield "A sensor's accuracy is not known: joules then carry scatter alone, and sound surer than they are."


def cell_tables(compared: Sequence[Compared]) -> list[Table]:
    """Every cell of each kind of work."""
    header = ("m", "n", "in flight", "ours", "theirs", "windows", "joules", "95 %", "seconds", "95 %", "paced by")
    return [
        Table(f"{name}: ours over theirs", header, [_row(one) for one in group], folded=True)
        for name, group in groupby(compared, key=title)
    ]


def _verdict(cells: Sequence[Compared], quantity: Ratioed, ours: str) -> str:
    tally = Tally.of(cells, quantity)
    if not tally.ratios:
        return f"no {quantity} on both sides"
    return (
        f"{ours} takes {span(tally.ratios, '.2f')} times the {quantity} (surely less in {tally.less}, surely more in "
        f"{tally.more}, within the interval in {tally.within})"
    )


def _idle_words(paced: Sequence[Compared]) -> Iterator[str]:
    """Which of the cells that count as a device's left a board without work at times."""
    idle = [str(one.shape) for one in paced if one.partly_idle]
    if idle:
        yield (
            f"In {len(idle)} of these {len(paced)} a board ran kernels for less than {percent(BUSY):.0f} % of the "
            f"time; its host may have had a part in the ratio: {', '.join(idle)}."
        )


def _row(one: Compared) -> tuple[str, ...]:
    shape = one.shape
    counts = (str(shape.input_tokens), str(shape.output_tokens), str(shape.concurrency))
    sides = (one.ours.name, one.theirs.name, f"{one.trials[0]} and {one.trials[1]}")
    pace = "host" if one.host_bound else "device"
    return *counts, *sides, *_told(one.joules_ratio), *_told(one.seconds_ratio), pace


def _told(found: Interval | None) -> tuple[str, str]:
    if found is None:
        return "–", "–"
    return f"{found.value:.3f}", f"{found.lower:.3f} to {found.upper:.3f}"
