"""RAPL counters of Intel and AMD processors, as the Linux powercap tree shows them.

    intel-rapl:0            name package-0        a socket (or one die of it: package-0-die-1)
      intel-rapl:0:0        name core, uncore     inside the package
      intel-rapl:0:1        name dram             beside it: the package's joules do not hold the memory's
    intel-rapl:1            name psys             the whole platform, packages included, as its maker wired it
    intel-rapl-mmio:0       name package-0        the same counter by another road: never counted beside the first

The counter is in microjoules and starts again at `max_energy_range_uj`, within minutes under load. Since Linux 5.10
only root may read it (CVE-2020-8694).

Source: Linux, Documentation/power/powercap/powercap.rst; Intel SDM vol. 3, section 15.10.1, for what holds what.
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wattshed.domain.energy import MeterChannel, Part
from wattshed.meters.counter import CounterChannel, CounterMeter
from wattshed.meters.lines import LinesSource, counters_j
from wattshed.meters.meter import Absent, Meter
from wattshed.meters.sampler import Sampling
from wattshed.units import J_PER_UJ

if TYPE_CHECKING:
    from wattshed.domain.arrays import Floats  # NumPy takes longer to load than a meter may

NAME: Final = "rapl"
ROOT: Final = Path("/sys/class/powercap")

INTERFACES: Final = ("intel-rapl", "intel-rapl-tpmi", "intel-rapl-mmio")
"""Roads to one counter, the preferred one first: model-specific registers, TPMI, memory-mapped."""

SAMPLING: Final = Sampling(period_s=0.1, max_gap_s=30.0, quiet_s=1.0)
"""Ten readings a second see that a counter is alive. A gap is harmless until it could hide two wraps: 30 s x 2 kW is
a quarter of the usual range of 262 kJ."""


@dataclass(frozen=True, slots=True)
class Zone:
    """One counter of the tree. `twins` are the zones that show the same counter and are left alone."""

    path: Path
    channel: MeterChannel
    wraps_at_j: float | None
    twins: tuple[str, ...] = ()


def find(
    *, root: Path = ROOT, sampling: Sampling = SAMPLING, now_s: Callable[[], float] = time.monotonic
) -> Meter | Absent:
    """A meter of every zone below `root`, or why there is none."""
    zones = discover(root)
    if not zones:
        remedy = (
            f"no RAPL zone in {root}: on bare-metal Linux run 'sudo modprobe intel_rapl_msr'; "
            "most virtual machines have none"
        )
        return Absent(NAME, "not_found", remedy)
    try:
        for zone in zones:
            _microjoules(zone.path)
    except PermissionError:
        return Absent(NAME, "permission", permission_remedy(root))
    except (OSError, ValueError) as error:
        return Absent(NAME, "source_failed", f"{zone.path.name}/energy_uj cannot be read ({error}); see the kernel log")
    source = LinesSource({zone.channel.name: partial(_microjoules, zone.path) for zone in zones}, now_s=now_s)
    scale_j = {zone.channel.name: J_PER_UJ for zone in zones}
    counters = [CounterChannel(zone.channel, zone.wraps_at_j, _quiet_s(zone.channel)) for zone in zones]
    return CounterMeter(NAME, source, partial(counters_j, scale_j=scale_j), counters, sampling=sampling, now_s=now_s)


def discover(root: Path = ROOT) -> tuple[Zone, ...]:
    """The zones of a powercap tree, without twins; empty where there are none."""
    entries = sorted(_entries(root), key=lambda entry: (INTERFACES.index(entry.interface), entry.position))
    tops = [entry for entry in entries if len(entry.position) == 1]
    by_name: dict[str, list[_Entry]] = {}
    for top in tops:
        by_name.setdefault(top.name, []).append(top)
    platform = next((name for name in by_name if name.startswith("psys")), None)
    zones: list[Zone] = []
    for name, same in by_name.items():
        # Two zones of one interface that share a name are two things; of another interface they are the same thing.
        kept = [entry for entry in same if entry.interface == same[0].interface]
        twins = tuple(entry.path.name for entry in same if entry.interface != same[0].interface)
        for entry in kept:
            label = name if len(kept) == 1 else f"{name}@{entry.path.name}"
            zones.append(_zone(entry, label, None if name == platform else platform, twins))
            zones += [_part(below, label, platform) for below in entries if below.is_part_of(entry)]
    return tuple(zones)


def permission_remedy(root: Path = ROOT) -> str:
    """The commands that let a group read the counters, now and after each boot."""
    rule = (
        'SUBSYSTEM=="powercap", ACTION=="add", '
        "RUN+=\"/bin/sh -c 'chgrp energy /sys%p/energy_uj; chmod g+r /sys%p/energy_uj'\""
    )
    counters = f"{root}/*/energy_uj"
    return (
        f"{counters} is for root alone: run 'sudo groupadd -f energy && sudo chgrp energy {counters} && "
        f"sudo chmod g+r {counters}' and join the group (or run as root); to keep it, put into "
        f"/etc/udev/rules.d/60-rapl.rules: {rule}"
    )


def net_of_idle_j(package_power_w: "Floats", idle_power_w: "Floats", duration_s: "Floats") -> "Floats":
    """Net joules of each of T windows, shape (T,): sum over packages of (P_pkg - P_idle) dt.

    `package_power_w` has shape (T, P) for P packages, `idle_power_w` (P,), `duration_s` (T,). A window that used less
    than idle is negative, and stays so. Source: Equation 7 of the paper, with any number of packages.
    """
    net_j: Floats = (package_power_w - idle_power_w).sum(axis=1) * duration_s
    return net_j


_ZONE = re.compile(r"(?P<interface>intel-rapl(?:-tpmi|-mmio)?):(?P<position>\d+(?::\d+)*)")
_PARTS: Final[dict[str, Part]] = {"dram": "memory", "psys": "platform"}


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    interface: str
    position: tuple[int, ...]
    name: str

    def is_part_of(self, top: "_Entry") -> bool:
        return self.interface == top.interface and len(self.position) > 1 and self.position[0] == top.position[0]


def _entries(root: Path) -> Iterable[_Entry]:
    for path in root.glob("intel-rapl*:*"):
        match = _ZONE.fullmatch(path.name)
        if match is not None:
            position = tuple(int(part) for part in match["position"].split(":"))
            yield _Entry(path, match["interface"], position, (path / "name").read_text(encoding="ascii").strip())


def _zone(entry: _Entry, label: str, platform: str | None, twins: tuple[str, ...]) -> Zone:
    beside = f" ({', '.join(twins)} shows the same counter and is left out)" if twins else ""
    what = "whole platform" if entry.name.startswith("psys") else f"processor {entry.name}"
    return _counted(entry, label, f"{what}, RAPL{beside}", platform, twins)


def _part(entry: _Entry, package: str, platform: str | None) -> Zone:
    inside = platform if entry.name == "dram" else package
    return _counted(entry, f"{package}/{entry.name}", f"{entry.name} of processor {package}, RAPL", inside, ())


def _counted(entry: _Entry, label: str, boundary: str, inside: str | None, twins: tuple[str, ...]) -> Zone:
    part = _PARTS.get(entry.name.partition("-")[0], "cpu")
    return Zone(entry.path, MeterChannel(label, part, boundary, inside=inside), _range_j(entry.path), twins)


def _quiet_s(channel: MeterChannel) -> float | None:
    """An integrated GPU (`uncore` of a desktop chip) may be off for hours."""
    return float("inf") if channel.name.endswith("/uncore") else None


def _range_j(zone: Path) -> float | None:
    try:
        return int((zone / "max_energy_range_uj").read_text(encoding="ascii")) * J_PER_UJ
    except (OSError, ValueError):
        return None  # then a fall cannot be told from a reset, and is taken for one


def _microjoules(zone: Path) -> int:
    return int((zone / "energy_uj").read_bytes())
