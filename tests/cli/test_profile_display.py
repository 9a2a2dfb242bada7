"""Live progress of a campaign, on terminals of several widths and in a file."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.profiler.cases import campaign, journalled, world
from wattshed.cli.profile_display import Display
from wattshed.profiler.campaign import Campaign, Earlier, run
from wattshed.profiler.design import Design, Shape
from wattshed.profiler.journal import FILE, read_journal
from wattshed.profiler.stopping import Fixed
from wattshed.testing import Failures

LONG = Campaign(
    Design("paper-output", (Shape(2048, 4096, 128), Shape(2048, 8))), Fixed(12), idle_s=1.0, cell_timeout_s=1e6
)


def screens(plan: Campaign, width: int, *, earlier: Earlier | None = None, **faults: object) -> list[str]:
    """What stands on a terminal of so many columns after each event, without colours."""
    return list(_screens(plan, Console(file=io.StringIO(), force_terminal=True, width=width), earlier, faults))


def _screens(plan: Campaign, console: Console, earlier: Earlier | None, faults: dict[str, object]) -> Iterator[str]:
    at, file = world(**faults), console.file  # type: ignore[arg-type]  # whatever the test wants to go wrong
    assert isinstance(file, io.StringIO)
    with Display(console, plan, earlier or Earlier()) as display:
        for event in run(plan, at.bench, earlier=earlier):
            file.seek(0)
            file.truncate()
            display.update(event)
            yield re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue()).replace("\r", "")


@pytest.mark.parametrize("width", [60, 80])
def test_everything_fits(width: int) -> None:
    """On 60 columns already: visits, time gone and left, cell, window, watts, both means and half-widths, uncut."""
    seen = screens(LONG, width)

    window = next(screen for screen in seen if "window 12" in screen and "4096" in screen)
    assert "…" not in "".join(seen)
    assert max(len(line) for screen in seen for line in screen.splitlines()) <= width
    for pattern in (
        r"\d/4 ",
        r"0:\d\d:\d\d gone",
        r"[\d:-]+ left",
        r"paper-output \(2048, 4096\) x 128: window 12, \d+ W",
    ):
        assert re.search(pattern, window)
    assert re.search(r"[\d.]+ s \+-\d\.\d %, [\d.e+]+ J \+-\d\.\d %", window)


def test_the_bar_knows_what_is_left_within_the_first_cell() -> None:
    """Windows move the bar, so time left is known before a first cell of an hour is over."""
    seen = screens(campaign(stopping=Fixed(9)), 80)

    first = [screen for screen in seen if re.search(r"small .*window [3-9]", screen) and " 1/7 " in screen]
    assert first
    assert "-:--:-- left" not in first[-1]


def test_a_resumed_campaign_begins_where_it_was(tmp_path: Path) -> None:
    """Visits that are over count as over, and a cell that was broken off goes on with its windows."""
    plan = campaign()
    journalled(tmp_path, plan, world(), events=9)

    seen = screens(plan, 80, earlier=read_journal(tmp_path / FILE).earlier("host-00000001"))

    assert " 1/7 " in seen[0]
    assert "window 2" in next(screen for screen in seen if "window" in screen)


def test_failures_stay_on_the_screen() -> None:
    """A cell that failed leaves a line with its reason."""
    seen = screens(campaign(), 80, failures=Failures(max_total_tokens=100))

    assert any("small (64, 64): out_of_memory, 128 tokens, and 100 fit" in screen for screen in seen)


def test_time_that_is_up_is_told_once() -> None:
    """Cells that nobody began are no failures; the display says that the time is up."""
    seen = screens(campaign(timeout_s=40.0), 80)

    assert any("time is up" in screen for screen in seen)
    assert not any("campaign_timeout" in screen for screen in seen)


def test_a_file_gets_a_line_a_cell() -> None:
    """Where stderr is no terminal, each visit leaves one line, and nothing is drawn."""
    file, plan = io.StringIO(), campaign()
    with Display(Console(file=file, width=80), plan, Earlier()) as display:
        for event in run(plan, world().bench):
            display.update(event)

    lines = file.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == [f"{number}/7" for number in range(1, 8)]
    assert re.fullmatch(r"1/7 reference \(8, 8\): [\d.]+ s \+-[\d.]+ %, \d+ J \+-[\d.]+ %", lines[0])
