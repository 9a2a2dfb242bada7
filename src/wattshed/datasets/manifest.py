"""The manifest of a profile: where its trials come from, what is wrong with them, and what its systems cannot do.

It lies beside the trials as `manifest.json`. Numbers without a source are hearsay, so the source is not optional.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wattshed.datasets.defects import Defect, advice, model_defects
from wattshed.domain.schema import SCHEMA_VERSION
from wattshed.domain.system import Limits

FILE = "manifest.json"


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
    """A cell of the design that has no trial, though nothing says that it is impossible."""

    system: str
    model: str
    input_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=1)


class Node(_Part):
    """A machine as its owner describes it; `profile_systems` names it in the trials."""

    name: str
    cpu: str
    gpu: str
    memory: str
    profile_systems: tuple[str, ...]


class Manifest(_Part):
    """Everything about a profile that is not a trial."""

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
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
    except FileNotFoundError:
        return None, [
            Defect(str(path), "is missing", fix="a profile is a directory with manifest.json, trials.parquet")
        ]
    except UnicodeDecodeError:
        return None, [Defect(str(path), "is not UTF-8 text", fix="save it as UTF-8")]
    except json.JSONDecodeError as error:
        return None, [Defect(str(path), f"is not JSON: {error.msg}", row=error.lineno, fix="mend that line")]
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        problem = f"is {version}, and this Wattshed reads up to {SCHEMA_VERSION}"
        return None, [Defect(str(path), problem, field="schema_version", fix="run: pip install --upgrade wattshed")]
    try:
        return Manifest.model_validate_json(text), []
    except ValidationError as error:
        return None, model_defects(error, Manifest, str(path))


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
