"""Several meters as one: nothing is lost, and nothing counted twice."""

import pytest

from tests.contracts.meter_suite import Bench, MeterSuite
from tests.meters.scripted import ScriptedSource, bench, energy_j, parse
from tests.meters.test_sampled import parse_power
from wattshed.domain.energy import MeterChannel
from wattshed.meters.combined import Combined
from wattshed.meters.counter import CounterChannel, CounterMeter
from wattshed.meters.meter import Meter
from wattshed.meters.sampled import SampledMeter
from wattshed.meters.sampler import Sampling
from wattshed.testing import VirtualClock

ON_DEMAND = Sampling(period_s=None)
PACKAGE = MeterChannel("package-0", "cpu", "a package")
CORE = MeterChannel("core-0", "cpu", "its cores", inside="package-0")


def counter(clock: VirtualClock, watts: float, *channels: MeterChannel) -> CounterMeter:
    """A meter whose channels all count the same constant power."""
    source = ScriptedSource(clock.now_s, lambda at_s: {channel.name: watts * at_s for channel in channels})
    counters = [CounterChannel(channel) for channel in channels]
    return CounterMeter("counter", source, parse, counters, sampling=ON_DEMAND, now_s=clock.now_s)


class TestContract(MeterSuite):
    """A counter and a power sensor together under the suite."""

    @pytest.fixture
    def bench(self) -> Bench:
        """Two meters with one channel each, under the same load."""
        clock = VirtualClock(1000.0)
        sources = [
            ScriptedSource(clock.now_s, lambda at_s: {"board": energy_j(at_s)}),
            ScriptedSource(clock.now_s, lambda at_s: {"plug": 150.0}),
        ]
        board, plug = MeterChannel("board", "gpu", "a board"), MeterChannel("plug", "platform", "all of it")
        meters: list[Meter] = [
            CounterMeter("a", sources[0], parse, [CounterChannel(board)], sampling=ON_DEMAND, now_s=clock.now_s),
            SampledMeter("b", sources[1], parse_power, [plug], sampling=ON_DEMAND, now_s=clock.now_s),
        ]

        def fail() -> None:
            for source in sources:
                source.fail()

        together = bench(Combined(meters), clock, fail, slack_j=1e-6)
        together.energy_j = lambda start_s, stop_s: {
            "board": energy_j(stop_s) - energy_j(start_s),
            "plug": 150 * (stop_s - start_s),
        }
        return together


def test_a_channel_that_two_meters_have_is_the_first_ones() -> None:
    """The package that two meters see is counted once, by the meter that was named first."""
    clock = VirtualClock()
    meter = Combined([counter(clock, 10.0, PACKAGE), counter(clock, 99.0, PACKAGE, CORE)])
    start_s = meter.mark()
    clock.sleep(1.0)

    window = meter.between(start_s, meter.mark())

    assert [(energy.channel.name, energy.energy_j) for energy in window.channels] == [
        ("package-0", 10.0),
        ("core-0", 99.0),
    ]
    assert {sample.power_w for sample in meter.power_trace() if sample.channel == "package-0"} == {10.0}


def test_a_channel_inside_another_is_not_added() -> None:
    """Cores are in their package, whichever meter counts them."""
    clock = VirtualClock()
    meter = Combined([counter(clock, 10.0, PACKAGE), counter(clock, 4.0, CORE)])
    start_s = meter.mark()
    clock.sleep(1.0)

    part = meter.between(start_s, meter.mark()).part("cpu")

    assert part is not None
    assert part.energy_j == 10.0


def test_psys_is_inside_the_plug() -> None:
    """Two meters of the whole machine are not two machines: the plug holds what the processor's counter sees."""
    clock = VirtualClock()
    psys, plug = (MeterChannel(name, "platform", name) for name in ("psys", "plug"))
    meter = Combined([counter(clock, 60.0, psys), counter(clock, 100.0, plug)])
    start_s = meter.mark()
    clock.sleep(1.0)

    part = meter.between(start_s, meter.mark()).part("platform")

    assert part is not None
    assert part.energy_j == 100.0
    assert [channel.inside for channel in meter.channels] == ["plug", None]


def test_each_meter_answers_between_its_own_marks() -> None:
    """Meters are read one after the other; a window takes each one's own readings, not interpolated ones."""
    clocks = VirtualClock(0.0), VirtualClock(0.5)
    meter = Combined([counter(clocks[0], 10.0, PACKAGE), counter(clocks[1], 10.0, CORE)])
    start_s = meter.mark()
    for clock in clocks:
        clock.sleep(1.0)

    window = meter.between(start_s, meter.mark())

    assert (window.started_at_s, window.stopped_at_s) == (0.5, 1.5)
    assert [energy.energy_j for energy in window.channels] == [10.0, 10.0]
