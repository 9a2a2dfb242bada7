"""Which physical cores some processes and their descendants ran on: the "active cores" of Equation 8.

Linux tells for each thread the CPU that it last ran on (`processor`, field 39 of `/proc/PID/task/TID/stat`), and the
CPU time that it has used. A thread counts for its core if it is running as we look, or has used CPU time since we last
looked; a thread that sleeps keeps the number of a CPU that others use. Looking every 50-100 ms misses moves within
that time, and a core that runs others beside us is billed to us whole: the share is of cores, not of their time.

Source: proc_pid_stat(5); Linux, Documentation/admin-guide/cputopology.rst.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wattshed.errors import MeterError

PROC: Final = Path("/proc")
CPUS: Final = Path("/sys/devices/system/cpu")
PERIOD_S: Final = 0.1
"""Time between looks: one in each interval of AMDuProf. A look takes some 40 us a thread (measured, 64 threads)."""

MOST_LOOKS: Final = 36_000
"""Looks kept: an hour at 10 Hz."""


@dataclass(frozen=True, slots=True, order=True)
class Core:
    """A physical core."""

    package: int
    die: int
    core: int


@dataclass(frozen=True, slots=True)
class Topology:
    """The physical core of each logical CPU."""

    core_of: dict[int, Core]

    @property
    def cores(self) -> tuple[Core, ...]:
        """Physical cores in the order of their first logical CPU, which is how AMDuProf numbers them."""
        return tuple(dict.fromkeys(self.core_of[cpu] for cpu in sorted(self.core_of)))


@dataclass(frozen=True, slots=True)
class ThreadStat:
    """What one `stat` line says: state, CPU time in clock ticks, last CPU."""

    state: str
    ticks: int
    cpu: int


@dataclass(frozen=True, slots=True)
class Look:
    """The logical CPUs that our threads ran on since the look before."""

    at_s: float
    cpus: frozenset[int]


class Residency:
    """Looks at process trees, and remembers which CPUs they ran on when.

    `roots` is looked up each time: whoever owns it may add a process that starts after the looks began.
    """

    def __init__(
        self,
        roots: Collection[int],
        *,
        proc: Path = PROC,
        period_s: float = PERIOD_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._roots, self._proc, self._period_s, self._now_s = roots, proc, period_s, now_s
        self._ticks: dict[str, int] = {}
        self._looks: deque[Look] = deque(maxlen=MOST_LOOKS)
        self._looking = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look in the background; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def look(self) -> Look:
        """Look once, now; no CPUs once the processes are gone."""
        with self._looking:
            cpus, ticks = set(), {}
            for path, thread in threads(tuple(self._roots), self._proc):
                ticks[path] = thread.ticks
                if thread.state == "R" or thread.ticks > self._ticks.get(path, thread.ticks):
                    cpus.add(thread.cpu)
            self._ticks = ticks
            seen = Look(self._now_s(), frozenset(cpus))
            self._looks.append(seen)
            return seen

    def between(self, start_s: float, stop_s: float) -> frozenset[int] | None:
        """Every CPU that our threads ran on in an interval; looks now where no look closes it yet.

        `None` where none opened it: what ran before we first looked is not known.
        """
        if not self._looks or self._looks[-1].at_s < stop_s:
            self.look()
        looks = list(self._looks)
        if looks[0].at_s > start_s or looks[-1].at_s < stop_s:
            return None
        closing_s = next(look.at_s for look in looks if look.at_s >= stop_s)
        return frozenset().union(*(look.cpus for look in looks if start_s < look.at_s <= closing_s))

    def close(self) -> None:
        """Stop looking; twice does no harm."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            with suppress(MeterError):  # a torn line: the next look sees what ran since the one before
                self.look()
            self._stopped.wait(self._period_s)


def parse_stat(line: bytes) -> ThreadStat:
    """One `stat` line; the name in brackets may itself hold spaces and brackets. `MeterError` where it is cut off."""
    fields = line[line.rfind(b")") + 1 :].split()
    try:
        # proc_pid_stat(5) counts from 1, and the first two fields are gone: state is 3, utime 14, stime 15.
        ticks = int(fields[11]) + int(fields[12])
        return ThreadStat(fields[0].decode("ascii"), ticks, int(fields[36]))
    except (IndexError, ValueError) as error:
        raise MeterError("malformed", f"no stat line of a thread: {line[:60]!r}") from error


def threads(roots: Iterable[int], proc: Path = PROC) -> Iterator[tuple[str, ThreadStat]]:
    """Folder and `stat` of every thread of some processes and their descendants, a thread once; nothing once gone.

    A child whose parent died belongs to init and not to us. `MeterError` where the kernel does not list children.
    """
    tree = list(roots)
    for process in tree:  # grows as it goes
        for folder in _folders(f"{proc}/{process}/task"):
            stat = _read(f"{folder}/stat")
            if stat is not None:
                yield folder, parse_stat(stat)
                tree += [child for child in _children(folder) if child not in tree]  # it may be a root itself


def read_topology(root: Path = CPUS) -> Topology:
    """The topology below `root`; CPUs that are off line have none and are left out."""
    found = {}
    for folder in root.glob("cpu[0-9]*/topology"):
        numbers = [_number(folder / name) for name in ("physical_package_id", "die_id", "core_id")]
        found[int(folder.parent.name.removeprefix("cpu"))] = Core(*numbers)
    return Topology(found)


# Strings and plain descriptors: path and file objects made a look twice as dear (measured).


def _folders(task: str) -> list[str]:
    try:
        return [f"{task}/{name}" for name in os.listdir(task)]  # noqa: PTH208 - see above
    except OSError:
        return []  # it ended as we looked


def _children(thread: str) -> list[int]:
    children = _read(f"{thread}/children")
    if children is None and _read(f"{thread}/stat") is not None:
        raise MeterError("unsupported", f"{thread}/children is missing: the kernel lacks CONFIG_PROC_CHILDREN")
    return [int(child) for child in (children or b"").split()]


def _read(path: str) -> bytes | None:
    """What a file says; `None` where its thread ended as we looked."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return os.read(file, _MOST_BYTES)
    except OSError:
        return None
    finally:
        os.close(file)


_MOST_BYTES = 1 << 16


def _number(path: Path) -> int:
    """A number of the topology; 0 where an older kernel (before 5.3) has no `die_id`."""
    try:
        return int(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0
