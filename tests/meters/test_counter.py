"""Counters: differences are exact through a wrap, and everything else that falls, stops or is unseen is a reason."""

import time
from itertools import pairwise
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.meter_suite import Bench, MeterSuite
from tests.meters.scripted import ScriptedSource, bench, energy_j, parse, real_clock_source
from wattshed.domain.energy import MeterChannel
from wattshed.meters.counter import CounterChannel, CounterMeter, counted
from wattshed.meters.meter import Meter
from wattshed.meters.sampler import Sampling
from wattshed.testing import VirtualClock

BOARD = CounterChannel(MeterChannel("board", "gpu", "a board"))
ON_DEMAND = Sampling(period_s=None, max_gap_s=30.0)
RANGE_J = 262_143.328850


def reason(at_s: list[float], counter_j: list[float], wraps_at_j: float | None = None) -> str | None:
    """Why the window over all these readings has no joules."""
    return counted(at_s, counter_j, at_s[0], at_s[-1], wraps_at_j=wraps_at_j, max_gap_s=30.0).reason


class TestContract(MeterSuite):
    """The counter meter under the suite."""

    @pytest.fixture
    def bench(self) -> Bench:
        """A counter that knows its joules to the last bit."""
        clock = VirtualClock(1000.0)
        source = ScriptedSource(clock.now_s, lambda at_s: {"board": energy_j(at_s)})
        meter = CounterMeter("fake", source, parse, [BOARD], sampling=ON_DEMAND, now_s=clock.now_s)
        return bench(meter, clock, source.fail, slack_j=1e-6)

    @pytest.fixture
    def live(self) -> Meter:
        """At 10 Hz."""
        return CounterMeter("fake", real_clock_source(), parse, [BOARD])


@settings(max_examples=50, deadline=None)
@given(
    steps_j=st.lists(st.floats(0.01, 100.0), min_size=4, max_size=40),
    start_j=st.floats(0, RANGE_J),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_windows_add_up_across_a_wrap(steps_j: list[float], start_j: float, cuts: tuple[float, float, float]) -> None:
    """However a window is cut, and wherever the counter wraps, the parts sum to the whole."""
    at_s, counter_j = [0.0], [RANGE_J - 50.0 if start_j > RANGE_J / 2 else start_j]
    for step_j in steps_j:
        at_s.append(at_s[-1] + 0.1)
        counter_j.append((counter_j[-1] + step_j) % RANGE_J)
    start_s, cut_s, stop_s = (cut * at_s[-1] for cut in sorted(cuts))

    whole, first, second = (
        counted(at_s, counter_j, *ends, wraps_at_j=RANGE_J, max_gap_s=1.0).energy_j or 0.0
        for ends in ((start_s, stop_s), (start_s, cut_s), (cut_s, stop_s))
    )

    assert first + second == pytest.approx(whole, rel=1e-6, abs=1e-6)
    assert counted(at_s, counter_j, 0.0, at_s[-1], wraps_at_j=RANGE_J, max_gap_s=1.0).energy_j == pytest.approx(
        sum(steps_j), rel=1e-6
    )


def test_a_wrap_is_exact() -> None:
    """A counter that starts again from 0 at its range loses no joule."""
    answer = counted([0.0, 0.1, 0.2], [RANGE_J - 10, 5.0, 20.0], 0.0, 0.2, wraps_at_j=RANGE_J, max_gap_s=1.0)

    assert answer.energy_j == pytest.approx(30.0)


@pytest.mark.parametrize("wraps_at_j", [None, RANGE_J])
def test_a_falling_counter_was_reset(wraps_at_j: float | None) -> None:
    """A fall is a reset where the counter never wraps, or where the wrap would have taken megawatts."""
    assert reason([0.0, 0.1, 0.2], [100_000.0, 3.0, 20.0], wraps_at_j) == "counter_reset"


def test_a_gap_that_could_hide_two_wraps_is_ambiguous() -> None:
    """At 2 kW a range of 262 kJ is passed in 131 s; a difference over 132 s may be any multiple of it more."""
    answer = counted([0.0, 132.0], [0.0, 5000.0], 0.0, 132.0, wraps_at_j=RANGE_J, max_gap_s=1000.0)

    assert answer.reason == "wrap_ambiguous"


def test_readings_too_far_apart_are_a_gap() -> None:
    """What happened between readings further apart than allowed was not seen."""
    assert reason([0.0, 31.0], [0.0, 50.0]) == "sampling_gap"


@pytest.mark.parametrize(("start_s", "stop_s"), [(-0.1, 1.0), (0.0, 2.1), (-1.0, 3.0), (5.0, 6.0)])
def test_a_window_needs_a_reading_on_both_sides(start_s: float, stop_s: float) -> None:
    """A window that reaches beyond the readings has no joules."""
    answer = counted([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], start_s, stop_s, wraps_at_j=None, max_gap_s=5.0)

    assert (answer.energy_j, answer.reason) == (None, "not_bracketed")


def test_a_counter_that_stands_still_is_frozen() -> None:
    """Longer than the quiet time without a joule is a frozen counter, wherever in the window."""
    at_s = [0.1 * tick for tick in range(31)]

    assert reason(at_s, [7.0] * 31) == "counter_frozen"
    assert reason(at_s, [float(min(tick, 15)) for tick in range(31)]) == "counter_frozen"


def test_a_short_window_in_a_long_standstill_is_frozen_too() -> None:
    """A window shorter than the quiet time is judged by how long the counter has stood still before it."""
    at_s = [0.1 * tick for tick in range(31)]

    answer = counted(at_s, [7.0] * 31, 2.5, 2.8, wraps_at_j=None, max_gap_s=5.0)

    assert answer.reason == "counter_frozen"


def test_a_window_without_movement_never_counts_zero() -> None:
    """Between two updates of a live counter nothing was seen: the window is too short, which is not 0 J."""
    at_s, counter_j = [0.0, 0.1, 0.15, 0.2], [0.0, 10.0, 10.0, 20.0]

    answers = [counted(at_s, counter_j, start_s, 0.15, wraps_at_j=None, max_gap_s=5.0) for start_s in (0.1, 0.05, 0.15)]

    assert [(answer.energy_j, answer.reason) for answer in answers] == [
        (None, "window_too_short"),
        (5.0, None),
        (0.0, None),
    ]


def test_a_channel_that_vanishes_fails_alone() -> None:
    """When one of two counters is gone, its own window has the reason and the other's has joules."""
    clock = VirtualClock()
    both = [CounterChannel(MeterChannel(name, "cpu", name)) for name in ("one", "two")]
    source = ScriptedSource(clock.now_s, lambda at_s: {"one": at_s} | ({"two": at_s} if at_s < 2.5 else {}))
    meter = CounterMeter("fake", source, parse, both, sampling=ON_DEMAND, now_s=clock.now_s)

    marks_s = [meter.mark() for _ in range(5) if clock.sleep(1.0) is None]
    window = meter.between(marks_s[0], marks_s[-1])

    assert [(energy.energy_j, energy.reason) for energy in window.channels] == [(4.0, None), (None, "source_failed")]


@pytest.mark.parametrize("gone", ["permission", "source_failed"])
def test_a_source_that_fails_says_why(gone: str) -> None:
    """The reason of a window without readings is the source's own."""
    clock = VirtualClock()
    source = ScriptedSource(clock.now_s, lambda at_s: {"board": at_s}, gone=gone)
    meter = CounterMeter("fake", source, parse, [BOARD], sampling=ON_DEMAND, now_s=clock.now_s)

    window = meter.between(meter.mark(), meter.mark())

    assert [energy.reason for energy in window.channels] == [gone]


def test_a_source_that_fails_in_the_background_breaks_nothing() -> None:
    """The thread outlives every failure, keeps each as a reason, and ends when the meter is closed."""
    source = ScriptedSource(time.monotonic, lambda at_s: {"board": at_s}, gone="permission")
    meter = CounterMeter("fake", source, parse, [BOARD], sampling=Sampling(period_s=0.01))

    meter.start()
    Event().wait(0.35)
    meter.close()

    assert {failure.reason for failure in meter.feed.failures} == {"permission"}
    assert len(meter.feed.failures) > 1
    assert source.closed == 1


@pytest.mark.parametrize("torn", [float("nan"), "5,3"])
def test_what_is_no_number_is_malformed(torn: object) -> None:
    """A NaN or a decimal comma is a reading that nobody understood, and no joules."""
    clock = VirtualClock()
    source = ScriptedSource(clock.now_s, lambda at_s: {"board": torn})  # type: ignore[dict-item]  # the fault
    meter = CounterMeter("fake", source, parse, [BOARD], sampling=ON_DEMAND, now_s=clock.now_s)

    window = meter.between(meter.mark(), meter.mark())

    assert [energy.reason for energy in window.channels] == ["malformed"]


def test_a_clock_that_goes_back_is_a_reason() -> None:
    """Readings stamped before those already kept are left out, and the gap they leave says why."""
    stamps_s = iter([100.0, 101.0, 40.0, 41.0, 42.0])
    source = ScriptedSource(lambda: next(stamps_s), lambda at_s: {"board": at_s})
    meter = CounterMeter("fake", source, parse, [BOARD], sampling=ON_DEMAND, now_s=lambda: 102.0)

    for _ in range(4):
        meter.mark()

    assert [energy.reason for energy in meter.between(100.0, 102.0).channels] == ["clock_step"]


def test_the_trace_without_a_sensor_is_the_mean_power_between_readings() -> None:
    """A counter's differences are powers too."""
    clock = VirtualClock()
    source = ScriptedSource(clock.now_s, lambda at_s: {"board": 5 * at_s})
    meter = CounterMeter("fake", source, parse, [BOARD], sampling=ON_DEMAND, now_s=clock.now_s)
    marks_s = [meter.mark() for _ in range(3) if clock.sleep(0.5) is None]

    trace = meter.power_trace()

    assert [sample.at_s for sample in trace] == marks_s[1:]
    assert [sample.power_w for sample in trace] == [5.0, 5.0]
    assert all(after > before for before, after in pairwise(marks_s))


def test_the_trace_of_a_counter_that_stands_still_is_empty() -> None:
    """A counter that a virtual machine shows but nothing feeds tells no power, and never 0 W."""
    clock = VirtualClock()
    psys = CounterChannel(MeterChannel("psys", "platform", "a platform"))
    source = ScriptedSource(clock.now_s, lambda _: {"psys": 0.0})
    meter = CounterMeter("fake", source, parse, [psys], sampling=ON_DEMAND, now_s=clock.now_s)

    for _ in range(5):
        clock.sleep(0.1)
        meter.mark()

    assert meter.power_trace() == ()
