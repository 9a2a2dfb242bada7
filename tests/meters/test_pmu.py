"""RAPL through perf: the description in sysfs says what to open, and the same counters bear the same names."""

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.contracts.meter_suite import Bench, MeterSuite
from tests.meters.fakes.sysfs import write_topology, write_tree
from tests.meters.scripted import bench, energy_j
from wattshed.meters import pmu
from wattshed.meters.meter import Absent, Meter
from wattshed.meters.residency import Core, Topology, read_topology
from wattshed.meters.sampler import Sampling
from wattshed.testing import VirtualClock

ON_DEMAND = Sampling(period_s=None, max_gap_s=30.0)
SCALE_J = 2.0**-32
SOFTWARE, CPU_CLOCK = 1, 0
"""PERF_TYPE_SOFTWARE and PERF_COUNT_SW_CPU_CLOCK of perf_event_open(2)."""


def write_pmu(root: Path, name: str, events: dict[str, str], cpumask: str) -> None:
    """The description of one PMU, of type 33."""
    files = {"type": "33\n", "cpumask": f"{cpumask}\n"}
    for event, config in events.items():
        files |= {f"events/{event}": f"event={config}\n", f"events/{event}.unit": "Joules\n"}
        files |= {f"events/{event}.scale": "2.3283064365386962890625e-10\n"}
    write_tree(root / name, files)


@pytest.fixture
def cpus(tmp_path: Path) -> Path:
    """Two packages of two cores, two threads each."""
    cores = {cpu: (cpu % 4 // 2, 0, cpu % 2) for cpu in range(8)}
    return write_topology(tmp_path / "cpu", cores)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An AMD server of two packages: packages by `power`, cores by `power_core`."""
    write_pmu(tmp_path / "pmu", "power", {"energy-pkg": "0x02"}, "0,2")
    write_pmu(tmp_path / "pmu", "power_core", {"energy-core": "0x01"}, "0-3")
    return tmp_path / "pmu"


@dataclass
class Kernel:
    """Opens counters that follow the known load, and refuses with `errno` where it is told to."""

    now_s: Callable[[], float]
    refuse: int | None = None
    gone: bool = False
    opened: list[tuple[int, int, int]] = field(default_factory=list)
    closed: int = 0

    def __call__(self, pmu_type: int, config: int, cpu: int) -> "Kernel":
        """Open one; the third is refused."""
        if self.refuse is not None and len(self.opened) == 2:
            raise OSError(self.refuse, os.strerror(self.refuse))
        self.opened.append((pmu_type, config, cpu))
        return self

    def read(self) -> int:
        """The count now."""
        if self.gone:
            raise OSError(errno.ENODEV, "no such device")
        return round(energy_j(self.now_s()) / SCALE_J)

    def close(self) -> None:
        """Count."""
        self.closed += 1


class TestContract(MeterSuite):
    """The meter of packages and cores under the suite."""

    @pytest.fixture
    def bench(self, root: Path, cpus: Path) -> Bench:
        """Counts of 2^-32 J."""
        clock = VirtualClock(1000.0)
        kernel = Kernel(clock.now_s)
        meter = pmu.find(
            root=root, cpus=cpus, open_counter=kernel, sampling=ON_DEMAND, now_s=clock.now_s, sleep=clock.sleep
        )
        assert not isinstance(meter, Absent)

        def fail() -> None:
            kernel.gone = True

        return bench(meter, clock, fail, slack_j=1e-6)

    @pytest.fixture
    def live(self, root: Path, cpus: Path) -> Meter:
        """At 10 Hz."""
        meter = pmu.find(root=root, cpus=cpus, open_counter=Kernel(time.monotonic))
        assert not isinstance(meter, Absent)
        return meter


def test_the_description_says_what_to_open(root: Path, cpus: Path) -> None:
    """Type, configuration and one CPU of each package or core come from sysfs."""
    kernel = Kernel(time.monotonic)

    meter = pmu.find(root=root, cpus=cpus, open_counter=kernel)

    assert not isinstance(meter, Absent)
    assert kernel.opened == [(33, 2, 0), (33, 2, 2), (33, 1, 0), (33, 1, 1), (33, 1, 2), (33, 1, 3)]
    meter.close()
    assert kernel.closed == 6


def test_names_are_those_of_powercap(root: Path, cpus: Path) -> None:
    """Packages bear the names that `rapl` gives them, and each core lies inside its package."""
    counters = pmu.channels(pmu.describe(root), read_topology(cpus))

    assert {counter.channel.name: counter.channel.inside for counter in counters} == {
        "package-0": None,
        "package-1": None,
        "package-0/core-0": "package-0",
        "package-0/core-1": "package-0",
        "package-1/core-0": "package-1",
        "package-1/core-1": "package-1",
    }


def test_platform_memory_and_dies(tmp_path: Path) -> None:
    """The platform is counted once, memory beside the packages, and dies apart."""
    events = {"energy-pkg": "0x02", "energy-psys": "0x05", "energy-ram": "0x03"}
    write_pmu(tmp_path, "power", events, "0,1")
    topology = Topology({0: Core(0, 0, 0), 1: Core(0, 1, 0)})

    counters = pmu.channels(pmu.describe(tmp_path), topology)

    assert {counter.channel.name: counter.channel.inside for counter in counters} == {
        "package-0-die-0": "psys",
        "package-0-die-1": "psys",
        "psys": None,
        "package-0-die-0/dram": "psys",
        "package-0-die-1/dram": "psys",
    }


def test_refusal_names_the_setting(root: Path, cpus: Path) -> None:
    """EACCES is a matter of permission; what was opened before it is closed again."""
    kernel = Kernel(lambda: 0.0, refuse=errno.EACCES)

    absent = pmu.find(root=root, cpus=cpus, open_counter=kernel)

    assert isinstance(absent, Absent)
    assert absent.reason == "permission"
    assert "kernel.perf_event_paranoid=0" in absent.remedy
    assert kernel.closed == 2


def test_a_missing_device_is_unsupported(root: Path, cpus: Path) -> None:
    """Any other errno means that this counter cannot be had by this road."""
    absent = pmu.find(root=root, cpus=cpus, open_counter=Kernel(lambda: 0.0, refuse=errno.ENODEV))

    assert isinstance(absent, Absent)
    assert absent.reason == "unsupported"


def test_counters_that_all_stand_still_are_no_meter(root: Path, cpus: Path) -> None:
    """A virtual machine shows counters that nobody counts; it says so within half a second, and closes them."""
    clock = VirtualClock()
    kernel = Kernel(lambda: 7.0)

    absent = pmu.find(root=root, cpus=cpus, open_counter=kernel, now_s=clock.now_s, sleep=clock.sleep)

    assert isinstance(absent, Absent)
    assert absent.reason == "counter_frozen"
    assert "package-0" in absent.remedy
    assert clock.now_s() == pytest.approx(pmu.FROZEN_S)
    assert kernel.closed == 6


@pytest.mark.parametrize("file", ["type", "cpumask", "events/energy-pkg", "events/energy-pkg.scale"])
def test_an_odd_description_is_unsupported(root: Path, cpus: Path, file: str) -> None:
    """A file that does not say what the kernel writes there is not guessed at."""
    (root / "power" / file).write_text("odd\n")

    absent = pmu.find(root=root, cpus=cpus, open_counter=Kernel(lambda: 0.0))

    assert isinstance(absent, Absent)
    assert absent.reason == "unsupported"


def test_no_pmu_is_not_found(tmp_path: Path) -> None:
    """Without the PMU there is no meter."""
    absent = pmu.find(root=tmp_path)

    assert isinstance(absent, Absent)
    assert absent.reason == "not_found"


def test_the_system_call_counts() -> None:
    """perf_event_open itself, on the one counter that every kernel has: the clock of a CPU."""
    try:
        counter = pmu.PerfCounter(SOFTWARE, CPU_CLOCK, min(os.sched_getaffinity(0)))
    except OSError as error:
        pytest.skip(f"perf_event_open is refused here ({error})")

    first, spun_until_s = counter.read(), time.monotonic() + 0.01
    while time.monotonic() < spun_until_s:
        pass

    assert counter.read() > first
    counter.close()
