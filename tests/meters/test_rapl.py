"""RAPL through powercap: every joule once, from the tree that Linux shows, and a reason where it shows none."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.meter_suite import Bench, MeterSuite
from tests.meters.fakes.sysfs import Powercap, TreeClock, unprivileged
from tests.meters.scripted import bench, energy_j
from wattshed.meters import rapl
from wattshed.meters.meter import Absent, Meter
from wattshed.meters.sampler import Sampling

ON_DEMAND = Sampling(period_s=None, max_gap_s=30.0)
JUST_BELOW_THE_RANGE_UJ = 262_143_328_850 - 150_700_000_000


@pytest.fixture
def tree(tmp_path: Path) -> Powercap:
    """A desktop's tree: two parts of a package, its memory, the platform, and the package's twin."""
    tree = Powercap(tmp_path, energy_j)
    tree.add("intel-rapl:0", "package-0", offset_uj=JUST_BELOW_THE_RANGE_UJ)
    tree.add("intel-rapl:0:0", "core")
    tree.add("intel-rapl:0:1", "uncore")
    tree.add("intel-rapl:0:2", "dram", range_uj=65_712_999_613)
    tree.add("intel-rapl:1", "psys")
    tree.add("intel-rapl-mmio:0", "package-0")
    return tree


@pytest.fixture
def clock(tree: Powercap) -> TreeClock:
    """The clock that the tree goes by."""
    return TreeClock(tree.advance)


def found(tree: Powercap, clock: TreeClock) -> Meter:
    """The meter on a tree, read on demand."""
    meter = rapl.find(root=tree.root, sampling=ON_DEMAND, now_s=clock.now_s)
    assert not isinstance(meter, Absent)
    return meter


class TestContract(MeterSuite):
    """The meter of a whole tree under the suite; the package's counter wraps on the way."""

    @pytest.fixture
    def bench(self, tree: Powercap, clock: TreeClock) -> Bench:
        """Counters of whole microjoules."""

        def fail() -> None:
            for zone in tree.zones:
                tree.vanish(zone)

        return bench(found(tree, clock), clock, fail, slack_j=2e-6)

    @pytest.fixture
    def live(self, tree: Powercap) -> Meter:
        """At 10 Hz."""
        meter = rapl.find(root=tree.root)
        assert not isinstance(meter, Absent)
        return meter


def test_what_lies_inside_what(tree: Powercap) -> None:
    """Cores lie in their package and the package in the platform; memory lies beside the package."""
    inside = {zone.channel.name: (zone.channel.part, zone.channel.inside) for zone in rapl.discover(tree.root)}

    assert inside == {
        "package-0": ("cpu", "psys"),
        "package-0/core": ("cpu", "package-0"),
        "package-0/uncore": ("cpu", "package-0"),
        "package-0/dram": ("memory", "psys"),
        "psys": ("platform", None),
    }


def test_a_twin_is_left_out_and_named(tree: Powercap) -> None:
    """The memory-mapped zone shows the package's own counter: it is no channel, and the boundary says so."""
    package = next(zone for zone in rapl.discover(tree.root) if zone.channel.name == "package-0")

    assert package.path.name == "intel-rapl:0"
    assert package.twins == ("intel-rapl-mmio:0",)
    assert "intel-rapl-mmio:0" in package.channel.boundary


def test_a_twin_alone_is_counted(tmp_path: Path) -> None:
    """Where there is no other road to a counter, the memory-mapped one is taken."""
    tree = Powercap(tmp_path, energy_j)
    tree.add("intel-rapl-mmio:0", "package-0")

    assert [zone.path.name for zone in rapl.discover(tmp_path)] == ["intel-rapl-mmio:0"]


def test_dies_and_sockets_are_counted_each(tmp_path: Path) -> None:
    """Two dies of a package, and two zones that an old kernel gives one name, are different counters."""
    tree = Powercap(tmp_path, energy_j)
    for zone, name in enumerate(("package-0-die-0", "package-0-die-1", "package-1", "package-1")):
        tree.add(f"intel-rapl:{zone}", name)

    names = [zone.channel.name for zone in rapl.discover(tmp_path)]

    assert names == ["package-0-die-0", "package-0-die-1", "package-1@intel-rapl:2", "package-1@intel-rapl:3"]


def test_cpu_energy_is_the_package_once(tree: Powercap, clock: TreeClock) -> None:
    """Joules of the processor are the package's, through a wrap, and not those of its parts or its platform too."""
    meter = found(tree, clock)
    start_s = meter.mark()
    clock.sleep(9.0)

    window = meter.between(start_s, meter.mark())

    cpu = window.part("cpu")
    assert cpu is not None
    assert cpu.energy_j == pytest.approx(energy_j(1009.0) - energy_j(1000.0), abs=2e-6)


def test_a_zone_that_vanishes_takes_no_other_with_it(tree: Powercap, clock: TreeClock) -> None:
    """Its own channel says `source_failed`, and the rest still count."""
    meter = found(tree, clock)
    start_s = meter.mark()
    clock.sleep(1.0)
    tree.vanish("intel-rapl:0:2")

    window = meter.between(start_s, meter.mark())

    reasons = {energy.channel.name: energy.reason for energy in window.channels}
    assert {name for name, reason in reasons.items() if reason is None} == set(reasons) - {"package-0/dram"}
    assert reasons["package-0/dram"] == "source_failed"


def test_a_frozen_counter_says_so(tree: Powercap, clock: TreeClock) -> None:
    """A package that counts nothing for seconds is broken; an integrated graphics unit may simply be off."""
    meter = found(tree, clock)
    tree.zones["intel-rapl:0"].frozen = tree.zones["intel-rapl:0:1"].frozen = True
    meter.mark()
    clock.sleep(1.0)
    start_s = meter.mark()
    for _ in range(20):
        clock.sleep(0.1)
        stop_s = meter.mark()

    energies = {energy.channel.name: energy for energy in meter.between(start_s, stop_s).channels}

    assert energies["package-0"].reason == "counter_frozen"
    assert energies["package-0/uncore"].energy_j == 0.0


def test_a_reset_is_no_wrap(tree: Powercap, clock: TreeClock) -> None:
    """A counter that starts again from far below its range has no joules, only a reason."""
    tree.zones["intel-rapl:0"].offset_uj = -10_000_000_000
    clock.sleep(0.0)
    meter = found(tree, clock)
    start_s = meter.mark()
    tree.zones["intel-rapl:0"].offset_uj = -149_000_000_000
    clock.sleep(1.0)

    window = meter.between(start_s, meter.mark())

    assert window.channels[0].reason == "counter_reset"


def test_torn_content_is_no_number(tree: Powercap, clock: TreeClock) -> None:
    """A counter that says something else than a number fails alone."""
    meter = found(tree, clock)
    start_s = meter.mark()
    clock.sleep(1.0)
    (tree.root / "intel-rapl:1" / "energy_uj").write_text("12 34\n")

    energies = {energy.channel.name: energy for energy in meter.between(start_s, meter.mark()).channels}

    assert energies["psys"].reason == "source_failed"
    assert energies["package-0"].energy_j is not None


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder whose parents everybody may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_closed_counters_name_the_fix(open_to_all: Path) -> None:
    """Counters for root alone (since Linux 5.10) are a matter of permission, with the commands that grant it."""
    tree = Powercap(open_to_all, energy_j)
    tree.add("intel-rapl:0", "package-0")
    (open_to_all / "intel-rapl:0" / "energy_uj").chmod(0o400)

    with unprivileged():
        absent = rapl.find(root=open_to_all)

    assert isinstance(absent, Absent)
    assert absent.reason == "permission"
    assert f"chmod g+r {open_to_all}/*/energy_uj" in absent.remedy


def test_no_tree_is_not_found(tmp_path: Path) -> None:
    """Without powercap, as in most virtual machines, there is no meter."""
    absent = rapl.find(root=tmp_path / "powercap")

    assert isinstance(absent, Absent)
    assert absent.reason == "not_found"


def test_two_packages_net_of_idle_j() -> None:
    """Equation 7 by hand, for two windows and two packages; below idle is negative and stays so."""
    net_j = rapl.net_of_idle_j(np.array([[60.0, 50.0], [30.0, 20.0]]), np.array([35.0, 30.0]), np.array([2.0, 4.0]))

    assert net_j.tolist() == [2.0 * (25 + 20), 4.0 * (-5 - 10)]


@given(st.lists(st.floats(0, 500), min_size=1, max_size=8), st.floats(0, 100), st.floats(0.1, 10))
@settings(deadline=None, max_examples=50)
def test_net_plus_idle_is_gross(powers_w: list[float], idle_w: float, duration_s: float) -> None:
    """What Equation 7 takes away is exactly the idle energy."""
    power_w = np.array(powers_w)[:, None]

    net_j = rapl.net_of_idle_j(power_w, np.array([idle_w]), np.full(len(powers_w), duration_s))

    assert (net_j + idle_w * duration_s).tolist() == pytest.approx((power_w[:, 0] * duration_s).tolist(), abs=1e-9)
