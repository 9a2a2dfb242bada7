"""The meter of AMD processors through AMDuProfCLI: joules of packages, and of the cores that ran our processes (Eq. 8).

    package = cores that ran our process tree + other cores + uncore (caches, fabric, memory controllers, I/O)

The paper billed a few cores picked by hand and left the uncore out: 1.6-7.6 W of the 264-333 W that the packages drew.
Here the parts are channels inside their package and sum to it, so that what is left out can be seen.

AMDuProfCLI appends records to a file while we watch it; `residency.py` says which cores ran us. AMDuProf numbers
cores through all sockets, in the order of their first logical CPU.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wattshed.domain.energy import MeterChannel
from wattshed.errors import MeterError
from wattshed.meters.meter import Absent, Meter, Reading
from wattshed.meters.residency import CPUS, PROC, Residency, Topology, read_topology
from wattshed.meters.sampled import Sample, SampledMeter
from wattshed.meters.sampler import Sampling
from wattshed.meters.stream import Growing, StreamSource, refused
from wattshed.meters.timechart import MOST_BRIDGED, Record, Timechart, TimechartReader
from wattshed.units import S_PER_MS

if TYPE_CHECKING:
    from wattshed.domain.arrays import Booleans, Floats  # NumPy takes longer to load than a meter may

NAME: Final = "amduprof"
INTERVAL_S: Final = 0.1
"""Time between records, as in the paper."""

PATIENCE_S: Final = 5.0
"""Longest wait for the record that closes a window; AMDuProfCLI takes seconds to start."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The power of a package taken apart; each part has shape (T,), and they sum to the package's."""

    ours_w: "Floats"
    others_w: "Floats"
    uncore_w: "Floats"


def find(
    *,
    pids: Collection[int] | None = None,
    executable: str = "AMDuProfCLI",
    interval_s: float = INTERVAL_S,
    cpus: Path = CPUS,
    proc: Path = PROC,
    now_s: Callable[[], float] = time.monotonic,
    local_now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
) -> Meter | Absent:
    """A meter of the packages, with the cores of the process trees of `pids` apart, or why there is none.

    `pids` may be empty, and grow while the meter runs. `local_now` is the wall clock by which AMDuProfCLI stamps its
    records.
    """
    found = shutil.which(executable)
    if found is None:
        remedy = "install AMD uProf (https://www.amd.com/en/developer/uprof.html) and put AMDuProfCLI on the PATH"
        return Absent(NAME, "not_installed", remedy)
    unavailable = _refusal(found)
    if unavailable is not None:
        return unavailable
    residency = None if pids is None else Residency(pids, proc=proc, now_s=now_s)
    try:
        if residency is not None:
            residency.look()
    except MeterError as error:
        return Absent(NAME, "unsupported", f"{error}; meter the packages without a process")
    parser = _Parser(read_topology(cpus), residency, now_s(), local_now())
    return SampledMeter(
        NAME,
        _Run(found, interval_s, residency, now_s),
        parser,
        parser.channels,
        sampling=Sampling(period_s=0, max_gap_s=MOST_BRIDGED * interval_s, patience_s=PATIENCE_S),
        now_s=now_s,
    )


def timechart_command(folder: Path, interval_s: float = INTERVAL_S, executable: str = "AMDuProfCLI") -> tuple[str, ...]:
    """The command that records power into a folder until it is stopped (AMD uProf user guide, 57368)."""
    interval = str(round(interval_s / S_PER_MS))
    return (executable, "timechart", "--event", "power", "--interval", interval, "-d", "99999", "-o", str(folder))


def split_power(package_power_w: "Floats", core_power_w: "Floats", active: "Booleans") -> Split:
    """One package's power, shape (T,), by its C cores': `core_power_w` and `active` (it ran us) have shape (T, C)."""
    import numpy as np

    ours_w = np.where(active, core_power_w, 0.0).sum(axis=-1)
    cores_w = core_power_w.sum(axis=-1)
    return Split(ours_w, cores_w - ours_w, package_power_w - cores_w)


def core_energy_j(chart: Timechart, active: "Booleans") -> float:
    """Joules of the cores that ran us over a whole log; `active` has shape (T, C), C the cores of `chart.cores`.

    Integrated over stamps, since records may be missing. Source: Equation 8 of the paper.
    """
    import numpy as np

    power_w = np.where(active, chart.powers_w(chart.cores), 0.0).sum(axis=1)
    return float(np.trapezoid(power_w, chart.at_s))


class _Parser:
    """Records to samples of channels; remembers the header, and where its stamps lie on the monotonic clock."""

    def __init__(self, topology: Topology, residency: Residency | None, at_s: float, local: datetime) -> None:
        self._reader = TimechartReader(local.tzinfo)
        self._residency = residency
        self._at_s, self._local = at_s, local
        self._topology = topology
        self._packages = sorted({core.package for core in topology.cores})
        self.channels = tuple(
            channel for package in self._packages for channel in _channels(package, split=residency is not None)
        )

    def __call__(self, raw: bytes) -> Sequence[Sample]:
        records = (self._reader.take(line) for line in raw.split(b"\n"))
        return [self._sample(record) for record in records if record is not None]

    def _sample(self, record: Record) -> Sample:
        at_s = self._at_s + (record.at - self._local).total_seconds()
        powers_w = dict(zip(self._reader.counters, record.power_w, strict=True))
        active = self._active(at_s)
        power_w: dict[str, float] = {}
        for package in self._packages:
            power_w |= self._package(package, powers_w, active)
        return Sample(power_w=power_w, at_s=at_s)

    def _package(self, package: int, powers_w: dict[str, float], active: frozenset[int] | None) -> dict[str, float]:
        """Power by channel of one package; without the shares of cores where nobody saw who ran on them."""
        import numpy as np

        numbers = [number for number, core in enumerate(self._topology.cores) if core.package == package]
        try:
            whole_w = powers_w[f"socket{package}-package-power"]
            cores_w = np.array([powers_w[f"core{number}-power"] for number in numbers])
        except KeyError as error:
            raise MeterError("malformed", f"the log has no counter {error} for package {package}") from error
        split = split_power(np.array(whole_w), cores_w, np.array([number in (active or ()) for number in numbers]))
        name = f"package-{package}"
        found = {name: whole_w, f"{name}/uncore": float(split.uncore_w)}
        if self._residency is None:
            found[f"{name}/cores"] = float(split.others_w)
        elif active is not None:
            found |= {f"{name}/our-cores": float(split.ours_w), f"{name}/other-cores": float(split.others_w)}
        return found

    def _active(self, at_s: float) -> frozenset[int] | None:
        """Numbers of the cores that ran us in the interval of a record; `None` where nobody looked."""
        interval_s = self._reader.interval_s or INTERVAL_S
        try:
            ran = None if self._residency is None else self._residency.between(at_s - interval_s, at_s)
        except MeterError:  # nobody knows who ran; the package's own joules are none the worse
            ran = None
        if ran is None:
            return None
        ours = {self._topology.core_of[cpu] for cpu in ran}
        return frozenset(number for number, core in enumerate(self._topology.cores) if core in ours)


class _Run:
    """AMDuProfCLI running into a folder of its own, and the looks at our processes beside it."""

    def __init__(
        self, executable: str, interval_s: float, residency: Residency | None, now_s: Callable[[], float]
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="wattshed-amduprof-")
        folder = Path(self._folder.name)
        command = timechart_command(folder, interval_s, executable)
        self._stream = StreamSource(Growing(command, folder, "**/*.csv"), b"\n", now_s=now_s)
        self._residency: Residency | None = residency

    def read(self) -> Reading:
        if self._residency is not None:
            self._residency.start()
        return self._stream.read()

    def close(self) -> None:
        self._stream.close()
        if self._residency is not None:
            self._residency.close()
        self._folder.cleanup()


def _channels(package: int, *, split: bool) -> tuple[MeterChannel, ...]:
    name = f"package-{package}"
    parts = {"our-cores": "cores that ran our processes", "other-cores": "cores that did not"}
    return (
        MeterChannel(name, "cpu", f"processor {name}, AMDuProf"),
        *(
            MeterChannel(f"{name}/{part}", "cpu", f"{what} of {name}, AMDuProf", inside=name)
            for part, what in {
                **(parts if split else {"cores": "all cores"}),
                "uncore": "all but the cores",
            }.items()
        ),
    )


def _refusal(executable: str) -> Absent | None:
    """Why AMDuProfCLI does not work here; it knows best itself."""
    try:
        asked = subprocess.run(  # noqa: S603 - the program that the caller named
            (executable, "timechart", "--list"), capture_output=True, check=False, timeout=30.0
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Absent(NAME, "source_failed", f"'{executable} timechart --list' does not answer ({error})")
    if asked.returncode == 0:
        return None
    said = (asked.stderr or asked.stdout).decode(errors="replace").strip().splitlines() or ["no message"]
    if refused(said[-1]):
        remedy = f"AMDuProfCLI says {said[-1]!r}: run as root, or install its power driver (AMDPowerProfilerDriver.sh)"
        return Absent(NAME, "permission", remedy)
    return Absent(NAME, "unsupported", f"AMDuProfCLI says {said[-1]!r}; use the meters 'pmu' or 'rapl' instead")
