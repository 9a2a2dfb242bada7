"""Two profiles compared, as sections of a page: the verdict in words, the maps, every cell, and what drifted."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Profile
from wattshed.domain.plan import Interval
from wattshed.report.comparison import QUANTITIES, Compared, Drift, Ratioed, compare, differs, drifts, ratio, title
from wattshed.report.comparison_figures import batch_figure, map_figure
from wattshed.report.effects_lengths import span
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.profile_page import best_channel
from wattshed.report.words import in_percent
from wattshed.units import hours


def comparison_pictures(ours: Profile, theirs: Profile) -> dict[str, Picture]:
    """The maps over (m, n), and the lines over batches, where both sides have some."""
    compared, pictures = compare(ours, theirs, shared_channel(ours, theirs)), {}
    if any(one.shape.concurrency == 1 for one in compared):
        pictures["compared"] = Picture(
            map_figure(compared),
            f"{ours.name} over {theirs.name}: below 1 (blue) {ours.name} takes less. Bold: off 1 by more than the 95 % "
            "interval. In brackets: a host set the pace of one side.",
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
    words = [Prose(text) for text in verdicts(compared, ours.name)] or [Prose("No cell was measured by both.")]
    still = [table for profile in (ours, theirs) if (table := drift_table(profile, channel)).rows]
    title = f"{ours.name} against {theirs.name}, energy on channel {channel}"
    return [
        Section(title, [*words, *pictures.values(), *cell_tables(compared)]),
        Section("Drift of the reference cells", still or [Prose("No reference cell was visited twice.")]),
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
    if not all(one.sensor_known for one in compared):
        yield "A sensor's accuracy is not known: joules then carry scatter alone, and sound surer than they are."


def cell_tables(compared: Sequence[Compared]) -> list[Table]:
    """Every cell of each kind of work."""
    header = ("m", "n", "in flight", "ours", "theirs", "windows", "joules", "95 %", "seconds", "95 %", "paced by")
    return [
        Table(f"{name}: ours over theirs", header, [_row(one) for one in group], folded=True)
        for name, group in groupby(compared, key=title)
    ]


def drift_table(profile: Profile, channel: Channel) -> Table:
    """How still the reference cells of a profile stood."""
    header = ("system", "cell", "visits", "hours", "seconds: range", "trend", "joules: range", "trend")
    return Table(f"Reference cells of {profile.name}", header, [_drift_row(one) for one in drifts(profile, channel)])


def _verdict(cells: Sequence[Compared], quantity: Ratioed, ours: str) -> str:
    known = [found for one in cells if (found := ratio(one, quantity)) is not None]
    if not known:
        return f"no {quantity} on both sides"
    less, more = (sum(differs(found) and (found.value < 1) == below for found in known) for below in (True, False))
    times = span([found.value for found in known], ".2f")
    return (
        f"{ours} takes {times} times the {quantity} (surely less in {less}, surely more in {more}, "
        f"within the interval in {len(known) - less - more})"
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


def _drift_row(one: Drift) -> tuple[str, ...]:
    shape = f"({one.shape.input_tokens}, {one.shape.output_tokens})" + (
        f" x {one.shape.concurrency}" if one.shape.concurrency > 1 else ""
    )
    span = "–" if one.span_s is None else f"{hours(one.span_s):.2f}"
    fractions = (one.seconds_range, one.seconds_trend, one.joules_range, one.joules_trend)
    told = ("–" if part is None else in_percent(part, 1) for part in fractions)
    return one.system.label, shape, str(one.trials), span, *told
