"""Profiles on disk: a directory with `manifest.json` and `trials.parquet`, one row a trial.

Both are validated on reading and on writing, against `domain/schema.py` and against each other. Other files in the
directory (a data card, raw samples) are ignored. `bundled:NAME` names a profile that ships with the package.
"""

import stat
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from io import BytesIO
from pathlib import Path

import polars as pl

from wattshed.datasets.defects import Defect, advice, quoted, refuse, shortened
from wattshed.datasets.manifest import FILE as MANIFEST_FILE
from wattshed.datasets.manifest import JOURNAL_FILE, Manifest, parse_manifest
from wattshed.datasets.table_defects import DTYPE_OF_KIND, table_defects
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.schema import PROFILE, REASONS, SYSTEM, TRIAL, WINDOW
from wattshed.domain.system import System
from wattshed.errors import InputError, MissingError
from wattshed.files import read_if_there, reading, write_whole

BUNDLED = Path(__file__).parent / "bundled"
PREFIX = "bundled:"
TRIALS_FILE = "trials.parquet"

_CELL = ("experiment", "requested_input_tokens", "requested_output_tokens")
_SAME_TRIAL = (*(column.name for column in SYSTEM), *_CELL, "trial", "order", "runtime_s")
"""Rows that agree in all of these are one trial, recorded twice.

The runtime is among them because campaigns that were started again number their trials from 0 once more.
"""


def read_profile(source: str | Path) -> Profile:
    """The profile in a directory, or `bundled:NAME`; raises `InputError` for its first defect."""
    manifest, trials, found = _inspected(source)
    refuse(found)
    assert manifest is not None  # whatever is missing is among the defects
    assert trials is not None
    return Profile(
        manifest.name,
        tuple(_measurements(trials)),
        manifest.limits_by_system,
        frozenset(manifest.validation_experiments),
    )


def read_manifest(source: str | Path) -> Manifest:
    """The manifest of a profile alone."""
    manifest, found = parse_manifest(profile_directory(source) / MANIFEST_FILE)
    refuse(found)
    assert manifest is not None  # whatever is missing is among the defects
    return manifest


def write_profile(profile: Profile, manifest: Manifest, directory: Path) -> None:
    """Write a profile that `read_profile` will accept; each file appears whole or not at all, the manifest last.

    Raises `InputError` for the first defect, before anything is written, and ValueError where the manifest describes
    another profile.
    """
    described = (manifest.name, manifest.limits_by_system, frozenset(manifest.validation_experiments))
    if described != (profile.name, dict(profile.limits), profile.validation_experiments):
        raise ValueError(f"the manifest of {manifest.name!r} differs from profile {profile.name!r} in name or limits")
    trials = _table(profile.measurements)
    refuse(_trial_defects(trials, str(directory / TRIALS_FILE)))
    refuse(_manifest_defects(manifest, trials, str(directory / MANIFEST_FILE)))
    write_whole(directory / TRIALS_FILE, _parquet(trials))
    write_whole(directory / MANIFEST_FILE, manifest.encoded())


def encoded_trials(measurements: Iterable[Measurement]) -> bytes:
    """The trials as `trials.parquet` holds them, byte for byte what `write_profile` writes."""
    return _parquet(_table(measurements))


def bundled_profiles() -> tuple[str, ...]:
    """Names of the profiles that ship with the package."""
    return tuple(sorted(path.parent.name for path in BUNDLED.glob(f"*/{MANIFEST_FILE}")))


def defects(source: str | Path) -> list[Defect]:
    """Everything that is wrong with a profile; `MissingError` where there is none."""
    return _inspected(source)[2]


def profile_directory(source: str | Path) -> Path:
    """Where a profile lies; `MissingError` where nothing does."""
    text = str(source)
    if text.startswith(PREFIX):
        name = text.removeprefix(PREFIX)
        if name not in bundled_profiles():
            raise MissingError(f"no profile {quoted(name)} ships with Wattshed; {advice(name, bundled_profiles())}")
        return BUNDLED / name
    path = Path(source)
    with reading(path, wanted=f"the directory of a profile, or one of {', '.join(_bundled_sources())}"):
        mode = path.stat().st_mode
    if not stat.S_ISDIR(mode):
        raise InputError("is a file", path=path, fix=f"give the directory with {MANIFEST_FILE} and {TRIALS_FILE}")
    if (path / JOURNAL_FILE).exists() and not (path / MANIFEST_FILE).exists():
        fix = f"finish it with: wattshed profile --resume --out {path} and its other flags"
        raise InputError("is an unfinished campaign", path=path, fix=fix)
    return path


def _bundled_sources() -> list[str]:
    return [PREFIX + name for name in bundled_profiles()]


def _inspected(source: str | Path) -> tuple[Manifest | None, pl.DataFrame | None, list[Defect]]:
    directory = profile_directory(source)
    manifest_path, trials_path = directory / MANIFEST_FILE, directory / TRIALS_FILE
    manifest, found = parse_manifest(manifest_path)
    content = read_if_there(trials_path, wanted="the Parquet file with the trials of a profile")
    if content is None:
        return manifest, None, [*found, Defect(str(trials_path), "is missing", fix="write the trials there")]
    try:
        trials = pl.read_parquet(content)
    except pl.exceptions.PolarsError as error:
        reason = shortened(str(error).partition("\n")[0], 120)
        return manifest, None, [*found, Defect(str(trials_path), f"is not Parquet: {reason}", fix="write it again")]
    found += _trial_defects(trials, str(trials_path))
    if manifest is not None:
        found += _manifest_defects(manifest, trials, str(manifest_path))
    return manifest, trials, found


def _trial_defects(trials: pl.DataFrame, path: str) -> list[Defect]:
    """Defects of the trials: first each column by itself, and if they are sound, rows and what they say together."""
    found = list(table_defects(trials, PROFILE, path))
    if not found:
        complete = _completed(trials)
        found += _empty(complete, path)
        found += _reason_defects(complete, path)
        found += _long_outputs(complete, path)
        found += _repeated(complete, path)
    return found


def _empty(trials: pl.DataFrame, path: str) -> Iterator[Defect]:
    if trials.is_empty():
        yield Defect(path, "holds no trials", fix="measure at least one")


def _reason_defects(trials: pl.DataFrame, path: str) -> Iterator[Defect]:
    codes = trials.select(pl.col("reasons").str.split(";")).with_row_index("row", 1).explode("reasons").drop_nulls()
    for row, code in codes.filter(~pl.col("reasons").is_in(list(REASONS))).iter_rows():
        yield Defect(path, f"{code!r} is not a reason code", row=row, field="reasons", fix=advice(code, REASONS))


def _long_outputs(trials: pl.DataFrame, path: str) -> Iterator[Defect]:
    longer = pl.col("output_tokens") > pl.col("requested_output_tokens")
    explained = pl.col("reasons").fill_null("").str.contains("long_output", literal=True)
    fields = pl.col("output_tokens", "requested_output_tokens")
    unexplained = trials.with_row_index("row", 1).filter(longer & ~explained).select("row", fields)
    for row, output_tokens, requested in unexplained.iter_rows():
        problem = f"is {output_tokens}, and {requested} were requested"
        yield Defect(path, problem, row=row, field="output_tokens", fix="add the reason 'long_output' if it is true")


def _repeated(trials: pl.DataFrame, path: str) -> Iterator[Defect]:
    again = ~trials.select(pl.struct(_SAME_TRIAL).is_first_distinct()).to_series()
    for index in again.arg_true():
        yield Defect(path, "repeats an earlier row", row=index + 1, field="trial", fix="record each trial once")


def _manifest_defects(manifest: Manifest, trials: pl.DataFrame, path: str) -> list[Defect]:
    if trials.is_empty() or any(trials.schema.get(name) != pl.String for name in ("system", "model", "experiment")):
        return []  # said already, about the trials
    pairs = trials.select("system", "model").drop_nulls().unique().rows()
    return list(manifest.defects(pairs, trials["experiment"].drop_nulls().unique(), path))


def _completed(trials: pl.DataFrame) -> pl.DataFrame:
    """The same trials with every column of the schema, in its order and type."""
    return trials.select(
        (pl.col(column.name) if column.name in trials.columns else pl.lit(None, pl.Null).alias(column.name)).cast(
            DTYPE_OF_KIND[column.kind]
        )
        for column in PROFILE
    )


def _measurements(trials: pl.DataFrame) -> list[Measurement]:
    complete = _completed(trials)
    # Whole columns as lists: some five times quicker than rows.
    columns = {name: complete[name].to_list() for name in complete.columns}
    interned = cache(System)
    columns["system"] = [interned(*row) for row in zip(*(columns[column.name] for column in SYSTEM), strict=True)]
    columns["reasons"] = [tuple(codes.split(";")) if codes else () for codes in columns["reasons"]]
    in_order = (columns[field.name] for field in fields(Measurement))
    return [Measurement(*row) for row in zip(*in_order, strict=True)]


def _table(measurements: Iterable[Measurement]) -> pl.DataFrame:
    schema = {column.name: DTYPE_OF_KIND[column.kind] for column in PROFILE}
    table = pl.DataFrame([_row(trial) for trial in measurements], schema=schema, orient="row")
    return table.drop(column.name for column in WINDOW if table[column.name].null_count() == table.height)


def _parquet(trials: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    trials.write_parquet(buffer, compression="zstd", compression_level=19)
    return buffer.getvalue()


def _row(trial: Measurement) -> tuple[object, ...]:
    """One trial in the order of the schema; `System` has its columns as fields, with `system` called `name`."""
    system = [trial.system.name, *(getattr(trial.system, column.name) for column in SYSTEM[1:])]
    values = {column.name: getattr(trial, column.name) for column in TRIAL + WINDOW}
    return (*system, *(values | {"reasons": ";".join(trial.reasons) or None}).values())
