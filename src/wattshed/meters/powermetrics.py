"""The meter of Apple chips through powermetrics: GPU, CPU and ANE joules, and our share of the CPU's (Eq. 5 and 6).

powermetrics must run as root. Two ways give that to it and to nothing else, and neither puts a password anywhere:

    sudo      one line in /etc/sudoers.d lets one account run one exact command (`sudoers_line`)
    a pipe    launchd runs that command as root, into a named pipe that a group may read (docs/guides/meters.md)

Apple calls these powers estimates, not to be compared between devices; no sensor uncertainty is known.
"""

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from wattshed.domain.energy import MeterChannel
from wattshed.meters.activity import Activity, Ours, descendants
from wattshed.meters.meter import Absent, Meter
from wattshed.meters.powermetrics_log import DOCUMENT_END, parse_plist
from wattshed.meters.sampled import Sample, SampledMeter
from wattshed.meters.sampler import Sampling
from wattshed.meters.stream import Chunks, Output, Pipe, StreamSource
from wattshed.units import S_PER_MS

NAME: Final = "powermetrics"
INTERVAL_S: Final = 0.2
"""Time between samples; parsing one takes 26-78 ms (METHOD.md, section 5), on a thread of its own."""

MOST_LATE: Final = 5
"""How late a sample may be read, in intervals, before time is taken to be lost."""

CPU, GPU, ANE = "apple-cpu", "apple-gpu", "apple-ane"
BY_ENERGY_IMPACT, BY_CPU_TIME = f"{CPU}/ours-by-energy-impact", f"{CPU}/ours-by-cpu-time"

CHANNELS: Final = (
    MeterChannel(CPU, "cpu", "CPU clusters of the Apple chip, as powermetrics estimates"),
    MeterChannel(GPU, "gpu", "GPU of the Apple chip, as powermetrics estimates"),
    MeterChannel(ANE, "gpu", "Neural Engine of the Apple chip, as powermetrics estimates"),
)
SHARES: Final = (
    MeterChannel(BY_ENERGY_IMPACT, "cpu", "CPU joules x our share of all energy impact (Eq. 6)", inside=CPU),
    MeterChannel(BY_CPU_TIME, "cpu", "CPU joules x our share of all CPU time", inside=CPU),
)


def find(
    *,
    pids: Collection[int] | None = None,
    pipe: Path | None = None,
    interval_s: float = INTERVAL_S,
    executable: str = "powermetrics",
    root: bool | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> Meter | Absent:
    """A meter of the chip, with a share of the CPU for the process trees of `pids`, or why there is none.

    `pids` may be empty, and grow while the meter runs; they need psutil. Reads `pipe` where one is given; otherwise
    runs powermetrics, through sudo unless we are `root`.
    """
    if pids is not None and find_spec("psutil") is None:
        return Absent(NAME, "not_installed", "a tree's processes are found by psutil: pip install 'wattshed[apple]'")
    chunks = _pipe(pipe) if pipe is not None else _program(executable, interval_s, root=root)
    if isinstance(chunks, Absent):
        return chunks
    late_s = MOST_LATE * interval_s
    ours, stamps = None if pids is None else Ours(pids, descendants), Stamps(late_s, now_s)
    return SampledMeter(
        NAME,
        StreamSource(chunks, DOCUMENT_END, now_s=now_s),
        lambda raw: samples(raw, ours, stamps),
        CHANNELS + (() if pids is None else SHARES),
        sampling=Sampling(period_s=0, max_gap_s=late_s, patience_s=max(3.0, late_s)),
        now_s=now_s,
    )


def powermetrics_command(interval_s: float = INTERVAL_S, executable: str = "/usr/bin/powermetrics") -> tuple[str, ...]:
    """The one command that needs root: property lists, unbuffered, of power and of every process."""
    interval = str(round(interval_s / S_PER_MS))
    samplers = "cpu_power,gpu_power,tasks"
    return (executable, "-f", "plist", "-b", "0", "-i", interval, "--samplers", samplers, "--show-process-energy")


def sudoers_line(command: Collection[str], account: str = "YOUR_ACCOUNT") -> str:
    """The line for /etc/sudoers.d that lets an account run exactly this command as root (sudoers(5))."""
    escaped = " ".join(word.replace(",", "\\,") for word in command)
    return f"{account} ALL=(root) NOPASSWD: {escaped}"


def samples(raw: bytes, ours: Ours | None = None, stamps: "Stamps | None" = None) -> list[Sample]:
    """The samples of one or more property lists: joules by channel over the interval of each."""
    activities = [parse_plist(document + DOCUMENT_END) for document in raw.split(DOCUMENT_END)[:-1]]
    durations_s = [activity.duration_s for activity in activities]
    ends_s = [None] * len(activities) if stamps is None else stamps.of(durations_s)
    return [
        Sample(energy_j=energies_j(activity, ours), duration_s=activity.duration_s, at_s=end_s)
        for activity, end_s in zip(activities, ends_s, strict=True)
    ]


class Stamps:
    """When each sample ended, by its own length: samples follow each other without holes, however late they are read.

    A sample ends where the one before it ended, plus its own duration; that can be neither later than its arrival, nor
    `late_s` earlier, for then powermetrics has lost time and there is a hole.
    """

    def __init__(self, late_s: float, now_s: Callable[[], float]) -> None:
        self._late_s, self._now_s = late_s, now_s
        self._last_s: float | None = None

    def of(self, durations_s: Sequence[float]) -> list[float]:
        """Ends of samples that have just arrived together, in order."""
        arrived_s, ends_s = self._now_s(), []
        for position, duration_s in enumerate(durations_s):
            latest_s = arrived_s - sum(durations_s[position + 1 :])
            follows_s = latest_s if self._last_s is None else self._last_s + duration_s
            self._last_s = follows_s if latest_s - self._late_s < follows_s < latest_s else latest_s
            ends_s.append(self._last_s)
        return ends_s


def energies_j(activity: Activity, ours: Ours | None = None) -> dict[str, float]:
    """Joules of one sample by channel, without those that it does not say; our shares where `ours` are given."""
    rails = activity.rails
    found = {CPU: rails.cpu_j, GPU: rails.gpu_j, ANE: rails.ane_j}
    if ours is not None and rails.cpu_j is not None:
        share = ours.share(activity)
        for channel, fraction in ((BY_ENERGY_IMPACT, share.by_impact), (BY_CPU_TIME, share.by_cpu)):
            found[channel] = None if fraction is None else fraction * rails.cpu_j
    return {channel: energy_j for channel, energy_j in found.items() if energy_j is not None}


def _pipe(path: Path) -> Chunks | Absent:
    try:
        if not stat.S_ISFIFO(path.stat().st_mode):
            return Absent(NAME, "not_found", f"{path} is no named pipe: make it with 'sudo mkfifo -m 640 {path}'")
        return Pipe(path)
    except PermissionError:
        remedy = f"{path} may not be read: run 'sudo chgrp energy {path} && sudo chmod 640 {path}' and join that group"
        return Absent(NAME, "permission", remedy)
    except OSError:
        return Absent(NAME, "not_found", f"there is no {path}: run 'sudo mkfifo -m 640 {path}' and start the daemon")


def _program(executable: str, interval_s: float, *, root: bool | None) -> Chunks | Absent:
    found = shutil.which(executable)
    if found is None:
        return Absent(NAME, "not_found", "powermetrics comes with macOS and exists nowhere else; use 'rapl' on Linux")
    command = powermetrics_command(interval_s, found)
    if root if root is not None else os.geteuid() == 0:
        return Output(command)
    asked = subprocess.run(["sudo", "-n", "-l", *command], capture_output=True, check=False)  # noqa: S603, S607
    if asked.returncode != 0:
        line = sudoers_line(command)
        remedy = f"powermetrics needs root: run 'sudo visudo -f /etc/sudoers.d/wattshed' and enter the line: {line}"
        return Absent(NAME, "permission", remedy)
    return Output(("sudo", "-n", *command))
