"""Rows of a table as queries: each is sound or bad, and the sound ones are counted while they stream past.

A number is legal where it is whole and between 1 and a limit; a row is sound where all its numbers are, and it holds no
more values than its header. The shape (m, n) of a sound row is packed into one integer and a bad row has none, so that
one grouping of integers counts both: ten million rows cost about a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from wattshed.datasets.defects import Defect, quoted, shortened
from wattshed.datasets.formats import Clock, Format
from wattshed.datasets.tables import EXCESS, Table
from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.query import Workload
from wattshed.domain.schema import MOST_TOKENS
from wattshed.errors import InputError
from wattshed.units import S_PER_MS

MOST_QUERIES: Final = 10**12
"""More queries of one shape than this are a mistake too; up to here their sums are exact in 64 bits."""

_SHAPE_BITS: Final = 24
"""A shape is m 2^24 + n: both are below 2^24, and shapes sort by (m, n)."""

_ROW: Final = "__row__"
_FIX: Final = "correct the row, or pass --skip-bad to leave out and count such rows"


@dataclass(frozen=True, slots=True)
class Part:
    """One number of every query: `value` is null wherever `column` holds no legal one. No column: the same for all."""

    value: pl.Expr
    column: str | None = None
    most: int | None = None

    @classmethod
    def count(cls, table: Table, place: str | int, most: int) -> "Part":
        """A whole number from 1 to `most`."""
        if isinstance(place, int):
            return cls(pl.lit(place, pl.Int64))
        number = _number(table, place)
        legal = number.is_between(1, most) & (number == number.cast(pl.Int64, strict=False))
        return cls(pl.when(legal).then(number).cast(pl.Int64), place, most)

    @classmethod
    def instant(cls, table: Table, column: str, clock: Clock) -> "Part":
        """A time: seconds as a number, or a date to the nanosecond."""
        if clock == "timestamp":
            return cls(_date(table, column), column)
        instant_s = _number(table, column).cast(pl.Float64) * (S_PER_MS if clock == "milliseconds" else 1.0)
        return cls(pl.when(instant_s.is_finite() & (instant_s >= 0)).then(instant_s), column)

    def problem(self, raw: str | None) -> str:
        """What is wrong with a value that this part refuses."""
        if raw is None or not raw.strip():
            return "is missing"
        if self.most is None:
            return f"is {quoted(raw)}, not a time"
        try:
            number = float(raw)
        except ValueError:
            return f"is {quoted(raw)}, not a number"
        if not _whole(raw, number):
            return f"is {shortened(raw)}, not a whole number"
        return f"is {shortened(raw)}, " + ("below 1" if number < 1 else f"above {self.most:,}")


@dataclass(frozen=True, slots=True)
class Queries:
    """A table whose rows are queries, and where each part of a query comes from."""

    table: Table
    input_tokens: Part
    output_tokens: Part
    queries: Part
    arrival: Part | None

    @classmethod
    def of(cls, table: Table, layout: Format) -> "Queries":
        """The queries of a table in this format."""
        if layout.arrival and isinstance(layout.queries, str):
            problem = f"counts several queries, and {layout.arrival!r} gives them one time"
            fix = "give each query a row of its own, without this column"
            raise InputError(problem, path=table.path, field=layout.queries, fix=fix)
        outputs = Part.count(table, layout.output_tokens, MOST_TOKENS)
        if layout.starts_tokens:
            outputs = replace(outputs, value=(outputs.value - layout.starts_tokens).clip(lower_bound=1))
        return cls(
            table,
            Part.count(table, layout.input_tokens, MOST_TOKENS),
            outputs,
            Part.count(table, layout.queries, MOST_QUERIES),
            Part.instant(table, layout.arrival, layout.clock) if layout.arrival else None,
        )

    def counted(self, name: str) -> tuple[Workload | None, int]:
        """The workload, or None where no row is sound, and the number of rows that are not."""
        return self._histogram(name) if self.arrival is None else self._trace(name, self.arrival)

    def bad_rows(self, at_most: int) -> list[Defect]:
        """The first bad rows, each with the first thing that is wrong with it."""
        columns = self._columns()
        raw = [pl.col(name).cast(pl.String).alias(f"raw {name}") for name in columns]
        refused = [part.value.is_null().alias(f"refused {name}") for name, part in columns.items()]
        rows = self.table.rows.with_row_index(_ROW, 1).filter(self._shape().is_null()).head(at_most)
        return [
            self._defect(
                row[_ROW],
                {name: row[f"raw {name}"] for name in columns},
                [name for name in columns if row[f"refused {name}"]],
            )
            for row in self.table.collect(rows.select(_ROW, *raw, *refused)).iter_rows(named=True)
        ]

    def _defect(self, row: int, raw: Mapping[str, str | None], refused: Sequence[str]) -> Defect:
        path, columns = str(self.table.path), self._columns()
        if not any(value and value.strip() for value in raw.values()):
            return Defect(path, f"holds no {' and no '.join(columns)}", row=row, fix=_FIX)
        if not refused:
            return Defect(path, "has more values than the header has columns", row=row, fix=_FIX)
        column = refused[0]
        return Defect(path, columns[column].problem(raw[column]), row=row, field=column, fix=_FIX)

    def _histogram(self, name: str) -> tuple[Workload | None, int]:
        rows = self.table.rows.select(shape=self._shape(), queries=self.queries.value)
        queries = pl.col("queries").sum() if self.queries.column else pl.len()
        groups = self.table.collect(rows.group_by("shape").agg(queries=queries, rows=pl.len()).sort("shape"))
        bad_rows = int(groups.filter(pl.col("shape").is_null())["rows"].sum())
        sound = groups.drop_nulls("shape")
        if sound.is_empty():
            return None, bad_rows
        m, n = _unpacked(sound["shape"])
        return Workload(name, m, n, sound["queries"].cast(pl.Int64).to_numpy(), None, bad_rows), bad_rows

    def _trace(self, name: str, arrival: Part) -> tuple[Workload | None, int]:
        rows = self.table.collect(self.table.rows.select(shape=self._shape(), arrival=arrival.value))
        sound = rows.drop_nulls("shape")
        bad_rows = rows.height - sound.height
        if sound.is_empty():
            return None, bad_rows
        m, n = _unpacked(sound["shape"])
        return Workload.of(name, m, n, arrival_s=_since_first_s(sound["arrival"]), bad_rows=bad_rows), bad_rows

    def _shape(self) -> pl.Expr:
        """The packed shape of each row, null where anything about it is bad."""
        sound = pl.col(EXCESS).is_null() & self.queries.value.is_not_null()
        if self.arrival is not None:
            sound &= self.arrival.value.is_not_null()
        return pl.when(sound).then(self.input_tokens.value * 2**_SHAPE_BITS + self.output_tokens.value)

    def _columns(self) -> dict[str, Part]:
        """The parts that come from a column, by its name."""
        parts = (self.input_tokens, self.output_tokens, self.queries, self.arrival)
        return {part.column: part for part in parts if part is not None and part.column is not None}


def _unpacked(shapes: pl.Series) -> tuple[Integers, Integers]:
    packed = shapes.to_numpy()
    return packed >> _SHAPE_BITS, packed & (2**_SHAPE_BITS - 1)


def _whole(raw: str, number: float) -> bool:
    """Whether a text that Python takes for `number` is a whole one to us: 1_000 is not, and thousands of digits are."""
    return raw.isascii() and "_" not in raw and (number.is_integer() or raw.strip().isdigit())


def _number(table: Table, column: str) -> pl.Expr:
    dtype = table.rows.collect_schema()[column]
    if dtype == pl.String:
        return pl.col(column).str.strip_chars().cast(pl.Float64, strict=False)
    if dtype.is_numeric() or dtype == pl.Null:
        return pl.col(column)
    raise InputError(f"holds {dtype}, not numbers", path=table.path, field=column, fix="write it as numbers")


def _date(table: Table, column: str) -> pl.Expr:
    """Dates like 2024-05-10 00:00:00.009930+00:00, with or without fraction and zone, in UTC and without it."""
    dtype = table.rows.collect_schema()[column]
    if dtype == pl.String:
        text = pl.col(column).str.strip_chars().str.replace("T", " ", literal=True).str.replace("Z$", "+00:00")
        zoned = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%z", time_unit="ns", strict=False)
        bare = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="ns", strict=False)
        return pl.coalesce(bare, zoned.dt.replace_time_zone(None))
    if isinstance(dtype, pl.Datetime):
        bare = pl.col(column) if dtype.time_zone is None else pl.col(column).dt.convert_time_zone("UTC")
        return bare.dt.replace_time_zone(None).cast(pl.Datetime("ns"))
    raise InputError(
        f"holds {dtype}, not dates", path=table.path, field=column, fix="write dates like 2024-05-10 00:00:00"
    )


def _since_first_s(instants: pl.Series) -> Floats:
    since = (instants - instants.min()).to_numpy()
    return np.asarray(since / np.timedelta64(1, "s") if instants.dtype.is_temporal() else since, np.float64)
