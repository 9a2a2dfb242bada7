"""The 38 points of measuring well (METHOD section 4) as a table: number, title, and the check of a bundle.

A check reads what lies in the bundle and nothing else, and answers *passed*, *failed* or *not applicable* with a
sentence that holds its numbers. It judges the record, not the machine: drift or a busy host that was seen and said is
no failure, and one that nobody looked for is. Of a profile published from several bundles every campaign is judged on
every point: one that fails it fails it for all.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from wattshed.errors import InputError, MissingError
from wattshed.files import write_whole
from wattshed.profiler import checks_measuring as measuring
from wattshed.profiler import checks_publishing as publishing
from wattshed.profiler import checks_running as running
from wattshed.profiler.bundle import VALIDATION_FILE
from wattshed.profiler.evidence import Evidence, Finding, Status, read_evidence
from wattshed.profiler.scrub import Identity


@dataclass(frozen=True, slots=True)
class Point:
    """One point: its number in METHOD section 4, what it asks, and its check."""

    number: int
    title: str
    check: Callable[[Evidence], Finding]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a point came to."""

    number: int
    title: str
    status: Status
    sentence: str

    def __str__(self) -> str:
        return f"point {self.number} ({self.title}) {self.status}: {self.sentence}"


POINTS: Final = (
    Point(1, "meters are probed", measuring.probed),
    Point(2, "missing is none, with a reason", measuring.missing_is_none),
    Point(3, "no estimate among measurements", measuring.nothing_estimated),
    Point(4, "wrap-around is exact", measuring.wraps_exact),
    Point(5, "a reset voids the window", measuring.resets_void),
    Point(6, "a frozen counter is seen", measuring.frozen_void),
    Point(7, "nothing is counted twice", measuring.counted_once),
    Point(8, "counter against integrated power", measuring.counter_against_integral),
    Point(9, "sampling gaps are recorded", measuring.gaps_recorded),
    Point(10, "windows are bracketed", measuring.bracketed),
    Point(11, "the observer's own load is stated", measuring.observer_billed),
    Point(12, "units are typed", measuring.units_typed),
    Point(13, "warm-up and thermal floor", running.warmed_up),
    Point(14, "temperature, clocks and throttling are traced", running.heat_traced),
    Point(15, "idle with the engine loaded, before and after", running.idle_measured),
    Point(16, "random order with its seed", running.random_order),
    Point(17, "a reference cell shows drift", running.drift_watched),
    Point(18, "neighbours are checked", running.neighbours_checked),
    Point(19, "the power cap is recorded", running.cap_recorded),
    Point(20, "tokens requested against achieved", running.tokens_achieved),
    Point(21, "cache hits are measured", running.caches_measured),
    Point(22, "failures are counted", running.all_accounted),
    Point(23, "t, not z", publishing.student),
    Point(24, "intervals of energy and runtime", publishing.widths_stored),
    Point(25, "scatter and sensor apart, and combined", publishing.errors_apart),
    Point(26, "negatives are not clamped", publishing.nothing_clamped),
    Point(27, "outliers are not dropped", publishing.outliers_kept),
    Point(28, "why it stopped", publishing.stops_stored),
    Point(29, "a boundary on every number", publishing.boundaries_named),
    Point(30, "gross and net side by side", publishing.gross_and_net),
    Point(31, "parts sum to the whole", publishing.parts_sum),
    Point(32, "attribution conserves joules", publishing.joules_conserved),
    Point(33, "the idle share is explicit", publishing.idle_explicit),
    Point(34, "no unlike boundaries together", publishing.boundaries_alike),
    Point(35, "the manifest is whole", publishing.manifest_whole),
    Point(36, "raw samples, and the same numbers again", publishing.same_numbers_again),
    Point(37, "nobody is named", publishing.nobody_named),
    Point(38, "a validator with an exit code", publishing.validated),
)


WORST_FIRST: Final[tuple[Status, ...]] = ("failed", "passed", "not applicable")
"""What a point comes to for several campaigns is the first of these that it comes to for any of them."""


def check_bundle(directory: Path, own: Identity | None = None) -> tuple[Verdict, ...]:
    """The verdict on every point; none where the profile is no bundle. Raises `InputError` for what cannot be read.

    `own` holds names that the bundle must not: those of the machine that measured it, if this is the one.
    """
    campaigns = read_evidence(directory, own)
    return tuple(_verdict(point, campaigns) for point in POINTS) if campaigns else ()


def write_validation(directory: Path, own: Identity | None = None) -> tuple[Verdict, ...]:
    """The verdicts, written to `validation.json` too."""
    verdicts = check_bundle(directory, own)
    document = {"counts": counts(verdicts), "points": verdicts}
    write_whole(directory / VALIDATION_FILE, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    return verdicts


def counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many points came to what."""
    return dict(Counter(verdict.status for verdict in verdicts))


def _verdict(point: Point, campaigns: Sequence[Evidence]) -> Verdict:
    findings = [(bundle.campaign.name, _finding(point, bundle)) for bundle in campaigns]
    status = min((finding.status for _, finding in findings), key=WORST_FIRST.index)
    sentences: dict[str, list[str]] = {}
    for name, finding in findings:
        if finding.status == status:
            sentences.setdefault(finding.sentence, []).append(name)
    if len(campaigns) == 1 or [len(names) for names in sentences.values()] == [len(campaigns)]:
        return Verdict(point.number, point.title, status, next(iter(sentences)))
    said = (f"{', '.join(names)}: {sentence}" for sentence, names in sentences.items())
    return Verdict(point.number, point.title, status, " | ".join(said))


def _finding(point: Point, bundle: Evidence) -> Finding:
    try:
        return point.check(bundle)
    except (InputError, MissingError) as error:  # a file that the point reads is damaged or gone
        return Finding("failed", str(error))
