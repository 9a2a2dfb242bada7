"""The bundle: what a campaign leaves for others to check. It is a profile directory, and more.

    trials.jsonl      the journal, as it was written          trials.parquet    one row a trial
    samples.parquet   power while trials ran                  README.md         the card
    manifest.json     who, what, how, and SHA-256 sums        validation.json   the checklist (`checklist.py`)

Everything is made from the journal on the disk and from nothing else, so making it again gives the same numbers.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import polars as pl
from pydantic import JsonValue, TypeAdapter

from wattshed.datasets.manifest import (
    CampaignRecord,
    CellRecord,
    ChannelRecord,
    FailureRecord,
    IdleRecord,
    Limit,
    Manifest,
    MeterRecord,
    SessionRecord,
    UnmeasuredCell,
)
from wattshed.datasets.profiles import TRIALS_FILE, encoded_trials, write_profile
from wattshed.datasets.table_defects import DTYPE_OF_KIND
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.schema import SAMPLE
from wattshed.errors import CheckFailedError, InputError
from wattshed.files import write_whole
from wattshed.profiler import journal
from wattshed.profiler.card import card
from wattshed.profiler.design import REFERENCE, Design, Shape, Visit, visits
from wattshed.profiler.events import CellDone, CellFailed, MeterFacts, Plain, TrialDone
from wattshed.profiler.journal import Record, read_journal
from wattshed.profiler.summary import CellKey, pooled, summarised

SAMPLES_FILE: Final = "samples.parquet"
CARD_FILE: Final = "README.md"
VALIDATION_FILE: Final = "validation.json"
IDLE_STATE: Final = "model loaded, no query running"


@dataclass(frozen=True, slots=True)
class Publication:
    """What the journal cannot know: a name for the bundle, and under which terms it may be used."""

    name: str
    licence: str = "not stated"


@dataclass(frozen=True, slots=True)
class _Planned:
    """The settings that the order of visits follows from; bundles whose reference nobody named have none."""

    design: str
    cells: tuple[tuple[int, int, int], ...]
    seed: Annotated[int, msgspec.Meta(ge=0)]
    reference_every: Annotated[int, msgspec.Meta(ge=1)]
    reference: tuple[int, int, int] | None = None


def write_bundle(directory: Path, publication: Publication) -> Manifest:
    """Make the bundle of the journal in `directory`, beside it; the checklist is not run yet.

    Raises `CheckFailedError` where no trial was finished, and says why.
    """
    record = read_journal(directory / journal.FILE)
    trials = tuple(event.trial for event in record.trials)
    if not trials:
        reasons = ", ".join(sorted({failure.reason for failure in record.failures})) or "it was interrupted"
        raise CheckFailedError(f"{directory}: no trial was finished ({reasons}), so there is nothing to publish")
    planned = planned_visits(record.settings)
    campaign = campaign_record(record, planned, name=publication.name)
    manifest = _manifest(record, campaign, trials, publication=publication, planned=planned)
    contents = published_contents(manifest, trials, samples_table(record.trials))
    files = sums(contents | {journal.FILE: (directory / journal.FILE).read_bytes()})
    manifest = manifest.model_copy(update={"campaigns": (campaign.model_copy(update={"files": files}),)})
    write_published(directory, manifest, trials, contents)
    return manifest


def published_contents(manifest: Manifest, trials: Sequence[Measurement], samples: pl.DataFrame) -> dict[str, bytes]:
    """What lies beside a manifest, by name: trials, samples (columns of `schema.SAMPLE`) and card."""
    return {
        TRIALS_FILE: encoded_trials(trials),
        SAMPLES_FILE: _parquet(samples),
        CARD_FILE: card(manifest, trials).encode(),
    }


def sums(contents: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file, by its name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def write_published(
    directory: Path, manifest: Manifest, trials: Sequence[Measurement], contents: Mapping[str, bytes]
) -> None:
    """Write what `published_contents` made, and last the manifest; `InputError` where it is no sound profile."""
    for name in (SAMPLES_FILE, CARD_FILE):
        write_whole(directory / name, contents[name])
    validation = frozenset(manifest.validation_experiments)
    write_profile(Profile(manifest.name, tuple(trials), manifest.limits_by_system, validation), manifest, directory)


def planned_visits(settings: Mapping[str, Plain]) -> tuple[Visit, ...]:
    """The visits that the settings of a campaign stand for, in their order; `InputError` where they make no sense."""
    try:
        plan = msgspec.convert(settings, _Planned)
        reference = None if plan.reference is None else Shape(*plan.reference)
        design = Design(plan.design, tuple(Shape(*cell) for cell in plan.cells), reference)
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(f"the settings of the campaign make no sense: {error}", fix="restore them") from error
    return visits(design, np.random.default_rng(plan.seed), reference_every=plan.reference_every)


def settings_sum(settings: Mapping[str, Plain]) -> str:
    """SHA-256 of the settings, keys sorted: two bundles with the same sum were asked for the same."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def samples_table(events: Iterable[TrialDone]) -> pl.DataFrame:
    """All power samples, in the columns of `schema.SAMPLE`."""
    rows = [
        (event.session, *_sample_values(sample), ";".join(sample.throttle_reasons) or None)
        for event in events
        for sample in event.samples
    ]
    return pl.DataFrame(rows, schema={column.name: DTYPE_OF_KIND[column.kind] for column in SAMPLE}, orient="row")


def _manifest(
    record: Record,
    campaign: CampaignRecord,
    trials: Sequence[Measurement],
    *,
    publication: Publication,
    planned: Sequence[Visit],
) -> Manifest:
    system, failures = trials[0].system, campaign.failures
    return Manifest(
        name=publication.name,
        title=f"{system.model} on {system.name}: {record.settings['design']}",
        source=f"measured by wattshed {record.sessions[0].versions['wattshed']}",
        licence=publication.licence,
        measured=record.sessions[0].started_at[:10],
        limits=_limits(trials, failures),
        unmeasured=tuple(
            UnmeasuredCell(
                system=system.name,
                model=system.model,
                input_tokens=shape.input_tokens,
                output_tokens=shape.output_tokens,
                concurrency=shape.concurrency,
            )
            for shape in sorted(_unmeasured(planned, failures, trials))
        ),
        validation_experiments=(REFERENCE,) if any(trial.experiment == REFERENCE for trial in trials) else (),
        campaigns=(campaign,),
    )


def campaign_record(record: Record, planned: Sequence[Visit], *, name: str) -> CampaignRecord:
    """What the manifest says of the campaign in a journal, without the sums of the files."""
    return CampaignRecord(
        name=name,
        settings=_json(record.settings),
        settings_sha256=settings_sum(record.settings),
        ended=record.done[-1].ended if record.done else "interrupted",
        sessions=tuple(
            SessionRecord(
                host=one.host,
                started_at=one.started_at,
                versions=one.versions,
                meters=tuple(_meter(meter) for meter in one.meters),
            )
            for one in record.sessions
        ),
        idle=tuple(
            IdleRecord(
                session=one.session, when=one.when, state=IDLE_STATE, duration_s=one.duration_s, power_w=one.power_w
            )
            for one in record.idle
        ),
        cells=tuple(_cells(record, planned)),
        failures=tuple(_failures(record, planned)),
        files={},
    )


def _meter(facts: MeterFacts) -> MeterRecord:
    channels = tuple(ChannelRecord(**msgspec.to_builtins(channel)) for channel in facts.channels)
    certificate = None if facts.certificate is None else _json(facts.certificate)
    return MeterRecord(name=facts.name, channels=channels, certificate=certificate)


def _json(document: Mapping[str, Plain]) -> dict[str, JsonValue]:
    return TypeAdapter(dict[str, JsonValue]).validate_python(document)


def _cells(record: Record, planned: Sequence[Visit]) -> Iterable[CellRecord]:
    ends: dict[CellKey, list[CellDone]] = {}
    for end in record.cells:
        visit = planned[end.visit]
        ends.setdefault(CellKey(record.host(end.session), visit.experiment, visit.shape), []).append(end)
    for key, trials in pooled(event.trial for event in record.trials).items():
        if key in ends:
            yield _cell(key, trials, ends[key])


def _cell(key: CellKey, trials: Sequence[Measurement], ends: Sequence[CellDone]) -> CellRecord:
    return CellRecord(
        host=key.host,
        experiment=key.experiment,
        input_tokens=key.shape.input_tokens,
        output_tokens=key.shape.output_tokens,
        concurrency=key.shape.concurrency,
        visits=len(ends),
        stop_reason=ends[-1].stop_reason,
        settled=ends[-1].settled,
        settle_s=ends[-1].settle_s,
        **msgspec.to_builtins(summarised(trials)),
    )


def _failures(record: Record, planned: Sequence[Visit]) -> Iterable[FailureRecord]:
    """Failures that were not made good by a later session on the same host."""
    done = {(record.host(end.session), end.visit) for end in record.cells}
    last = {(record.host(one.session), one.visit): one for one in record.failures}
    for (host, number), failure in last.items():
        if (host, number) not in done:
            yield _failure(failure, host, planned[number], record)


def _failure(failure: CellFailed, host: str, visit: Visit, record: Record) -> FailureRecord:
    of_visit = [one for one in record.trials if one.visit == failure.visit and record.host(one.session) == host]
    return FailureRecord(
        host=host,
        experiment=visit.experiment,
        input_tokens=visit.shape.input_tokens,
        output_tokens=visit.shape.output_tokens,
        concurrency=visit.shape.concurrency,
        reason=failure.reason,
        message=failure.message,
        trials=sum(not one.trial.warm_up for one in of_visit),
    )


def _unmeasured(
    planned: Sequence[Visit], failures: Sequence[FailureRecord], trials: Sequence[Measurement]
) -> set[Shape]:
    """The cells without a trial: never gone to, or failed otherwise than for memory, which is a limit."""
    impossible = {
        Shape(one.input_tokens, one.output_tokens, one.concurrency) for one in failures if one.reason == "out_of_memory"
    }
    measured = {
        Shape(one.requested_input_tokens, one.requested_output_tokens, one.system.concurrency)
        for one in trials
        if not one.warm_up
    }
    return {visit.shape for visit in planned} - impossible - measured


def _limits(trials: Sequence[Measurement], failures: Sequence[FailureRecord]) -> tuple[Limit, ...]:
    """What the system ran out of memory at, one query at a time: it is known to serve what is measured below that."""
    failed = [f.input_tokens + f.output_tokens for f in failures if f.reason == "out_of_memory" and f.concurrency == 1]
    if not failed:
        return ()
    served = [one.requested_input_tokens + one.requested_output_tokens for one in trials if one.system.concurrency == 1]
    most = max((total for total in served if total < min(failed)), default=0)
    reason = f"out of memory at {min(failed)} tokens in all"
    system = trials[0].system
    return (Limit(system=system.name, model=system.model, max_total_tokens=most, reason=reason),)


def _sample_values(sample: object) -> tuple[object, ...]:
    return tuple(getattr(sample, column.name) for column in SAMPLE[1:-1])


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    table.write_parquet(buffer, compression="zstd", compression_level=19)
    return buffer.getvalue()
