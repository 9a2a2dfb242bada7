"""The manifest of a profile: where its trials come from, what is wrong with them, and what its systems cannot do.

It lies beside the trials as `manifest.json`. Numbers without a source are hearsay, so the source is not optional. A
profile that the profiler made is a *bundle*: its manifest also says how the campaign was run. Several bundles may be
published as one profile: its manifest keeps the record of each.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)

from wattshed.datasets.defects import Defect, advice, model_defects, quoted
from wattshed.domain.energy import Part
from wattshed.domain.schema import SCHEMA_VERSION
from wattshed.domain.system import Limits
from wattshed.files import read_if_there

FILE = "manifest.json"

JOURNAL_FILE = "trials.jsonl"
"""What a campaign keeps; without a manifest beside it nobody has finished it."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Limit(_Part):
    """What one system is known to fail at with one model; a largest total of 0 says that it cannot run it at all."""

    system: str
    model: str
    max_input_tokens: int | None = Field(default=None, ge=0)
    max_output_tokens: int | None = Field(default=None, ge=0)
    max_total_tokens: int | None = Field(default=None, ge=0)
    reason: str


class UnmeasuredCell(_Part):
    """A cell of the design that has no trial, though nothing says that it is impossible.

    `concurrency` is left out of the file where it is 1, as it was before a manifest told.
    """

    system: str
    model: str
    input_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=1)
    concurrency: int = Field(default=1, ge=1)

    @model_serializer(mode="wrap")
    def _plain(self, serialized: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        document: dict[str, JsonValue] = serialized(self)
        return {name: value for name, value in document.items() if name != "concurrency" or self.concurrency > 1}


class Node(_Part):
    """A machine as its owner describes it; `profile_systems` names it in the trials."""

    name: str
    cpu: str
    gpu: str
    memory: str
    profile_systems: tuple[str, ...]


class ChannelRecord(_Part):
    """A channel of a meter, as `domain/energy.py` has it."""

    name: str
    part: Part
    boundary: str
    inside: str | None = None
    sensor_uncertainty: float | None = None

    @field_validator("sensor_uncertainty")
    @classmethod
    def _zero_is_unknown(cls, value: float | None) -> float | None:
        """Earlier bundles wrote 0 for "not known", and no sensor is exact."""
        return value or None


class MeterRecord(_Part):
    """A meter of a campaign: what it counts, and its certificate where one was made."""

    name: str
    channels: tuple[ChannelRecord, ...]
    certificate: dict[str, JsonValue] | None = None


class IdleRecord(_Part):
    """Power at idle with the model loaded, part by part, as one session of a campaign began or ended.

    `session` counts the sessions of this campaign alone, from 0.
    """

    session: int
    when: Literal["before", "after"]
    state: str
    duration_s: float
    power_w: dict[str, float | None]


class SessionRecord(_Part):
    """One start of the profiler; `versions` holds software, driver and kernel by name."""

    host: str
    started_at: str
    versions: dict[str, str]
    meters: tuple[MeterRecord, ...]


class CellRecord(_Part):
    """A finished cell: means over its trials with the half-widths of their 95 % t-intervals.

    `combined_half_width_j` holds the sensor's uncertainty too, and is `None` where that is not known. `visits` counts
    how often the cell was gone to.
    """

    host: str | None
    experiment: str
    input_tokens: int
    output_tokens: int
    concurrency: int
    visits: int
    trials: int
    stop_reason: str
    runtime_s: float
    runtime_half_width_s: float | None
    energy_j: float | None = None
    energy_half_width_j: float | None = None
    combined_half_width_j: float | None = None
    bound: str | None = None
    settled: bool | None = None
    settle_s: float = 0.0


class FailureRecord(_Part):
    """A cell that did not come to its end, and why; its finished trials are kept."""

    host: str | None
    experiment: str
    input_tokens: int
    output_tokens: int
    concurrency: int
    reason: str
    message: str
    trials: int


class CampaignRecord(_Part):
    """How a bundle was measured: `settings` repeat it, `files` are SHA-256 sums of what lay beside its manifest.

    Published with others it stays as it was, but for `name`, which tells it from them.
    """

    name: str
    settings: dict[str, JsonValue]
    settings_sha256: str
    ended: str
    sessions: tuple[SessionRecord, ...]
    idle: tuple[IdleRecord, ...]
    cells: tuple[CellRecord, ...]
    failures: tuple[FailureRecord, ...]
    files: dict[str, str]


class PublicationRecord(_Part):
    """How bundles became one profile: power samples are means over `samples_every_s`, as `samples_rule` says in words.

    `files` are SHA-256 sums of what lies beside the manifest; those of the raw bundles stand in their records.
    """

    samples_every_s: float = Field(gt=0)
    samples_rule: str
    files: dict[str, str]


class Manifest(_Part):
    """Everything about a profile that is not a trial.

    `campaigns` holds one record in a bundle, several in a profile published from bundles, and none otherwise.
    """

    name: str = Field(min_length=1)
    title: str
    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    source: str
    commit: str | None = None
    licence: str
    citation: str | None = None
    measured: str
    faults: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    unmeasured: tuple[UnmeasuredCell, ...] = ()
    validation_experiments: tuple[str, ...] = ()
    systems: tuple[Node, ...] = ()
    campaigns: tuple[CampaignRecord, ...] = ()
    publication: PublicationRecord | None = None

    def encoded(self) -> bytes:
        """The manifest as the file holds it; without `campaigns` and `publication` where there were none."""
        absent = {name for name in ("campaigns", "publication") if not getattr(self, name)}
        return (self.model_dump_json(indent=2, exclude=absent) + "\n").encode()

    @property
    def campaign(self) -> CampaignRecord | None:
        """The campaign of a bundle; `None` where there was none, or are several."""
        return self.campaigns[0] if len(self.campaigns) == 1 else None

    @property
    def sessions(self) -> tuple[range, ...]:
        """Numbers that the sessions of each campaign bear in trials and samples: they count on through all of them."""
        ends = accumulate((len(campaign.sessions) for campaign in self.campaigns), initial=0)
        return tuple(range(first, end) for first, end in pairwise(ends))

    @property
    def limits_by_system(self) -> dict[tuple[str, str], Limits]:
        """The limits as the domain knows them, by system name and model."""
        return {
            (limit.system, limit.model): Limits(
                limit.max_input_tokens, limit.max_output_tokens, limit.max_total_tokens, limit.reason
            )
            for limit in self.limits
        }

    def defects(
        self, pairs: Iterable[tuple[str, str]], experiments: Iterable[str], path: str = FILE
    ) -> Iterator[Defect]:
        """Names in the manifest that no trial bears; `pairs` holds the (system name, model) of the trials."""
        models: dict[str, set[str]] = {}
        for system, model in pairs:
            models.setdefault(system, set()).add(model)
        yield from _limit_defects(self.limits, models, path)
        for index, node in enumerate(self.systems):
            for name in node.profile_systems:
                yield from _unknown(name, models, f"systems[{index}].profile_systems", path)
        for experiment in self.validation_experiments:
            yield from _unknown(experiment, set(experiments), "validation_experiments", path)


def parse_manifest(path: Path) -> tuple[Manifest | None, list[Defect]]:
    """The manifest in a file, or all its defects."""
    content = read_if_there(path, wanted="the JSON file that describes a profile")
    if content is None:
        fix = "a profile is a directory with manifest.json, trials.parquet"
        return None, [Defect(str(path), "is missing", fix=fix)]
    try:
        text = content.decode()
        document = json.loads(text)
    except UnicodeDecodeError:
        return None, [Defect(str(path), "is not UTF-8 text", fix="save it as UTF-8")]
    except json.JSONDecodeError as error:
        return None, [Defect(str(path), f"is not JSON: {error.msg}", row=error.lineno, fix="mend that line")]
    except (ValueError, RecursionError):
        return None, [Defect(str(path), "holds a number or a nesting that no manifest has", fix="take it out")]
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        problem = f"is {quoted(version)}, and this Wattshed reads up to {SCHEMA_VERSION}"
        return None, [Defect(str(path), problem, field="schema_version", fix="run: pip install --upgrade wattshed")]
    try:
        return Manifest.model_validate_json(json.dumps(_with_campaigns(document))), []
    except ValidationError as error:
        return None, model_defects(error, Manifest, str(path))


def _with_campaigns(document: object) -> object:
    """The document as it is written now: bundles made before a profile could hold several had one `campaign`."""
    if not isinstance(document, dict) or not isinstance(document.get("campaign"), dict):
        return document
    campaign = {"name": document.get("name")} | document["campaign"]
    return {key: value for key, value in document.items() if key != "campaign"} | {"campaigns": [campaign]}


def _limit_defects(limits: Iterable[Limit], models: Mapping[str, set[str]], path: str) -> Iterator[Defect]:
    seen: set[tuple[str, str]] = set()
    for index, limit in enumerate(limits):
        yield from _unknown(limit.system, models, f"limits[{index}].system", path)
        yield from _unknown(limit.model, models.get(limit.system, {limit.model}), f"limits[{index}].model", path)
        if (limit.system, limit.model) in seen:
            problem = f"limits {limit.model!r} on {limit.system!r} a second time"
            yield Defect(path, problem, field=f"limits[{index}]", fix="merge the two entries")
        seen.add((limit.system, limit.model))


def _unknown(name: str, known: Iterable[str], field: str, path: str) -> Iterator[Defect]:
    if name not in known:
        yield Defect(path, f"no trial bears the name {name!r}", field=field, fix=advice(name, sorted(known)))
