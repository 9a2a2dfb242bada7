"""Tables of any kind as one lazy table: CSV, JSON lines and Parquet, told apart by their first bytes.

Text columns stay text here, so that a bad value is still there to be shown; Parquet brings its types. Nothing is read
before it is needed, and a file of ten million rows never lies in memory as a whole.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from wattshed.datasets.defects import shortened
from wattshed.errors import InputError
from wattshed.files import reading, rereadable

EXCESS: Final = "__excess__"
"""A column that every table gets: what a CSV row holds beyond its header, null in a sound row."""

_HEAD_BYTES: Final = 1024
"""How much of a file tells its kind."""

_LINE: Final = "__line__"
_NO_SEPARATOR: Final = "\x01"
"""A byte that no JSON text holds unescaped, so that a line is read as one field."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file of rows: its columns in order, and a lazy frame that holds them and `EXCESS`.

    `path` is what the user gave, for messages; `content` is the file to read, a copy where `path` is a pipe.
    """

    path: Path
    content: Path
    columns: tuple[str, ...]
    rows: pl.LazyFrame

    def collect(self, query: pl.LazyFrame) -> pl.DataFrame:
        """The answer to a query on `rows`, streamed; what the file does wrong is an `InputError`."""
        try:
            return query.collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            if "invalid utf-8" in str(error):
                raise _not_text(self.path, self.content) from error
            reason = shortened(str(error).partition("\n")[0], 120)
            raise InputError(
                f"cannot be read: {reason}", path=self.path, fix="check its quotes, or write it again"
            ) from error


def open_table(path: Path) -> Table:
    """The table in a file, by its content. `MissingError` where there is no file, `InputError` where it is no table."""
    with reading(path, wanted="a CSV, JSON lines or Parquet file"):
        content = rereadable(path)
        with content.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    if head[:4] == b"PAR1":
        return _parquet(path, content)
    _require_text(head, path)
    return _json_lines(path, content) if head.lstrip(b"\xef\xbb\xbf \t")[:1] == b"{" else _csv(path, content)


def _require_text(head: bytes, path: Path) -> None:
    """Raise `InputError` where a file with this beginning is no table of text."""
    if head[:2] == b"\x1f\x8b":
        raise InputError("is compressed", path=path, fix="unpack it with gunzip")
    if b"\0" in head:
        raise InputError("is neither UTF-8 text nor Parquet", path=path, fix="save it as one of them")
    if b"\r" in head[:-1] and b"\n" not in head:
        raise InputError("ends its lines with CR alone", path=path, fix="save it with LF, as by: tr '\\r' '\\n'")
    text = head.removeprefix(b"\xef\xbb\xbf")
    if not text.partition(b"\n")[0].strip():
        raise InputError("begins with a blank line" if text else "is empty", path=path, fix="begin with a header")


def _parquet(path: Path, content: Path) -> Table:
    try:
        rows = pl.scan_parquet(content, glob=False)
        columns = tuple(rows.collect_schema().names())
    except pl.exceptions.PolarsError as error:
        reason = shortened(str(error).partition("\n")[0], 120)
        raise InputError(f"is broken Parquet: {reason}", path=path, fix="write the file again") from error
    return Table(path, content, columns, rows.with_columns(pl.lit(None, pl.String).alias(EXCESS)))


def _csv(path: Path, content: Path) -> Table:
    columns = _header(path, content)
    rows = pl.scan_csv(
        content,
        has_header=False,
        skip_rows=1,
        schema=dict.fromkeys((*columns, EXCESS), pl.String()),
        missing_columns="insert",  # rows may be shorter than the schema, and all sound ones are: they have no excess
        truncate_ragged_lines=True,
        glob=False,
    )
    return Table(path, content, columns, rows)


def _header(path: Path, content: Path) -> tuple[str, ...]:
    try:
        with content.open(encoding="utf-8-sig", newline="") as file:
            columns = tuple(name.strip() for name in next(csv.reader(file)))
    except UnicodeDecodeError as error:
        raise _not_text(path, content) from error
    except csv.Error as error:
        raise InputError(f"has no readable header: {error}", path=path, fix="begin with the column names") from error
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise InputError("the header names this column twice", path=path, field=twice[0], fix="rename one of them")
    return columns


def _json_lines(path: Path, content: Path) -> Table:
    with content.open("rb") as file:
        first = file.readline()
    try:
        columns = tuple(json.loads(first.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise _not_text(path, content) from error
    except json.JSONDecodeError as error:
        raise InputError(f"is not JSON: {error.msg}", path=path, row=1, fix="write one JSON object a line") from error
    except (ValueError, RecursionError) as error:
        problem = "holds a number or a nesting that no query has"
        raise InputError(problem, path=path, row=1, fix="write one JSON object a line") from error
    lines = pl.scan_csv(
        content,
        has_header=False,
        separator=_NO_SEPARATOR,
        quote_char=None,
        schema={_LINE: pl.String()},
        truncate_ragged_lines=True,
        glob=False,
    )
    values = [pl.col(_LINE).str.json_path_match(f"$[{json.dumps(name)}]").alias(name) for name in columns]
    return Table(path, content, columns, lines.select(*values, pl.lit(None, pl.String).alias(EXCESS)))


def _not_text(path: Path, content: Path) -> InputError:
    """The error for a file that is not UTF-8, with the first such line, which is looked for only now."""
    with content.open("rb") as file:
        line = next(number for number, line in enumerate(file, 1) if not _decodes(line))
    return InputError(f"line {line} is not UTF-8 text", path=path, fix="save the file as UTF-8")


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
