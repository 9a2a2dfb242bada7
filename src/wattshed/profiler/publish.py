"""Publish: several bundles as one profile, small enough to send.

    bundle  bundle  ...  --checked-->  renumbered trials, reduced samples  -->  manifest, trials, samples, card

Every trial of every campaign is kept, and every number of it but two: its session, which counts on through all
campaigns, and the name of its system, where the publisher gives another so that configurations can be told apart. The
record of each campaign stays as it was, with the sums of its raw files. Only samples are reduced, and the journals,
which hold them a second time, left out. Cells are summarised campaign by campaign, never across hosts or campaigns;
whoever fits or draws the profile pools trials of one system and experiment, as of any profile.

Publishing the same bundles again gives the same bytes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Final

import polars as pl

from wattshed.datasets.defects import advice, quoted
from wattshed.datasets.manifest import CampaignRecord, Limit, Manifest, PublicationRecord, UnmeasuredCell
from wattshed.domain.measurement import Measurement
from wattshed.domain.schema import SAMPLE
from wattshed.domain.system import System
from wattshed.errors import CheckFailedError, InputError, UsageError
from wattshed.profiler import journal
from wattshed.profiler.bundle import published_contents, sums, write_published
from wattshed.profiler.checklist import check_bundle
from wattshed.profiler.evidence import Evidence, read_evidence

SAMPLES_EVERY_S: Final = 0.5
"""Length of the means: the shortest window of 5 s keeps ten, enough to hold its counter against its power."""

RULE: Final = PublicationRecord(
    samples_every_s=SAMPLES_EVERY_S,
    samples_rule=f"every {SAMPLES_EVERY_S} s of a window and channel, from its start, are one row: means of time, "
    "power and utilization, the least power limit and clock, the highest temperature, and all throttle reasons; times "
    "to 0.001 s, power to 0.1 W, utilization to 0.001; no window is left out",
    files={},
)
"""What is done to the samples; the sums of the files are not known before these are made."""


NAME: Final = re.compile(r"\w[\w.-]*")
"""How a profile may be called: a word that is a file's name everywhere."""


@dataclass(frozen=True, slots=True)
class Edition:
    """What the bundles cannot know: how the profile is called, under which terms it may be used, what is to be minded.

    `systems` gives the system of a bundle, by the name of its directory, another name. `UsageError` for a name that is
    no word, and for a text that is not one line.
    """

    name: str
    title: str
    licence: str
    source: str | None = None
    citation: str | None = None
    faults: tuple[str, ...] = ()
    systems: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise UsageError(f"--name wants a word of letters, digits, . _ and -, like h100, got {quoted(self.name)}")
        one = {"title": self.title, "licence": self.licence, "source": self.source, "citation": self.citation}
        many = [("fault", fault) for fault in self.faults] + [("system", name) for name in self.systems.values()]
        for flag, text in (*one.items(), *many):
            if text is not None and not (text.strip() and text.isprintable()):
                raise UsageError(f"--{flag} wants one line of text, got {quoted(text)}")


def publish(bundles: Sequence[Path], edition: Edition, directory: Path) -> Manifest:
    """Write the bundles as one profile into `directory`; the checklist is not run on it yet.

    Raises `CheckFailedError` for a bundle that fails a point of the checklist, and `UsageError` where they cannot
    stand side by side: one given twice, or two that measured one system in different configurations.
    """
    if (directory / journal.FILE).exists():
        raise UsageError(f"{directory} is a bundle, whose raw files would be lost; give another place with --out")
    parts = [_renamed(_checked(bundle), edition.systems) for bundle in bundles]
    _refuse_confusion(parts, edition)
    manifest = _manifest(parts, edition)
    numbered = list(zip(parts, manifest.sessions, strict=True))
    trials = [
        replace(trial, session=numbers.start + (trial.session or 0))
        for part, numbers in numbered
        for trial in part.trials
    ]
    samples = pl.concat(
        reduced(part.samples, part.trials).with_columns(pl.col("session") + numbers.start) for part, numbers in numbered
    )
    contents = published_contents(manifest, trials, samples)
    record = RULE.model_copy(update={"files": sums(contents)})
    manifest = manifest.model_copy(update={"publication": record})
    write_published(directory, manifest, trials, contents)
    return manifest


def reduced(samples: pl.DataFrame, trials: Sequence[Measurement]) -> pl.DataFrame:
    """The samples of K windows by `RULE`, in the columns of `schema.SAMPLE`; no window loses all it had."""
    windows = pl.DataFrame(
        sorted((trial.session, trial.started_at_s) for trial in trials),
        schema={"session": pl.Int64, "started_at_s": pl.Float64},
        orient="row",
    )
    placed = samples.sort("session", "at_s").join_asof(
        windows, left_on="at_s", right_on="started_at_s", by="session", check_sortedness=False
    )
    place = (pl.col("at_s") - pl.col("started_at_s")) // SAMPLES_EVERY_S
    rows = placed.group_by("session", "started_at_s", "channel", place.alias("place"), maintain_order=True).agg(
        # Rounded down, a lone sample at the very start would fall out of its window.
        pl.max_horizontal(pl.col("at_s").mean().round(3), pl.col("started_at_s").first()).alias("at_s"),
        pl.col("power_w").mean().round(1),
        pl.col("power_limit_w", "clock_mhz").min(),
        pl.col("utilization").mean().round(3),
        pl.col("temperature_c").max(),
        _all_reasons(),
    )
    return rows.sort("session", "at_s", "channel").select(column.name for column in SAMPLE)


def _all_reasons() -> pl.Expr:
    codes = pl.col("throttle_reasons").drop_nulls().str.split(";").explode()
    return codes.unique().sort().str.join(";").replace("", None)


def _checked(bundle: Path) -> Evidence:
    """The one campaign of a bundle that passes the checklist, called by the name of its directory."""
    campaigns = read_evidence(bundle)
    if len(campaigns) != 1 or not campaigns[0].is_raw:
        raise InputError("is no bundle of wattshed profile", path=bundle, fix="give the directories that it wrote")
    failed = [verdict for verdict in check_bundle(bundle) if verdict.status == "failed"]
    if failed:
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise CheckFailedError(f"{bundle}: {failed[0]}{others}; measure what is missing, or leave this bundle out")
    part = campaigns[0]
    return replace(part, campaign=part.campaign.model_copy(update={"name": bundle.resolve().name}))


def _renamed(part: Evidence, systems: Mapping[str, str]) -> Evidence:
    """The campaign with its system under the name that the publisher gives it."""
    name = systems.get(part.campaign.name)
    if name is None:
        return part
    trials = tuple(replace(trial, system=replace(trial.system, name=name)) for trial in part.trials)
    limits = tuple(limit.model_copy(update={"system": name}) for limit in part.manifest.limits)
    unmeasured = tuple(cell.model_copy(update={"system": name}) for cell in part.manifest.unmeasured)
    manifest = part.manifest.model_copy(update={"limits": limits, "unmeasured": unmeasured})
    return replace(part, trials=trials, manifest=manifest)


def _refuse_confusion(parts: Sequence[Evidence], edition: Edition) -> None:
    """`UsageError` where two campaigns cannot be told apart, or a name is given to none of them."""
    names = [part.campaign.name for part in parts]
    for name in edition.systems:
        if name not in names:
            raise UsageError(f"--system {name}=...: no such bundle is given; {advice(name, names)}")
    for one, other in combinations(parts, 2):
        if one.campaign.files[journal.FILE] == other.campaign.files[journal.FILE]:
            raise UsageError(f"{one.directory} and {other.directory} hold the same campaign; give it once")
        if one.campaign.name == other.campaign.name:
            raise UsageError(f"{one.directory} and {other.directory} share a name; rename one of the directories")
        _refuse_one_name(one, other)


def _refuse_one_name(one: Evidence, other: Evidence) -> None:
    """`UsageError` where two configurations would go by one name: nobody could fit or choose either of them."""
    ours, theirs = _systems(one), _systems(other)
    for label in sorted(ours.keys() & theirs.keys()):
        if ours[label] != theirs[label]:
            names = f"{one.campaign.name} and {other.campaign.name}"
            fix = f"tell them apart with --system {other.campaign.name}='ANOTHER NAME'"
            raise UsageError(f"{names} measured {label} in two configurations or on two hosts; {fix}")


def _systems(part: Evidence) -> dict[str, set[System]]:
    """Systems of a campaign by what people call them, whatever the concurrency."""
    systems: dict[str, set[System]] = {}
    for trial in part.trials:
        systems.setdefault(trial.system.label, set()).add(trial.system.single)
    return systems


def _manifest(parts: Sequence[Evidence], edition: Edition) -> Manifest:
    campaigns = tuple(part.campaign for part in parts)
    return Manifest(
        name=edition.name,
        title=edition.title,
        source=_source(campaigns, edition),
        licence=edition.licence,
        citation=edition.citation,
        measured=_measured(campaigns),
        faults=edition.faults,
        limits=_limits(limit for part in parts for limit in part.manifest.limits),
        unmeasured=_unmeasured(parts),
        validation_experiments=tuple(sorted({e for part in parts for e in part.manifest.validation_experiments})),
        campaigns=campaigns,
        publication=RULE,
    )


def _source(campaigns: Sequence[CampaignRecord], edition: Edition) -> str:
    versions = {session.versions["wattshed"] for campaign in campaigns for session in campaign.sessions}
    measured = f"measured by wattshed {' and '.join(sorted(versions))}"
    return f"{measured}; raw bundles: {edition.source}" if edition.source else measured


def _measured(campaigns: Sequence[CampaignRecord]) -> str:
    days = sorted({session.started_at[:10] for campaign in campaigns for session in campaign.sessions})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _limits(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """One limit a system and model: the tightest that any campaign met."""
    tightest: dict[tuple[str, str], Limit] = {}
    for limit in sorted(limits, key=lambda one: one.max_total_tokens or 0):
        tightest.setdefault((limit.system, limit.model), limit)
    return tuple(tightest.values())


def _unmeasured(parts: Sequence[Evidence]) -> tuple[UnmeasuredCell, ...]:
    """Cells that one campaign lacks and no other has."""
    measured = {
        (
            trial.system.name,
            trial.system.model,
            trial.requested_input_tokens,
            trial.requested_output_tokens,
            trial.system.concurrency,
        )
        for part in parts
        for trial in part.measured
    }
    missing = dict.fromkeys(cell for part in parts for cell in part.manifest.unmeasured)
    return tuple(
        cell
        for cell in missing
        if (cell.system, cell.model, cell.input_tokens, cell.output_tokens, cell.concurrency) not in measured
    )
