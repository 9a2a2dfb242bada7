"""Logs of the requests that one engine served: what was asked, and when it queued, started and answered each.

One row a request, as CSV, JSON lines or Parquet; recognised by its columns, ours or those of a known log. Instants may
count from anywhere, and must come from one clock.
"""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from wattshed.datasets.defects import Defect, advice, refuse
from wattshed.datasets.rows import Part
from wattshed.datasets.tables import EXCESS, Table, open_table
from wattshed.domain.replay import Replay
from wattshed.domain.schema import MOST_TOKENS, REPLAY
from wattshed.errors import InputError

COLUMNS: Final = {
    "Wattshed": {column.name: column.name for column in REPLAY},
    "LLMServingSim": {
        "input_tokens": "input_toks",
        "output_tokens": "output_toks",
        "queued_at_s": "queued_ts",
        "started_at_s": "scheduled_ts",
        "first_token_at_s": "first_token_ts",
        "finished_at_s": "last_token_ts",
    },
}
"""Names of our columns in each log that is known. Source of the second: github casys-kaist/LLMServingSim."""

_INSTANTS: Final = [column.name for column in REPLAY if column.unit == "s"]
"""In the order in which they come to pass."""


def read_replay(path: str | Path) -> Replay:
    """The requests in a log, in the order in which they queued, the first of them at 0 s.

    `MissingError` where there is no file; `InputError`, with row and field, for the first value that is wrong.
    """
    table = open_table(Path(path))
    names = _names(table)
    parts = {ours: _part(table, ours, theirs) for ours, theirs in names.items()}
    rows = table.collect(table.rows.select(EXCESS, **{ours: part.value for ours, part in parts.items()}))
    refuse(_defects(table, rows, parts))
    if rows.is_empty():
        raise InputError("holds no requests", path=table.path, fix="add a row for each request")
    first_s = rows["queued_at_s"].min()
    ordered = rows.sort("queued_at_s", maintain_order=True).with_columns(pl.col(_INSTANTS) - first_s)
    return Replay(**{ours: ordered[ours].to_numpy() for ours in names})


def _names(table: Table) -> dict[str, str]:
    """The columns of a table, by our names; those of the log that it is most like are the ones it may lack."""
    nearest = max(COLUMNS.values(), key=lambda names: len({*names.values()} & {*table.columns}))
    for name in nearest.values():
        if name not in table.columns:
            raise InputError("there is no such column", path=table.path, field=name, fix=advice(name, table.columns))
    return nearest


def _part(table: Table, ours: str, theirs: str) -> Part:
    if ours in _INSTANTS:
        return Part.instant(table, theirs, "seconds")
    return Part.count(table, theirs, MOST_TOKENS)


def _defects(table: Table, rows: pl.DataFrame, parts: dict[str, Part]) -> list[Defect]:
    """The first bad row, if there is one, with the first thing that is wrong with it."""
    missing = rows.select(pl.col(*parts).is_null()).to_numpy()
    falling = np.diff(rows.select(_INSTANTS).to_numpy(), axis=1) < 0
    excess = rows[EXCESS].is_not_null().to_numpy()
    bad = np.flatnonzero(missing.any(axis=1) | falling.any(axis=1) | excess)
    if not bad.size:
        return []
    row = int(bad[0])
    if excess[row]:
        return [_defect(table, row, "has more values than the header has columns")]
    if missing[row].any():
        part = list(parts.values())[int(missing[row].argmax())]
        return [_defect(table, row, part.problem(_raw(table, row, part.column or "")), part.column)]
    sooner, later = (parts[name].column or "" for name in _INSTANTS[falling[row].argmax() :][:2])
    return [_defect(table, row, f"is {_raw(table, row, later)}, before {sooner!r}", later)]


def _defect(table: Table, row: int, problem: str, field: str | None = None) -> Defect:
    return Defect(str(table.path), problem, row=row + 1, field=field, fix="correct the row, or leave it out")


def _raw(table: Table, row: int, column: str) -> str | None:
    """What stands in the file."""
    value = table.collect(table.rows.slice(row, 1).select(pl.col(column).cast(pl.String)))[column][0]
    return None if value is None else str(value)
