"""Tables against the columns of `domain/schema.py`."""

from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from wattshed.datasets.defects import Defect, advice, shortened
from wattshed.domain.schema import MOST_OF_UNIT, Column, Kind

DTYPE_OF_KIND: Final[dict[Kind, pl.DataType]] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "flag": pl.Boolean(),
}
"""How a column is written; on reading, narrower types of the same kind will do."""


def table_defects(frame: pl.DataFrame, columns: Sequence[Column], path: str) -> Iterator[Defect]:
    """Defects of a table, column by column: names, types, gaps, and values out of range. Vectorised."""
    known = [column.name for column in columns]
    for name in frame.columns:
        if name not in known:
            yield Defect(path, "is not a column of the schema", field=name, fix=advice(name, known))
    for column in columns:
        if column.name in frame.columns:
            yield from _column_defects(frame[column.name], column, path)
        elif column.required:
            yield Defect(path, "the column is missing", field=column.name, fix=f"add it: {column.meaning}")


def _column_defects(values: pl.Series, column: Column, path: str) -> Iterator[Defect]:
    if not _fits(values.dtype, column.kind):
        if values.dtype != pl.Null:
            fix = f"write it as {DTYPE_OF_KIND[column.kind]}"
            yield Defect(
                path, f"expected {column.kind}, found {shortened(str(values.dtype))}", field=column.name, fix=fix
            )
            return
        values = values.cast(DTYPE_OF_KIND[column.kind])
    for problem, mask in _rules(values, column):
        for index in mask.arg_true() if mask.any() else ():
            yield Defect(path, problem.format(values[index]), row=index + 1, field=column.name, fix=_mend(column))


def _fits(dtype: pl.DataType, kind: Kind) -> bool:
    if kind == "integer":
        return dtype.is_integer()
    if kind == "number":
        return dtype.is_numeric()
    return dtype == DTYPE_OF_KIND[kind]


def _rules(values: pl.Series, column: Column) -> Iterator[tuple[str, pl.Series]]:
    """Each rule as a message (with a gap for the value) and the mask of rows that break it."""
    if column.required:
        yield "is missing", values.is_null()
        if column.kind == "text":
            yield "is empty", values == ""
    if column.kind == "number":
        yield "is {}, not a finite number", ~values.cast(pl.Float64).is_finite()
    if column.least is not None:
        yield f"is {{}}, below {column.least:g}", values < column.least
    if column.unit in MOST_OF_UNIT:
        most = MOST_OF_UNIT[column.unit]
        size = values.cast(pl.Float64).abs()
        yield f"is {{}}, beyond {most:g}", size.is_finite() & (size > most)


def _mend(column: Column) -> str:
    unit = f" in {column.unit}" if column.unit not in ("", "1") else ""
    least = f", at least {column.least:g}" if column.least is not None else ""
    gap = "" if column.required else "; leave out what was not measured"
    return f"give {column.meaning}{unit}{least}{gap}"
