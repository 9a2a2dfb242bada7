"""The certificate says what a meter can do here, or why it cannot be had."""

from pathlib import Path

import pytest

from tests.meters.fake_nvml import Board, FakeNvml
from tests.meters.scripted import ScriptedSource, parse
from tests.meters.test_sampled import BOARD, Stream, parse_power
from wattshed.domain.energy import MeterChannel
from wattshed.meters.certificate import Certificate, certify, counter_to_integral, smallest_step, update_period_s
from wattshed.meters.counter import CounterChannel, CounterMeter
from wattshed.meters.meter import Absent, Meter
from wattshed.meters.nvml import find, meter_over
from wattshed.meters.replay import Recorder, ReplaySource, read_recording
from wattshed.meters.sampled import SampledMeter
from wattshed.meters.sampler import Sampling
from wattshed.testing import VirtualClock

ON_DEMAND = Sampling(period_s=None, max_gap_s=30.0)


def certified(meter: Meter, clock: VirtualClock) -> Certificate:
    """Its certificate, after ten virtual seconds."""
    return certify(meter, duration_s=10.0, now_s=clock.now_s, sleep=clock.sleep)


def nvml_meter(clock: VirtualClock, *boards: Board) -> Meter:
    """A meter of some boards, which is there."""
    meter = find(nvml=FakeNvml(*boards, now_s=clock.now_s), sampling=ON_DEMAND, now_s=clock.now_s)
    assert not isinstance(meter, Absent)
    return meter


def test_an_absent_meter_says_why_and_what_to_do() -> None:
    """Reason and remedy stand in the certificate of a meter that cannot be had."""
    certificate = certify(Absent("rapl", "permission", "run as root"))

    assert certificate == Certificate("rapl", available=False, reason="permission", remedy="run as root")


def test_a_counter_is_certified() -> None:
    """Update period, step, agreement with the power sensor and power at rest are those of the scripted board."""
    clock = VirtualClock(1000.0)

    certificate = certified(nvml_meter(clock, Board(0)), clock)

    channel = certificate.channels[0]
    assert (certificate.available, channel.method, channel.reason) == (True, "counter", None)
    assert channel.update_period_s == pytest.approx(0.1, abs=0.006)
    assert channel.energy_step_j == pytest.approx(10, rel=0.5)
    assert channel.counter_to_integral == pytest.approx(1, abs=0.02)
    assert channel.consistent
    assert channel.idle is not None
    assert channel.idle.half_width_w is not None
    assert abs(channel.idle.power_w - 150) < 50
    assert certificate.watched_s == pytest.approx(10.0)


def test_a_counter_that_disagrees_with_its_sensor_is_flagged() -> None:
    """A counter that sees a tenth more than its own power sensor is not consistent; its joules stay as they are."""
    clock = VirtualClock(1000.0)

    channel = certified(nvml_meter(clock, Board(0, gain=1.1)), clock).channels[0]

    assert channel.counter_to_integral == pytest.approx(1.1, abs=0.02)
    assert channel.consistent is False


def test_a_frozen_counter_has_its_reason_and_no_idle_power() -> None:
    """What did not answer is `None` in the certificate, and never 0."""
    clock = VirtualClock(1000.0)

    channel = certified(nvml_meter(clock, Board(0, frozen_from_s=0.0)), clock).channels[0]

    assert (channel.reason, channel.update_period_s, channel.counter_to_integral) == ("counter_frozen", None, None)
    assert channel.idle is None


@pytest.mark.parametrize(("falls_w_per_s", "settled"), [(0.0, True), (0.3, True), (1.5, False)])
def test_power_that_still_falls_is_not_settled(falls_w_per_s: float, settled: bool) -> None:
    """By hand: 80 W that falls by 1.5 W a second drops by 7.5 W from one half of ten seconds to the other, over 5 %."""
    clock = VirtualClock()
    board = CounterChannel(MeterChannel("board", "gpu", "a board"))
    source = ScriptedSource(clock.now_s, lambda at_s: {"board": 80.0 * at_s - falls_w_per_s * at_s**2 / 2})
    meter = CounterMeter("fake", source, parse, [board], sampling=ON_DEMAND, now_s=clock.now_s)

    channel = certified(meter, clock).channels[0]

    assert channel.settled is settled
    assert channel.idle is not None
    assert channel.idle.drift_w == pytest.approx(-5 * falls_w_per_s)


def test_a_power_sensor_has_a_step_in_watts_and_nothing_to_compare() -> None:
    """An integral is not held against itself."""
    clock = VirtualClock()
    source = ScriptedSource(clock.now_s, lambda at_s: {"board": float(int(at_s * 2))})
    meter = SampledMeter("fake", source, parse_power, [BOARD], sampling=Sampling(period_s=None), now_s=clock.now_s)

    channel = certified(meter, clock).channels[0]

    assert (channel.method, channel.energy_step_j, channel.counter_to_integral) == ("integral", None, None)
    assert channel.power_step_w == 1.0


def test_a_stream_is_not_asked() -> None:
    """What answers when it likes has no cost of a reading."""
    clock, stream = VirtualClock(), Stream()
    sampling = Sampling(period_s=0.0, patience_s=0.01)
    meter = SampledMeter("fake", stream, parse_power, [BOARD], sampling=sampling, now_s=clock.now_s)

    certificate = certified(meter, clock)
    meter.close()

    assert certificate.read_cost_s is None


def test_a_certificate_can_be_had_again_from_a_recording(tmp_path: Path) -> None:
    """Bytes and clocks alone give the same update period, step and agreement."""
    clock, path = VirtualClock(1000.0), tmp_path / "nvml.jsonl"
    nvml = FakeNvml(Board(0), now_s=clock.now_s)
    with path.open("wb") as file:
        meter = find(nvml=nvml, tap=lambda source: Recorder(source, file), sampling=ON_DEMAND, now_s=clock.now_s)
        assert isinstance(meter, CounterMeter)
        channel = certified(meter, clock).channels[0]

    recording = read_recording(path)
    source = ReplaySource(recording)
    again = meter_over(source, source.read(), sampling=ON_DEMAND, now_s=source.now_s)
    assert isinstance(again, CounterMeter)
    while again.feed.pull() is not None:
        pass

    at_s, counter_j = again.readings("gpu0")
    window = again.between(1000.1, 1009.9)
    ratio = counter_to_integral(window.channels[0].energy_j or 0.0, again.power_trace(), window)
    assert update_period_s(at_s, counter_j) == channel.update_period_s
    assert smallest_step(counter_j) == channel.energy_step_j
    assert ratio == pytest.approx(channel.counter_to_integral, abs=0.02)


def test_the_period_is_that_of_the_counter_and_not_of_the_sampling() -> None:
    """A counter that ticks every 20 ms, watched at 10 Hz for long and asked fast for a while, has a period of 20 ms."""
    watched_s = [tenth / 10 for tenth in range(150)]
    at_s = watched_s + [15 + step * 0.005 for step in range(400)]

    period_s = update_period_s(at_s, [at // 0.02 for at in at_s])

    assert period_s == pytest.approx(0.02, abs=0.006)


def test_too_few_changes_have_no_period() -> None:
    """A value that changed three times has no period worth stating."""
    assert update_period_s([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]) is None
    assert smallest_step([4.0, 4.0]) is None
