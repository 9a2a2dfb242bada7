"""Workloads from files: any known trace or table, streamed into the histogram that planners work on.

`formats.py` knows which column holds what, `tables.py` reads rows lazily and `rows.py` checks and counts them. A bad
row is an error that names it, or it is counted: it is never mended, and never dropped in silence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from wattshed.datasets.defects import Defect, advice, quoted, refuse
from wattshed.datasets.formats import ALPACA, ALPACA_ONE_BOS, Format, recognise
from wattshed.datasets.profiles import BUNDLED, PREFIX
from wattshed.datasets.rows import Queries
from wattshed.datasets.tables import Table, open_table
from wattshed.domain.query import Workload
from wattshed.domain.schema import MOST_TOKENS
from wattshed.errors import InputError, MissingError, UsageError

BUNDLED_WORKLOADS: Final = {"alpaca": ALPACA, "alpaca-one-bos": ALPACA_ONE_BOS}
"""Workloads that ship with the package, as `bundled:NAME`: two readings of one file."""


def read_workload(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    skip_bad: bool = False,
) -> Workload:
    """The queries in a file, or in `bundled:alpaca`, as a histogram, with arrivals where the file has them.

    `columns` maps our names (WORKLOAD in `domain/schema.py`) to the file's. A file of lengths alone needs the other
    side given, as `input_tokens` or `output_tokens`. A bad row is an `InputError`, or with `skip_bad` one of
    `bad_rows`. Arrivals count seconds from the first. Ten million rows of Parquet take about a second.
    """
    table, layout = _opened(source, columns)
    queries = Queries.of(table, _given(layout, table.path, input_tokens, output_tokens))
    workload, bad_rows = queries.counted(str(source) if str(source).startswith(PREFIX) else table.path.name)
    if bad_rows and not skip_bad:
        refuse(queries.bad_rows(at_most=1))
    if workload is None:
        raise _no_queries(table.path, bad_rows).error
    return workload


@dataclass(frozen=True, slots=True)
class WorkloadCheck:
    """What a workload file is: its format, how many sound queries of how many shapes, and the first bad rows."""

    format: str
    queries: int
    shapes: int
    bad_rows: int
    defects: tuple[Defect, ...]


def check_workload(
    source: str | Path, columns: Mapping[str, str] | None = None, *, at_most: int = 1000
) -> WorkloadCheck:
    """The check of a workload, with its first `at_most` defects; raises for a file of no known format.

    `columns` names the columns of a file, by ours.
    """
    table, layout = _opened(source, columns)
    queries = Queries.of(table, _given(layout, table.path, None, 1) if layout.is_marginal else layout)
    workload, bad_rows = queries.counted(str(source))
    defects = queries.bad_rows(at_most) if bad_rows else []
    if workload is None:
        return WorkloadCheck(layout.name, 0, 0, bad_rows, (*defects, _no_queries(table.path, bad_rows)))
    return WorkloadCheck(layout.name, workload.total_queries, workload.queries.size, bad_rows, tuple(defects))


def _no_queries(path: Path, bad_rows: int) -> Defect:
    fix = f"all its {bad_rows} rows are bad" if bad_rows else "add a row for each query"
    return Defect(str(path), "holds no queries", fix=fix)


def _opened(source: str | Path, columns: Mapping[str, str] | None) -> tuple[Table, Format]:
    text = str(source)
    if text.startswith(PREFIX):
        name = text.removeprefix(PREFIX)
        if name not in BUNDLED_WORKLOADS:
            raise MissingError(f"no workload {quoted(name)} ships with Wattshed; {advice(name, BUNDLED_WORKLOADS)}")
        if columns:
            raise UsageError(f"{text} has columns of its own; leave out --column")
        return open_table(BUNDLED / "alpaca" / "pairs.parquet"), BUNDLED_WORKLOADS[name]
    table = open_table(Path(source))
    return table, recognise(table.columns, columns, text)


def _given(layout: Format, path: Path, input_tokens: int | None, output_tokens: int | None) -> Format:
    """The format with the side that a length distribution leaves open set to one number of tokens."""
    given = [tokens for tokens in (input_tokens, output_tokens) if tokens is not None]
    if any(not 1 <= tokens <= MOST_TOKENS for tokens in given):
        raise UsageError(f"--input-tokens and --output-tokens go from 1 to {MOST_TOKENS:,}, got {min(given)}")
    if given and not layout.is_marginal:
        raise UsageError(f"{path} has input and output lengths; leave out --input-tokens and --output-tokens")
    if layout.is_marginal and len(given) != 1:
        raise InputError(
            "holds one distribution of lengths, and a query has two",
            path=path,
            fix="pass --output-tokens N if these are input lengths, or --input-tokens N if they are output lengths",
        )
    return replace(
        layout, input_tokens=input_tokens or layout.input_tokens, output_tokens=output_tokens or layout.output_tokens
    )
