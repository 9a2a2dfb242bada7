"""Trees such as Linux shows below /sys and /proc, whose counters follow a known power."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wattshed.testing import VirtualClock

RANGE_UJ = 262_143_328_850
"""Where the counters of Intel packages start again."""


@dataclass
class Counter:
    """A zone of the powercap tree; `offset_uj` is what it showed at 0 s, and it stands still once `frozen`."""

    path: Path
    range_uj: int
    offset_uj: int = 0
    frozen: bool = False

    def show(self, energy_j: float) -> None:
        """Count up to `energy_j` since 0 s, modulo the range."""
        if not self.frozen and self.path.exists():
            (self.path / "energy_uj").write_text(f"{(round(energy_j * 1e6) + self.offset_uj) % self.range_uj}\n")


@dataclass
class Powercap:
    """A powercap tree; every zone sees the same load, whose joules since 0 s are `energy_j`."""

    root: Path
    energy_j: Callable[[float], float]
    zones: dict[str, Counter] = field(default_factory=dict)

    def add(self, zone: str, name: str, *, range_uj: int = RANGE_UJ, offset_uj: int = 0) -> Counter:
        """A zone, as in `intel-rapl:0`, with the name that it says of itself."""
        path = self.root / zone
        path.mkdir(parents=True)
        (path / "name").write_text(f"{name}\n")
        (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
        counter = self.zones[zone] = Counter(path, range_uj, offset_uj)
        counter.show(self.energy_j(0.0))
        return counter

    def vanish(self, zone: str) -> None:
        """The zone goes, as when its module is unloaded."""
        for file in self.zones[zone].path.iterdir():
            file.unlink()
        self.zones[zone].path.rmdir()

    def advance(self, at_s: float) -> None:
        """Every counter shows what it has counted by then."""
        for zone in self.zones.values():
            zone.show(self.energy_j(at_s))


class TreeClock(VirtualClock):
    """A virtual clock that tells a tree how late it is."""

    def __init__(self, advance: Callable[[float], None], at_s: float = 1000.0) -> None:
        super().__init__(at_s)
        self._advance = advance
        advance(at_s)

    def sleep(self, duration_s: float) -> None:
        """Let time pass, in the tree as well."""
        super().sleep(duration_s)
        self._advance(self.now_s())


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """Files below `root` by their relative path."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def write_topology(root: Path, cores: dict[int, tuple[int, int, int]]) -> Path:
    """/sys/devices/system/cpu: package, die and core of each logical CPU."""
    names = ("physical_package_id", "die_id", "core_id")
    return write_tree(
        root,
        {
            f"cpu{cpu}/topology/{name}": f"{number}\n"
            for cpu, core in cores.items()
            for name, number in zip(names, core, strict=True)
        },
    )


def write_thread(
    proc: Path, pid: int, tid: int, *, cpu: int, ticks: int = 0, state: str = "S", children: tuple[int, ...] = ()
) -> None:
    """One thread of /proc, called as awkwardly as Linux allows; fields as in proc_pid_stat(5)."""
    fields = ["0"] * 49
    fields[0], fields[11], fields[12], fields[36] = state, str(ticks), "0", str(cpu)
    folder = f"{pid}/task/{tid}"
    stat = f"{tid} (a) R 1 (b) {' '.join(fields)}\n"
    write_tree(proc, {f"{folder}/stat": stat, f"{folder}/children": "".join(f"{child} " for child in children)})


@contextmanager
def unprivileged() -> Iterator[None]:
    """As nobody: root reads files that are closed to everyone."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
