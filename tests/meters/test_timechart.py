"""AMDuProf logs: columns by name, energy by stamps, and a row for everything that is wrong."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.meters.fakes.timechart import COUNTERS, timechart
from tests.meters.scripted import REPOSITORY
from wattshed.errors import InputError
from wattshed.meters.timechart import read_timechart

LOGS = REPOSITORY / ".." / "shared" / "reference" / "formats" / "amduprof"
PREAMBLE_ROWS = len(timechart([]).splitlines())


@pytest.fixture
def log() -> Callable[[str], Path]:
    """A real log by its name."""
    if not LOGS.exists():
        pytest.skip("the reference data are not here")
    return lambda name: LOGS / f"{name}.timechart.csv"


def test_a_real_log_is_integrated_over_its_stamps(log: Callable[[str], Path]) -> None:
    """2,328 records of 2,332: the missing ones are bridged, which a sum of power x 0.1 s would lose."""
    chart = read_timechart(log("llama2-7b"))

    first_s, last_s = chart.at_s[0], chart.at_s[-1]
    joules = [chart.energy(package, first_s, last_s).energy_j for package in chart.packages]
    assert chart.started == datetime(2024, 3, 28, 11, 15, 48, tzinfo=UTC)
    assert (chart.power_w.shape, chart.missing_records) == ((2328, 130), 4)
    assert last_s - first_s == pytest.approx(233.1)
    assert joules == pytest.approx([29_547.267, 46_989.083], abs=0.001)


def test_uncore_of_a_real_log_is_most_of_it(log: Callable[[str], Path]) -> None:
    """Cores draw less than half of what their packages draw, so that billing cores alone bills the lesser part."""
    chart = read_timechart(log("llama2-7b"))

    cores_w, packages_w = (chart.powers_w(part).sum(axis=1) for part in (chart.cores, chart.packages))

    assert len(chart.cores) == 128
    assert float(cores_w.mean() / packages_w.mean()) == pytest.approx(0.46, abs=0.005)


def test_an_aborted_run_is_recognised(log: Callable[[str], Path]) -> None:
    """A header without records is a run that was aborted, and it has no joules."""
    chart = read_timechart(log("aborted"))

    assert chart.aborted
    assert chart.energy("core0-power", 0.0, 1.0).reason == "not_bracketed"


def test_columns_are_found_by_name() -> None:
    """The order of counters is the log's own."""
    raw = timechart(
        [("11:0:0:000", (7.0, 1.0, 2.0))], counters=("core10-power", "socket0-package-power", "core9-power")
    )

    chart = read_timechart(raw)

    assert chart.cores == ("core9-power", "core10-power")
    assert chart.powers_w(chart.cores).tolist() == [[2.0, 7.0]]


def test_stamps_roll_over_at_midnight() -> None:
    """Stamps have no date; the one after 23:59:59 is the next day's."""
    zone = timezone(timedelta(hours=-6))
    raw = timechart([("23:59:59:950", (10.0,) * 3), ("0:0:0:50", (10.0,) * 3)], started="Dec-31-2023_23-59-59")

    chart = read_timechart(raw, zone=zone)

    assert chart.started == datetime(2024, 1, 1, 5, 59, 59, tzinfo=UTC)
    assert np.diff(chart.at_s).tolist() == pytest.approx([0.1])


def test_a_long_hole_is_a_gap() -> None:
    """A missing record or two are bridged, a second without any is not."""
    raw = timechart([("11:0:0:0", (10.0,) * 3), ("11:0:0:300", (10.0,) * 3), ("11:0:1:300", (10.0,) * 3)])

    chart = read_timechart(raw)

    assert chart.energy(COUNTERS[0], 0.0, 0.3).energy_j == pytest.approx(3.0)
    assert chart.energy(COUNTERS[0], 0.0, 1.3).reason == "sampling_gap"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("2,11:0:0:100,185,28,4,77,1,0", "expected 5 fields, found 8; cut off, or a decimal comma"),
        ("2,11:0:0:100,10.0", "expected 5 fields, found 3"),
        ("2,11:0:0:100,nan,1.0,1.0", "negative or not finite"),
        ("2,11:0:0:100,-1.0,1.0,1.0", "negative or not finite"),
        ("2,11:0:0:100,ten,1.0,1.0", "not a number in record 2"),
        ("2,11:0:0,1.0,1.0,1.0", "not a number in record 2"),
        ("2,10:59:59:900,1.0,1.0,1.0", "stamp 10:59:59:900 is before 11:00:00.000000"),
    ],
)
def test_a_bad_record_is_named_by_its_row(row: str, problem: str) -> None:
    """Decimal commas, cut lines, NaN and a clock that was set back stop the reading, with the row."""
    raw = timechart([("11:0:0:000", (10.0,) * 3)]) + f"{row}\n".encode()

    with pytest.raises(InputError, match=problem) as caught:
        read_timechart(raw)

    assert caught.value.row == PREAMBLE_ROWS + 2


def test_what_is_no_timechart_is_refused() -> None:
    """Anything else is not read as an empty log."""
    with pytest.raises(InputError, match="AMDuProf timechart"):
        read_timechart(b"timestamp,power\n1,2\n")


@given(st.integers(0, 200), st.lists(st.floats(0, 400), min_size=2, max_size=6))
@settings(deadline=None, max_examples=50)
def test_a_cut_log_is_a_shorter_log(cut: int, powers_w: list[float]) -> None:
    """Wherever a log ends, the whole records before the cut are read as they were."""
    raw = timechart([(f"11:0:{second}:0", (power_w,) * 3) for second, power_w in enumerate(powers_w)])
    whole = read_timechart(raw)
    header = len(timechart([]))

    part = read_timechart(raw[: max(header, len(raw) - cut)])

    kept = len(part.at_s)
    assert part.power_w.tolist() == whole.power_w[:kept].tolist()
    assert part.at_s.tolist() == whole.at_s[:kept].tolist()
