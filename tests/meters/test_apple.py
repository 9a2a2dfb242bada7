"""Apple chips without root: cumulative counters by field, and none for what the chip lacks."""

import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.contracts.meter_suite import Bench, MeterSuite
from tests.meters.scripted import bench, energy_j
from wattshed.meters import apple
from wattshed.meters.meter import Absent, Meter
from wattshed.meters.sampler import Sampling
from wattshed.testing import VirtualClock

ON_DEMAND = Sampling(period_s=None, max_gap_s=30.0)


class Monitor:
    """Stands in for the library's class, on a chip without a counter of its memory; made by calling it."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self.gone = False
        self.off: set[str] = set()

    def __call__(self) -> "Monitor":
        """The monitor, once."""
        return self

    def get_cumulative_energy(self) -> object:
        """Millijoules since some start, by field."""
        if self.gone:
            raise RuntimeError("no IOReport channel")
        counted_mj = energy_j(self._now_s()) * 1000
        fields = ("cpu_total_mj", "gpu_mj", "gpu_sram_mj", "ane_mj")
        counted = {field: 0.0 if field in self.off else counted_mj for field in fields}
        return SimpleNamespace(**counted, dram_mj=None, efficiency_cores_mj=[1, 2])


class TestContract(MeterSuite):
    """The counters under the suite."""

    @pytest.fixture
    def bench(self) -> Bench:
        """Exact millijoules."""
        clock = VirtualClock(1000.0)
        monitor = Monitor(clock.now_s)
        meter = apple.find(monitor=monitor, sampling=ON_DEMAND, now_s=clock.now_s)
        assert not isinstance(meter, Absent)

        def fail() -> None:
            monitor.gone = True

        return bench(meter, clock, fail, slack_j=1e-6)

    @pytest.fixture
    def live(self) -> Meter:
        """At 10 Hz."""
        meter = apple.find(monitor=Monitor(time.monotonic))
        assert not isinstance(meter, Absent)
        return meter


def test_a_counter_that_the_chip_lacks_is_no_channel() -> None:
    """What is `None` is not there, and not zero."""
    meter = apple.find(monitor=Monitor(time.monotonic))

    assert not isinstance(meter, Absent)
    assert [channel.name for channel in meter.channels] == ["apple-cpu", "apple-gpu", "apple-gpu-sram", "apple-ane"]


def test_a_part_that_is_off_has_used_nothing() -> None:
    """A Neural Engine that nobody uses stands at 0 J, and is not taken for a frozen counter."""
    clock = VirtualClock(1000.0)
    monitor = Monitor(clock.now_s)
    monitor.off = {"ane_mj", "cpu_total_mj"}
    meter = apple.find(monitor=monitor, sampling=ON_DEMAND, now_s=clock.now_s)
    assert not isinstance(meter, Absent)
    start_s = meter.mark()
    for _ in range(30):
        clock.sleep(0.1)
        stop_s = meter.mark()

    energies = {energy.channel.name: energy for energy in meter.between(start_s, stop_s).channels}

    assert energies["apple-ane"].energy_j == 0.0
    assert energies["apple-cpu"].reason == "counter_frozen"


def test_elsewhere_it_is_not_installed() -> None:
    """Without the library there is no meter, and the remedy is one command."""
    if sys.platform == "darwin":
        pytest.skip("the library may be here")
    absent = apple.find()

    assert isinstance(absent, Absent)
    assert absent.reason == "not_installed"
    assert "pip install 'wattshed[apple]'" in absent.remedy


def test_a_chip_that_says_nothing_is_unsupported() -> None:
    """A library that cannot read this chip names the other meter."""
    monitor = Monitor(time.monotonic)
    monitor.gone = True

    absent = apple.find(monitor=monitor)

    assert isinstance(absent, Absent)
    assert absent.reason == "unsupported"
    assert "powermetrics" in absent.remedy
