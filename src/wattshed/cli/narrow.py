"""Tables on a terminal of any width: whole where they fit, else intervals under their figures, else row by row.

A table whose columns all shrink at once cuts names and figures into pieces that nobody can read.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from wattshed.cli.frame import table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_table(console: "Console", rows: "Table", *, names: int = 1) -> None:
    """Print a table of texts without breaking one in its midst; the first `names` columns say what a row is of."""
    stacked = _stacked(rows, names)
    whole = next((one for one in (rows, stacked) if _width(console, one) <= console.width), None)
    if whole is not None:
        console.print(whole)
        return
    console.print(rows.title, style="italic")
    for cells in _rows(rows):
        console.print()
        console.print(", ".join(cells[:names]), style="bold")
        console.print(_record(rows, cells, names))
    console.print()


def _width(console: "Console", rows: "Table") -> int:
    """Columns that it takes if no cell is folded."""
    widest = console.options.update(width=10_000)
    return console.measure(rows, options=widest).maximum


def _stacked(rows: "Table", names: int) -> "Table":
    """The same with each half width under its figure."""
    stacked = table(str(rows.title), *(str(column.header) for column in rows.columns), names=names)
    for cells in _rows(rows):
        stacked.add_row(*(cell.replace(" ± ", "\n± ") for cell in cells))
    return stacked


def _record(rows: "Table", cells: list[str], names: int) -> "Table":
    """One row as lines of a header and its figure."""
    from rich.table import Table

    lines = Table.grid(padding=(0, 2))
    for column, cell in list(zip(rows.columns, cells, strict=True))[names:]:
        header = str(column.header).replace("-\n", "").replace("\n", " ")
        lines.add_row(f"  {header}", cell)
    return lines


def _rows(rows: "Table") -> Iterator[list[str]]:
    return (list(map(str, cells)) for cells in zip(*(column.cells for column in rows.columns), strict=True))
