"""Tables of figures with intervals, on terminals of any width."""

import pytest
from rich.console import Console
from rich.table import Table

from wattshed.cli.frame import table
from wattshed.cli.narrow import print_table

CELLS = ["least-cost", "arrival to the first token", "0.0948 ± 0.21", "0.0136 ± 0.00088", "3,000"]


def figures() -> Table:
    """Two rows with a name of two parts."""
    rows = table("Times", "policy", "from", "mean\ns", "p50\ns", "com-\npleted", names=2)
    rows.add_row(*CELLS)
    rows.add_row("all-to:h100", *CELLS[1:])
    return rows


def printed(columns: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on a terminal of this width."""
    print_table(Console(width=columns, markup=False), figures(), names=2)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("columns", [40, 60, 72, 80, 100, 200])
def test_no_name_and_no_figure_is_cut(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    """However narrow: names stand whole on a line, and so do a figure and its half width."""
    lines = printed(columns, capsys)

    assert all(len(line) <= columns for line in lines)
    for whole in ("all-to:h100", "arrival to the first token", "0.0136", "± 0.00088", "3,000"):
        assert any(whole in line for line in lines), whole


def test_where_there_is_room_it_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """A row is a line as long as lines are wide enough, then half widths go under their figures."""
    wide, narrower = printed(200, capsys), printed(72, capsys)

    assert any(line.split() == " ".join(CELLS).split() for line in wide)
    assert [line.split() for line in narrower if "±" in line] == [["±", "0.21", "±", "0.00088"]] * 2


def test_where_there_is_none_each_row_has_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Names first, then a line for each figure, with the words of its header in one piece."""
    lines = [line.rstrip() for line in printed(60, capsys)]

    first = lines.index("least-cost, arrival to the first token")
    assert lines[first + 1 : first + 4] == [
        "  mean s     0.0948 ± 0.21",
        "  p50 s      0.0136 ± 0.00088",
        "  completed  3,000",
    ]
