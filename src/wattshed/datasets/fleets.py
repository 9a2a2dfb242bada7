"""Fleets from YAML: which measured systems may serve which model, how many of each, and within what limits.

name: two A100s and a Mac              # default: the name of the file
profile: bundled:wilkins2024           # default; or a directory, relative to this file
model: Llama-2 (7B)
predictor: prefix                      # default; or table, regression
channel: total                         # default; or gpu, cpu
systems:
  - system: Swing AMD+A100             # as the profile calls it
    name: a100                         # default: the same
    count: 2                           # default: 1
    host_power_w: 40                   # default: 0; power that the meters did not see
  - system: M1-Pro
    max_output_tokens: 256             # default: what the profile says; likewise max_input_tokens, max_total_tokens
  - system: H100 80GB (no cache)
    profile: profiles/h100             # default: the fleet's; where this one was measured
    predictor: batch                   # default: the fleet's; batch where it batches continuously
    slots: 32                          # how each replica is run: see `domain/operation.py`, whose defaults hold here
    most_queued: 64
    idle_power_w: 118
    kv_tokens: 100000
    chunk_tokens: 2048
    sleep: {after_s: 60, power_w: 20, wake_s: 15, wake_energy_j: 1500}
    failures: {mean_up_s: 1000000, mean_down_s: 600}

Where systems were measured in several profiles, random weights of a published architecture count as its model.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wattshed.datasets.defects import Defect, advice, model_defects, refuse
from wattshed.datasets.profiles import PREFIX, read_profile
from wattshed.datasets.yaml_file import read_yaml
from wattshed.domain.choices import Channel, PredictorKind
from wattshed.domain.joining import joined, told_apart, work_of
from wattshed.domain.measurement import Profile
from wattshed.domain.operation import Failures, Operation, Sleep
from wattshed.domain.schema import MOST_OF_UNIT
from wattshed.domain.system import Fleet, Limits, Pool
from wattshed.errors import InputError

WANTED = "the YAML file of a fleet (see the guide 'Plan a fleet')"
FIX = "write at least 'model: NAME' and 'systems:' with a list"
_MOST_REPLICAS = 1_000_000
_MOST_SLOTS = 1_000_000
_MOST_HELD_TOKENS = 1_000_000_000
"""More than 100 TB of keys and values, at 0.1 MB a token of a model of 7 billion weights."""
_MOST_HOST_POWER_W = 100_000.0
"""More than a whole rack of servers draws: a slip of the unit."""

_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Seconds = Annotated[float, Field(ge=0, le=MOST_OF_UNIT["s"])]
_Power = Annotated[float, Field(ge=0, le=_MOST_HOST_POWER_W)]
_Path = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Sleep(_Part):
    after_s: _Seconds
    power_w: _Power
    wake_s: _Seconds = 0.0
    wake_energy_j: float = Field(default=0.0, ge=0, le=MOST_OF_UNIT["J"])


class _Failures(_Part):
    mean_up_s: float = Field(gt=0, le=MOST_OF_UNIT["s"])
    mean_down_s: float = Field(gt=0, le=MOST_OF_UNIT["s"])


class _Entry(_Part):
    system: _Name
    name: _Name | None = None
    profile: _Path | None = None
    predictor: PredictorKind | None = None
    count: int = Field(default=1, ge=1, le=_MOST_REPLICAS)
    host_power_w: _Power = 0.0
    max_input_tokens: int | None = Field(default=None, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    max_total_tokens: int | None = Field(default=None, ge=2)
    slots: int = Field(default=1, ge=1, le=_MOST_SLOTS)
    most_queued: int | None = Field(default=None, ge=0, le=_MOST_SLOTS)
    idle_power_w: _Power | None = None
    kv_tokens: int | None = Field(default=None, ge=1, le=_MOST_HELD_TOKENS)
    chunk_tokens: int | None = Field(default=None, ge=1, le=_MOST_HELD_TOKENS)
    sleep: _Sleep | None = None
    failures: _Failures | None = None


class _Document(_Part):
    name: _Name | None = None
    profile: _Path = PREFIX + "wilkins2024"
    model: _Name
    predictor: PredictorKind = "prefix"
    channel: Channel = "total"
    systems: list[_Entry] = Field(min_length=1)


def read_fleet(path: str | Path) -> Fleet:
    """The fleet in a YAML file; raises `InputError` for its first defect. The profile is not opened: see `resolve`."""
    fleet, found = parse_fleet(Path(path))
    refuse(found)
    assert fleet is not None  # there are defects, or there is a fleet
    return fleet


def parse_fleet(path: Path) -> tuple[Fleet | None, list[Defect]]:
    """The fleet in a file, or everything that is wrong with it."""
    try:
        document = _Document.model_validate(read_yaml(path, wanted=WANTED, fix=FIX))
    except ValidationError as error:
        return None, model_defects(error, _Document, str(path))
    except InputError as error:
        return None, [Defect(str(path), error.problem, error.row, error.field, error.fix)]
    pools = tuple(_pool(entry, path) for entry in document.systems)
    found = [*_namesakes(pools, str(path)), *_two_forms(pools, str(path)), *_ignored(document, str(path))]
    if found:
        return None, found
    profile, name = _placed(document.profile, path), document.name or path.stem
    return Fleet(name, profile, document.model, pools, document.predictor, document.channel, str(path)), []


def read_fleet_profile(fleet: Fleet) -> Profile:
    """What the fleet's systems were measured in, as one profile: see `joined` where there are several."""
    profiles = [read_profile(source) for source in fleet.profiles]
    return told_apart(profiles[0]) if len(profiles) == 1 else joined(" + ".join(fleet.profiles), profiles)


def resolve(fleet: Fleet, profile: Profile) -> Fleet:
    """The fleet with systems and model spelt as in the profile; case does not matter.

    Raises `InputError` for a system or model that the profile did not measure, with the closest that it did.
    """
    pairs = {(system.name, system.model) for system in profile.systems}
    models = {model for _, model in pairs}
    work = work_of(fleet.model)
    model = _measured(work if work in models else fleet.model, models, "model", fleet)
    systems = {system for system, _ in pairs}
    pools = []
    for position, pool in enumerate(fleet.pools):
        field = f"systems[{position}].system"
        system = _measured(pool.system, systems, field, fleet)
        if (system, model) not in pairs:
            others = sorted(name for name, measured in pairs if measured == model)
            problem = f"{system!r} was not measured with {model!r}"
            raise InputError(
                problem, path=fleet.file or fleet.name, field=field, fix=f"choose from {', '.join(others)}"
            )
        pools.append(replace(pool, system=system, name=system if pool.name == pool.system else pool.name))
    return replace(fleet, model=model, pools=tuple(pools))


def _measured(name: str, known: Iterable[str], field: str, fleet: Fleet) -> str:
    spelt = {candidate.casefold(): candidate for candidate in sorted(known)}
    if name.casefold() not in spelt:
        problem = f"{name!r} is not in profile {' or '.join(fleet.profiles)}"
        raise InputError(problem, path=fleet.file or fleet.name, field=field, fix=advice(name, spelt.values()))
    return spelt[name.casefold()]


def _placed(profile: str, path: Path) -> str:
    """Where a profile lies that the fleet file at `path` names."""
    return profile if profile.startswith(PREFIX) else str(path.parent / profile)


def _pool(entry: _Entry, path: Path) -> Pool:
    limits = Limits(entry.max_input_tokens, entry.max_output_tokens, entry.max_total_tokens)
    if limits != Limits():
        limits = replace(limits, reason="set in the fleet file")
    profile = None if entry.profile is None else _placed(entry.profile, path)
    name, operation = entry.name or entry.system, _operation(entry)
    return Pool(name, entry.system, entry.count, entry.host_power_w, limits, profile, operation, entry.predictor)


def _operation(entry: _Entry) -> Operation:
    sleep, failures = entry.sleep, entry.failures
    return Operation(
        entry.slots,
        entry.most_queued,
        entry.idle_power_w,
        entry.kv_tokens,
        entry.chunk_tokens,
        None if sleep is None else Sleep(sleep.after_s, sleep.power_w, sleep.wake_s, sleep.wake_energy_j),
        None if failures is None else Failures(failures.mean_up_s, failures.mean_down_s),
    )


def _namesakes(pools: Iterable[Pool], path: str) -> Iterator[Defect]:
    seen: set[str] = set()
    for position, pool in enumerate(pools):
        if pool.name in seen:
            fix = "give each a name of its own, or one entry a higher count"
            yield Defect(path, f"a second entry is called {pool.name!r}", field=f"systems[{position}].name", fix=fix)
        seen.add(pool.name)


def _two_forms(pools: Iterable[Pool], path: str) -> Iterator[Defect]:
    """A system has one predictor, whoever runs it how."""
    forms: dict[str, PredictorKind | None] = {}
    for position, pool in enumerate(pools):
        if forms.setdefault(pool.system, pool.predictor) != pool.predictor:
            problem = f"another entry of {pool.system!r} has another predictor"
            yield Defect(path, problem, field=f"systems[{position}].predictor", fix="give both the same one")


def _ignored(document: _Document, path: str) -> Iterator[Defect]:
    """Keys that mean nothing for a machine whose queries do not share steps."""
    for position, entry in enumerate(document.systems):
        kind = entry.predictor or document.predictor
        for key in ("kv_tokens", "chunk_tokens"):
            if kind != "batch" and getattr(entry, key) is not None:
                problem = f"means nothing to a {kind} predictor, which serves each query alone"
                yield Defect(
                    path, problem, field=f"systems[{position}].{key}", fix="add predictor: batch, or take it out"
                )
