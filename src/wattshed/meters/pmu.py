"""RAPL counters through perf: the PMUs `power` (packages) and `power_core` (each physical core; AMD, Linux >= 6.14).

    /sys/bus/event_source/devices/power/
      type                      number that perf_event_open takes
      cpumask                   one CPU of each package, or of each core
      events/energy-pkg         event=0x02
      events/energy-pkg.scale   2.3283064365386962890625e-10
      events/energy-pkg.unit    Joules

The kernel widens the counters to 64 bits, so that they do not wrap. They count the same registers as powercap, and
bear the same channel names, so that nobody adds the two up.

Source: Linux, arch/x86/events/rapl.c; perf_event_open(2).
"""

import ctypes
import errno
import os
import platform
import re
import struct
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from wattshed.domain.energy import MeterChannel, Part
from wattshed.meters.counter import CounterChannel, CounterMeter
from wattshed.meters.lines import LinesSource, counters_j
from wattshed.meters.meter import Absent, Meter
from wattshed.meters.residency import CPUS, Core, Topology, read_topology
from wattshed.meters.sampler import Sampling

NAME: Final = "pmu"
ROOT: Final = Path("/sys/bus/event_source/devices")
SAMPLING: Final = Sampling(period_s=0.1, max_gap_s=30.0, quiet_s=1.0)

FROZEN_S: Final = 0.5
"""A machine whose counters all stand still for this long does not count: they move about every millisecond (Intel SDM
vol. 3, section 15.10.1). A virtual machine may show a `psys` that stands at 0."""

LOOK_S: Final = 0.01
"""Time between two looks at counters that may be frozen."""


class Opened(Protocol):
    """A counter that the kernel has opened for us."""

    def read(self) -> int:
        """The count, now."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


OpenCounter = Callable[[int, int, int], Opened]
"""Opens the counter of (PMU type, config, CPU); `OSError` with the kernel's errno where it may not or cannot."""

EVENTS: Final[dict[str, tuple[str, Part]]] = {
    "energy-psys": ("psys", "platform"),
    "energy-pkg": ("{package}", "cpu"),
    "energy-cores": ("{package}/core", "cpu"),
    "energy-gpu": ("{package}/uncore", "cpu"),
    "energy-ram": ("{package}/dram", "memory"),
    "energy-core": ("{package}/core-{core}", "cpu"),
}
"""Name of the channel and part of the machine by event."""

_IN_PACKAGE = ("energy-cores", "energy-gpu", "energy-core")
"""Events whose joules the package's hold too; the memory's it does not."""

_MAY_REST = ("energy-gpu", "energy-core")
"""Events of parts that may be switched off, and then do not count."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one PMU on one CPU, and the joules that a count stands for."""

    name: str
    type: int
    config: int
    cpu: int
    scale_j: float


def find(
    *,
    root: Path = ROOT,
    cpus: Path = CPUS,
    open_counter: OpenCounter | None = None,
    sampling: Sampling = SAMPLING,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Meter | Absent:
    """A meter of every energy event of the perf PMUs, or why there is none; looks for `FROZEN_S` at most."""
    try:
        events = describe(root)
        counters = channels(events, read_topology(cpus))
    except (OSError, ValueError, KeyError) as error:
        return Absent(NAME, "unsupported", f"{root}/power* is not understood ({error}); use the meter 'rapl' instead")
    if not events:
        remedy = (
            f"no energy event in {root}/power*: run 'sudo modprobe rapl' on bare-metal Linux; "
            "counters of each core need an AMD processor and Linux >= 6.14"
        )
        return Absent(NAME, "not_found", remedy)
    opened: dict[str, Opened] = {}
    try:
        for counter, event in zip(counters, events, strict=True):
            opened[counter.channel.name] = (open_counter or PerfCounter)(event.type, event.config, event.cpu)
        frozen = _frozen(opened.values(), sleep)
    except OSError as error:
        _close_all(opened)
        return _refused(error)
    if frozen:
        _close_all(opened)
        return Absent(NAME, "counter_frozen", _stand_still(opened))
    reads = {name: counter.read for name, counter in opened.items()}
    source = LinesSource(reads, release=partial(_close_all, opened), now_s=now_s)
    scale_j = {counter.channel.name: event.scale_j for counter, event in zip(counters, events, strict=True)}
    return CounterMeter(NAME, source, partial(counters_j, scale_j=scale_j), counters, sampling=sampling, now_s=now_s)


def describe(root: Path = ROOT) -> tuple[Event, ...]:
    """Every energy event that the PMUs below `root` offer, once for each CPU of the mask; `psys` once.

    OSError or ValueError where a description is not as the kernel writes it.
    """
    return tuple(event for pmu in sorted(root.glob("power*")) for event in _events(pmu))


def channels(events: Iterable[Event], topology: Topology) -> tuple[CounterChannel, ...]:
    """The channel of each event; what lies inside what follows from all of them together.

    A package that has several counters is told apart by die, as powercap does. KeyError for a CPU without topology.
    """
    placed = [(event, topology.core_of[event.cpu]) for event in events]
    packages = Counter(core.package for event, core in placed if event.name == "energy-pkg")
    names = [_named(event, core, by_die=packages[core.package] > 1) for event, core in placed]
    outermost = "psys" if "psys" in names else None
    found = []
    for (event, _), name in zip(placed, names, strict=True):
        package = name.partition("/")[0]
        within = package if event.name in _IN_PACKAGE and package in names else outermost
        channel = MeterChannel(
            name, EVENTS[event.name][1], f"{name} (perf {event.name})", inside=within if within != name else None
        )
        found.append(CounterChannel(channel, quiet_s=float("inf") if event.name in _MAY_REST else None))
    return tuple(found)


class PerfCounter:
    """One system-wide perf counter; `OSError` with the kernel's errno where it cannot be opened."""

    def __init__(self, pmu_type: int, config: int, cpu: int) -> None:
        number = _SYSCALL.get(platform.machine())
        if number is None:
            raise OSError(errno.ENOSYS, f"no perf_event_open for {platform.machine()}")
        # struct perf_event_attr, version 0: type, its size of 64 bytes, config, and nothing else is asked for
        attributes = struct.pack("IIQQQQQIIQ", pmu_type, 64, config, 0, 0, 0, 0, 0, 0, 0)
        every_process, no_group, close_on_exec = -1, -1, 8
        libc = ctypes.CDLL(None, use_errno=True)
        self._file: int = libc.syscall(number, attributes, every_process, cpu, no_group, close_on_exec)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def read(self) -> int:
        """The count, now."""
        (count,) = struct.unpack("Q", os.read(self._file, 8))
        return int(count)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._file)


_SYSCALL: Final = {"x86_64": 298, "aarch64": 241}
_CONFIG = re.compile(r"event=(0x[0-9a-f]+|\d+)")


def _events(pmu: Path) -> Iterator[Event]:
    paths = [path for path in sorted((pmu / "events").glob("energy-*")) if path.name in EVENTS]
    for path in paths:
        config = _CONFIG.fullmatch(_text(path))
        unit = _text(path.with_name(path.name + ".unit"))
        if config is None or unit != "Joules":
            raise ValueError(f"{path.name} is {_text(path)!r} in {unit!r}")
        scale_j = float(_text(path.with_name(path.name + ".scale")))
        cpus = _cpu_list(_text(pmu / "cpumask"))
        for cpu in cpus[:1] if path.name == "energy-psys" else cpus:
            yield Event(path.name, int(_text(pmu / "type")), int(config[1], 0), cpu, scale_j)


def _named(event: Event, core: Core, *, by_die: bool) -> str:
    package = f"package-{core.package}-die-{core.die}" if by_die else f"package-{core.package}"
    return EVENTS[event.name][0].format(package=package, core=core.core)


def _refused(error: OSError) -> Absent:
    if isinstance(error, PermissionError):
        remedy = (
            "perf may not count system-wide: run 'sudo sysctl kernel.perf_event_paranoid=0', "
            "or give the interpreter CAP_PERFMON, or run as root"
        )
        return Absent(NAME, "permission", remedy)
    return Absent(NAME, "unsupported", f"perf_event_open failed ({error}); use the meter 'rapl' instead")


def _frozen(counters: Collection[Opened], sleep: Callable[[float], None]) -> bool:
    """Whether none of the counters moves, however often we look; one that lives ends it after a look or two."""
    first = [counter.read() for counter in counters]
    for _ in range(round(FROZEN_S / LOOK_S)):
        sleep(LOOK_S)
        if [counter.read() for counter in counters] != first:
            return False
    return True


def _stand_still(names: Iterable[str]) -> str:
    return (
        f"{', '.join(names)} stood still for {FROZEN_S} s, as where a virtual machine is shown counters alone: "
        "measure on the host itself, or scrape an exporter that runs there (scrape:URL#...)"
    )


def _close_all(opened: Mapping[str, Opened]) -> None:
    for counter in opened.values():
        counter.close()


def _cpu_list(text: str) -> list[int]:
    """`0,64` or `0-3,8` as numbers."""
    ranges = [part.split("-") for part in text.split(",") if part]
    return [cpu for ends in ranges for cpu in range(int(ends[0]), int(ends[-1]) + 1)]


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()
