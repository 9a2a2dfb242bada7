"""A share of a core for a process, and the seconds that it has used of them: what makes machines of one unlike.

    quotas       Linux, where control groups may be made: so many microseconds of every tenth of a second
    threads      elsewhere: a process has one thread or two, and the share is not kept

Source: cgroups(7), version 1 `cpu.cfs_quota_us` and version 2 `cpu.max`.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")

_PERIOD: Final = 100_000
"""Microseconds over which a quota is counted: the kernel's own choice, so that a share is kept within 0.1 s."""


def quota_groups(root: Path = CGROUPS) -> Path | None:
    """Where groups with a quota may be made: of version 1, or of 2 where its root gives processor time on."""
    first, gives = root / "cpu", root / "cgroup.subtree_control"
    if (first / "tasks").exists():
        return first if os.access(first, os.W_OK) else None
    given = gives.read_text(encoding="ascii").split() if gives.exists() else []
    return root if "cpu" in given and os.access(root, os.W_OK) else None


@contextmanager
def within(groups: Path, share: float, pid: int) -> Iterator[None]:
    """Let a process have so much of one core until the end of the block; OSError where it may not be bound."""
    group = groups / f"wattshed-{pid}"
    group.mkdir()
    try:
        _bind(group, round(_PERIOD * share))
        _enter(group, pid)
        yield
    finally:
        with suppress(OSError):  # where it was never in the group
            _enter(groups, pid)
        group.rmdir()


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used; ProcessLookupError where it has gone.

    To the nanosecond on Linux (clock_getcpuclockid(3)), to a hundredth of a second or better elsewhere.
    """
    if sys.platform == "linux":
        try:
            return time.clock_gettime(~pid << 3 | 2)
        except OSError as error:
            raise ProcessLookupError(f"process {pid} has gone") from error
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error as error:
        raise ProcessLookupError(f"process {pid} has gone") from error
    return float(times.user + times.system)


def _bind(group: Path, quota: int) -> None:
    first = group / "cpu.cfs_quota_us"
    if first.exists():
        first.write_text(str(quota), encoding="ascii")
    else:
        (group / "cpu.max").write_text(f"{quota} {_PERIOD}", encoding="ascii")


def _enter(group: Path, pid: int) -> None:
    (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
