"""The fakes that ship: a clock that is told the time, and a meter that knows the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.meter_suite import Bench, MeterSuite
from wattshed.domain.energy import Part
from wattshed.engines.engine import Engine, Request
from wattshed.meters.meter import Meter
from wattshed.testing import Sensor, SyntheticEngine, SyntheticMeter, TrueCost, VirtualClock, Work

instants = st.integers(0, 100).map(lambda tenths: tenths / 10)
spans = st.lists(instants, unique=True, max_size=10).map(sorted)


def joules(meter: Meter, start_s: float, stop_s: float, part: Part = "gpu") -> float | None:
    """Energy of one part over a window."""
    energy = meter.between(start_s, stop_s).part(part)
    return None if energy is None else energy.energy_j


def at_ten(work: list[Work], **settings: float) -> SyntheticMeter:
    """A meter that has counted from 0 s to 10 s."""
    clock = VirtualClock()
    meter = SyntheticMeter(clock.now_s, work, **settings)
    meter.start()
    clock.sleep(10.0)
    return meter


def test_a_window_around_a_request_holds_exactly_its_joules() -> None:
    """Between the marks before and after a request stands what the request cost, and idle is none of it."""
    clock = VirtualClock()
    engine: Engine = SyntheticEngine(lambda _: TrueCost(123.4, 5.6), now_s=clock.now_s, sleep=clock.sleep)
    meter: Meter = SyntheticMeter(clock.now_s, engine.work, idle_power_w=50.0)  # type: ignore[attr-defined]  # ours
    engine.load()
    meter.start()

    start_s = meter.mark()
    engine.generate(Request(8, 8))
    stop_s = meter.mark()

    assert joules(meter, start_s, stop_s) == pytest.approx(123.4, rel=1e-12)


@settings(deadline=None, max_examples=50)
@given(spans, instants, instants, instants)
def test_windows_add_up(ends: list[float], a_s: float, b_s: float, c_s: float) -> None:
    """Two windows side by side hold the joules of the one that covers both, wherever they are cut."""
    work = [Work(start, stop, 7.0) for start, stop in zip(ends[::2], ends[1::2], strict=False)]
    meter = at_ten(work, idle_power_w=3.0)
    first_s, middle_s, last_s = sorted((a_s, b_s, c_s))

    parts = (joules(meter, first_s, middle_s) or 0.0) + (joules(meter, middle_s, last_s) or 0.0)

    assert joules(meter, first_s, last_s) == pytest.approx(parts, abs=1e-9)


def test_idle_is_counted_between_the_work() -> None:
    """A window without work holds idle power times its length; with work, idle only for the rest."""
    meter = at_ten([Work(2.0, 4.0, 100.0)], idle_power_w=10.0)

    assert joules(meter, 5.0, 10.0) == pytest.approx(50)
    assert joules(meter, 0.0, 10.0) == pytest.approx(100 + 80)
    assert joules(meter, 3.0, 5.0) == pytest.approx(50 + 10)


def test_shares_split_the_joules_over_parts() -> None:
    """Each part sees its share, and together they see everything."""
    clock = VirtualClock()
    meter = SyntheticMeter(clock.now_s, [Work(0.0, 1.0, 100.0)], shares={"gpu": 0.75, "cpu": 0.25})
    meter.start()
    clock.sleep(1.0)

    assert (joules(meter, 0.0, 1.0), joules(meter, 0.0, 1.0, "cpu")) == (75.0, 25.0)


def test_a_sensor_is_wrong_by_its_gain_and_says_how_wrong_it_may_be() -> None:
    """Every joule is multiplied; the stated uncertainty is that of a rectangle, tolerance over root three."""
    clock = VirtualClock()
    meter = SyntheticMeter(clock.now_s, [Work(0.0, 1.0, 100.0)], sensor=Sensor(gain=1.04, tolerance=0.05))
    meter.start()
    clock.sleep(1.0)

    energy = meter.between(0.0, 1.0).part("gpu")

    assert energy is not None
    assert energy.energy_j == pytest.approx(104)
    assert energy.channel.sensor_uncertainty == pytest.approx(0.05 / 3**0.5)


def test_a_sensor_without_a_stated_tolerance_is_unknown() -> None:
    """Whose maker states nothing is of unknown uncertainty, whatever its gain; it is not exact."""
    meter = SyntheticMeter(VirtualClock().now_s, [], sensor=Sensor(gain=1.04, tolerance=None))

    assert [channel.sensor_uncertainty for channel in meter.channels] == [None]


def test_sensors_are_drawn_from_their_tolerance() -> None:
    """Gains fill 1 +- tolerance evenly, so that their standard deviation is the one that is stated."""
    rng = np.random.default_rng(0)
    gains = np.array([Sensor.drawn(0.05, rng).gain for _ in range(4000)])

    assert 0.95 <= gains.min() <= gains.max() <= 1.05
    assert gains.std() == pytest.approx(0.05 / 3**0.5, rel=0.03)


@pytest.mark.parametrize(("start_s", "stop_s"), [(0.5, 2.0), (2.0, 20.0)])
def test_outside_of_what_it_saw_it_says_so(start_s: float, stop_s: float) -> None:
    """A window that begins before the start, or ends in the future, has a reason and no joules."""
    clock = VirtualClock(at_s=1.0)
    meter = SyntheticMeter(clock.now_s, [])
    assert meter.between(1.0, 1.0).channels[0].reason == "not_bracketed"
    meter.start()
    clock.sleep(9.0)

    assert meter.between(start_s, stop_s).channels[0].reason == "not_bracketed"


class TestContract(MeterSuite):
    """The synthetic meter is a meter like any other."""

    @pytest.fixture
    def bench(self) -> Bench:
        """20 W of idle and one piece of work, seen by two parts; closing is the only way to lose the source."""
        clock = VirtualClock()
        shares: dict[Part, float] = {"gpu": 0.75, "cpu": 0.25}
        meter = SyntheticMeter(clock.now_s, [Work(2.0, 4.0, 100.0)], idle_power_w=20.0, shares=shares)

        def truth(start_s: float, stop_s: float) -> dict[str, float]:
            work_s = max(min(stop_s, 4.0) - max(start_s, 2.0), 0.0)
            energy_j = 50 * work_s + 20 * (stop_s - start_s - work_s)
            return {"synthetic-gpu": 0.75 * energy_j, "synthetic-cpu": 0.25 * energy_j}

        return Bench(meter, clock.sleep, truth, meter.close)


def test_the_trace_shows_the_power_of_the_work() -> None:
    """Each piece of work has its power at both ends."""
    trace = at_ten([Work(2.0, 4.0, 100.0)]).power_trace()

    assert [(sample.at_s, sample.power_w) for sample in trace] == [(2.0, 50.0), (4.0, 50.0)]


def test_time_does_not_run_backwards() -> None:
    """A clock is only ever told to go on."""
    with pytest.raises(ValueError, match="backwards"):
        VirtualClock().sleep(-1.0)
