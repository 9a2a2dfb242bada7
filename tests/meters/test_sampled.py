"""Samples: power integrated and interval energies prorated, with gaps and bracketing as reasons."""

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.meter_suite import Bench, MeterSuite
from tests.meters.scripted import AT, ScriptedSource, bench, energy_j, parse, power_w, real_clock_source
from wattshed.domain.energy import MeterChannel
from wattshed.errors import MeterError
from wattshed.meters.meter import Meter, Reading
from wattshed.meters.sampled import Sample, SampledMeter, integrated, prorated
from wattshed.meters.sampler import Sampling
from wattshed.testing import VirtualClock

BOARD = MeterChannel("board", "gpu", "a board")


def parse_power(raw: bytes) -> list[Sample]:
    """Watts of a scripted source."""
    return [Sample(power_w=parse(raw))]


def parse_energy(raw: bytes) -> list[Sample]:
    """Joules of the tenth of a second before the reading."""
    return [Sample(energy_j=parse(raw), duration_s=0.1)]


class TestPower(MeterSuite):
    """A polled power sensor under the suite."""

    @pytest.fixture
    def bench(self) -> Bench:
        """Trapezoids of 0.1 s miss the sine by under a thousandth of its amplitude."""
        clock = VirtualClock(1000.0)
        source = ScriptedSource(clock.now_s, lambda at_s: {"board": power_w(at_s)})
        sampling = Sampling(period_s=None)
        meter = SampledMeter("fake", source, parse_power, [BOARD], sampling=sampling, now_s=clock.now_s)
        return bench(meter, clock, source.fail, slack_j=0.1)

    @pytest.fixture
    def live(self) -> Meter:
        """At 10 Hz."""
        return SampledMeter("fake", real_clock_source(), parse_power, [BOARD])


class TestIntervals(MeterSuite):
    """A source of joules over intervals under the suite."""

    @pytest.fixture
    def bench(self) -> Bench:
        """Each reading brings the joules of the tenth of a second before it."""
        clock = VirtualClock(1000.0)
        source = ScriptedSource(clock.now_s, lambda at_s: {"board": energy_j(at_s) - energy_j(at_s - 0.1)})
        sampling = Sampling(period_s=None)
        meter = SampledMeter("fake", source, parse_energy, [BOARD], sampling=sampling, now_s=clock.now_s)
        return bench(meter, clock, source.fail, slack_j=0.1)


class Stream:
    """A source that says something when told to, like a pipe."""

    def __init__(self) -> None:
        self._readings: list[Reading | None] = []
        self._said = threading.Condition()

    def say(self, at_s: float, raw: bytes = b'{"board": 50}') -> None:
        """Let a reading come."""
        with self._said:
            self._readings.append(Reading(at_s, AT, raw))
            self._said.notify_all()

    def read(self) -> Reading:
        """Wait for the next, or for the end."""
        with self._said:
            self._said.wait_for(lambda: self._readings)
            if self._readings[0] is None:
                raise MeterError("source_failed", "the stream has ended")
            return self._readings.pop(0) or Reading(0.0, AT, b"")

    def close(self) -> None:
        """End it."""
        with self._said:
            self._readings.append(None)
            self._said.notify_all()


def streamed(patience_s: float = 3.0) -> tuple[SampledMeter, Stream]:
    """A meter over a stream, started."""
    stream = Stream()
    sampling = Sampling(period_s=0.0, patience_s=patience_s)
    meter = SampledMeter("fake", stream, parse_power, [BOARD], sampling=sampling, now_s=lambda: 2.0)
    meter.start()
    return meter, stream


def test_a_window_waits_for_the_sample_that_closes_it() -> None:
    """A stream's next sample comes after the stop; the window is answered when it is there."""
    meter, stream = streamed()
    for at_s in (0.0, 1.0, 2.0):
        stream.say(at_s)
    threading.Timer(0.05, stream.say, [3.0]).start()

    window = meter.between(0.5, 2.5)
    meter.close()

    assert [energy.energy_j for energy in window.channels] == [pytest.approx(100.0)]


def test_a_window_does_not_wait_for_ever() -> None:
    """A stalled stream leaves the window unclosed, and that is its reason."""
    meter, stream = streamed(patience_s=0.05)
    stream.say(0.0)

    window = meter.between(0.0, 1.0)
    meter.close()

    assert [energy.reason for energy in window.channels] == ["not_bracketed"]


def test_a_stream_that_nobody_reads_is_not_waited_for() -> None:
    """Before the start a window over a stream is answered at once."""
    meter = SampledMeter("fake", Stream(), parse_power, [BOARD], sampling=Sampling(period_s=0.0))

    assert [energy.reason for energy in meter.between(0.0, 1.0).channels] == ["not_bracketed"]


def test_a_stream_that_ends_is_a_reason() -> None:
    """A window that the stream's end cut off says that the source failed."""
    meter, stream = streamed()
    stream.say(0.0)
    stream.close()

    window = meter.between(0.0, 1.0)
    meter.close()

    assert [energy.reason for energy in window.channels] == ["source_failed"]


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(0, 1000), min_size=3, max_size=30),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_windows_add_up(values: list[float], cuts: tuple[float, float, float]) -> None:
    """However a window is cut, the parts sum to the whole, for power and for interval energies."""
    at_s = [0.25 * tick for tick in range(len(values))]
    start_s, cut_s, stop_s = (cut * at_s[-1] for cut in sorted(cuts))

    for joules in (_integral, _proration):
        whole, first, second = (
            joules(at_s, values, *ends) for ends in ((start_s, stop_s), (start_s, cut_s), (cut_s, stop_s))
        )
        assert first + second == pytest.approx(whole, rel=1e-9, abs=1e-9)


def test_a_straight_line_of_power_is_integrated_exactly() -> None:
    """Trapezoids with interpolated ends: the integral of 10 t from 0.3 to 1.7 s is 14 J."""
    at_s = [0.0, 0.5, 1.0, 1.5, 2.0]

    answer = integrated(at_s, [10 * at for at in at_s], 0.3, 1.7, max_gap_s=1.0)

    assert answer.energy_j == pytest.approx(14.0)


def test_jitter_of_stamps_loses_no_joule() -> None:
    """Intervals of 1 s and 10 J whose stamps come early and late still sum to what was spent."""
    end_s = [1.0, 2.1, 2.9, 4.2, 5.0]

    answer = prorated(end_s, [1.0] * 5, [10.0] * 5, 0.0, 5.0, max_gap_s=1.0)

    assert answer.energy_j == pytest.approx(50.0)


@pytest.mark.parametrize("kind", ["power", "intervals"])
def test_a_dropped_sample_is_a_gap(kind: str) -> None:
    """A hole where a sample should be is a reason, not an estimate."""
    end_s = [1.0, 2.0, 4.0, 5.0]
    if kind == "power":
        answer = integrated(end_s, [10.0] * 4, 1.5, 4.5, max_gap_s=1.5)
    else:
        answer = prorated(end_s, [1.0] * 4, [10.0] * 4, 1.5, 4.5, max_gap_s=5.0)

    assert (answer.energy_j, answer.reason) == (None, "sampling_gap")


@pytest.mark.parametrize(("start_s", "stop_s"), [(-0.1, 2.0), (1.0, 3.1), (7.0, 8.0)])
def test_a_window_needs_samples_on_both_sides(start_s: float, stop_s: float) -> None:
    """Power before the first or after the last sample is unknown."""
    end_s = [1.0, 2.0, 3.0]

    assert integrated(end_s, [1.0] * 3, start_s, stop_s, max_gap_s=2.0).reason == "not_bracketed"
    assert prorated(end_s, [1.0] * 3, [1.0] * 3, start_s, stop_s, max_gap_s=2.0).reason == "not_bracketed"


def test_several_samples_of_one_reading_end_one_after_the_other() -> None:
    """Samples that came together are stamped back from the reading by their durations."""
    source = ScriptedSource(lambda: 10.0, lambda at_s: {"board": 4.0})

    def twice(raw: bytes) -> Sequence[Sample]:
        return [Sample(energy_j=parse(raw), duration_s=duration_s) for duration_s in (2.0, 1.0)]

    meter = SampledMeter("fake", source, twice, [BOARD], sampling=Sampling(period_s=None), now_s=lambda: 10.0)
    meter.mark()

    assert [(sample.at_s, sample.power_w) for sample in meter.power_trace()] == [(9.0, 2.0), (10.0, 4.0)]
    assert meter.between(7.0, 10.0).channels[0].energy_j == pytest.approx(8.0)


def test_joules_need_their_seconds() -> None:
    """An energy without a duration is no sample."""
    with pytest.raises(ValueError, match="seconds"):
        Sample(energy_j={"board": 1.0})


def _integral(at_s: list[float], power: list[float], start_s: float, stop_s: float) -> float:
    answer = integrated(at_s, power, start_s, stop_s, max_gap_s=1.0)
    assert answer.energy_j is not None
    return answer.energy_j


def _proration(end_s: list[float], energies: list[float], start_s: float, stop_s: float) -> float:
    answer = prorated(end_s, [0.25] * len(end_s), energies, start_s, stop_s, max_gap_s=1.0)
    assert answer.energy_j is not None
    return answer.energy_j
