"""Rows of the ledger as a Parquet file, part by part: a ledger may be larger than memory."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import polars as pl

from wattshed.domain.schema import LEDGER
from wattshed.errors import MissingError
from wattshed.gateway.ledger.ledger import Row

_TYPES: Final = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "flag": pl.Boolean(),
    "instant": pl.Datetime("us", "UTC"),
}

SCHEMA: Final = pl.Schema({column.name: _TYPES[column.kind] for column in LEDGER})
"""The columns of `schema.LEDGER`; `candidates` is JSON: a list of (system, joules, seconds)."""

_CANDIDATES: Final = Row._fields.index("candidates")


def write_parquet(parts: Iterable[list[Row]], out: Path) -> int:
    """Write rows to `out`, all of them or none, and say how many they were; `MissingError` where it cannot be written.

    The parts lie beside `out` until they are joined, so that no more than one of them is in memory.
    """
    rows = 0
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
            for number, part in enumerate(chain([[]], parts)):  # an empty first part, for a ledger without rows
                _frame(part).write_parquet(Path(beside) / f"part-{number:08}.parquet")
                rows += len(part)
            whole = Path(beside) / "whole.parquet"
            pl.scan_parquet(sorted(Path(beside).glob("part-*"))).sink_parquet(whole)
            whole.replace(out)
    except OSError as error:
        raise MissingError(f"{out}: cannot be written ({error.strerror or error}); give another place") from error
    return rows


def _frame(rows: list[Row]) -> pl.DataFrame:
    plain = [list(row) for row in rows]
    for values in plain:
        candidates = values[_CANDIDATES]
        values[_CANDIDATES] = None if candidates is None else msgspec.json.encode(candidates).decode()
    return pl.DataFrame(plain, schema=SCHEMA, orient="row")
