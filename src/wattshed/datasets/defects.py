"""Defects of files: what is wrong, where, and what to do about it.

Readers raise the first defect as an `InputError`; `wattshed validate` shows them all. Here are the two checks that all
files go through: a table against the columns of `domain/schema.py`, and a document against its pydantic model.
"""

import difflib
import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, get_args

import polars as pl
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from wattshed.domain.schema import MOST_OF_UNIT, Column, Kind
from wattshed.errors import InputError

DTYPE_OF_KIND: Final[dict[Kind, pl.DataType]] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "flag": pl.Boolean(),
}
"""How a column is written; on reading, narrower types of the same kind will do."""


_MOST_SHOWN: Final = 60
"""Characters of a value in a message."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is wrong with a file; rows count from 1, `field` is a column or a path like `systems[1].count`."""

    path: str
    problem: str
    row: int | None = None
    field: str | None = None
    fix: str = ""

    @property
    def error(self) -> InputError:
        """The defect as the error that a reader raises."""
        return InputError(self.problem, path=self.path, row=self.row, field=self.field, fix=self.fix)

    def __str__(self) -> str:
        return str(self.error)


def refuse(defects: Iterable[Defect]) -> None:
    """Raise the first defect, if there is one."""
    for defect in defects:
        raise defect.error


def advice(name: str, known: Iterable[str]) -> str:
    """What to write instead of `name`: the closest of the known names, or all of them."""
    names = {candidate.casefold(): candidate for candidate in known}
    wanted = name.casefold()
    close = difflib.get_close_matches(wanted, names) or [key for key in names if wanted and wanted in key]
    if close:
        return f"did you mean {' or '.join(repr(names[key]) for key in close[:3])}?"
    return f"known: {shortened(', '.join(names.values()), 2 * _MOST_SHOWN)}" if names else "none are known"


def quoted(value: object) -> str:
    """A value as a message shows it: in quotes where it is text, and never longer than some 60 characters."""
    brief = reprlib.Repr()
    brief.maxlevel = 1
    brief.maxstring = brief.maxlong = brief.maxother = _MOST_SHOWN
    try:
        return shortened(brief.repr(value))
    except ValueError:  # Python refuses to write numbers of more than 4,300 digits
        return "a number of thousands of digits"


def shortened(text: str, most: int = _MOST_SHOWN) -> str:
    """The text without its end, where it is longer than `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


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


def model_defects(error: ValidationError, model: type[BaseModel], path: str) -> list[Defect]:
    """What pydantic found, in our words; `model` is the document that was read."""
    return [_model_defect(detail, model, path) for detail in error.errors(include_url=False)]


def _model_defect(detail: ErrorDetails, model: type[BaseModel], path: str) -> Defect:
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
    field = shortened("".join(steps).lstrip(".")) or None
    if detail["type"] == "missing":
        return Defect(path, "is missing", field=field, fix="add it")
    if detail["type"] == "extra_forbidden":
        known = _keys_beside(model, detail["loc"])
        return Defect(path, "is an unknown key", field=field, fix=advice(str(detail["loc"][-1]), known))
    expected = detail["msg"].replace("Input should be", "expected").replace("Value error, ", "")
    expected = re.sub(r" or instance of \w+", "", expected)
    return Defect(path, f"{expected}, got {quoted(detail['input'])}", field=field, fix="correct the value")


def _keys_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that are legal where `location` points."""
    for part in location[:-1]:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            inner = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
            model = next((kind for kind in inner if issubclass(kind, BaseModel)), model)
    return list(model.model_fields)
