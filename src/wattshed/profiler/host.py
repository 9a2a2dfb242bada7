"""The host beside the accelerator: how busy it is, and the random label that stands for it.

Eager decoding of one query is often paced by the host's processor that launches the kernels, so every window records
how busy the host was. `System.host` is a label and never a machine's name; one machine keeps one label, so that its
campaigns can be compared, and two machines never share one, so that theirs are never pooled.
"""

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import numpy as np

from wattshed.errors import InputError
from wattshed.files import write_whole
from wattshed.meters.activity import descendants


@dataclass(frozen=True, slots=True)
class HostReading:
    """CPU seconds since some fixed instant: of this process, its children and the server, and of all on the host."""

    own_cpu_s: float
    all_cpu_s: float


LOOPBACK: Final = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - compared, never bound to
"""Hosts of a URL that are this machine, whatever it is called."""

Probe = Callable[[], HostReading]
"""Reads the host; an argument, so that tests can stand in for it."""


def read_host(url: str | None = None) -> HostReading:
    """How many CPU seconds went by; needs psutil, the extra [profile].

    A server on this machine that answers at `url` works for us, so its CPU time is ours, with that of its children.
    """
    import psutil

    every = psutil.cpu_times()
    waiting_s = every.idle + getattr(every, "iowait", 0.0) + getattr(every, "guest", 0.0)
    servers = serving(url) if url else frozenset()
    own_s = sum(os.times()[:4]) + sum(map(_cpu_s, servers | descendants(servers)))
    return HostReading(own_s, sum(every) - waiting_s - getattr(every, "guest_nice", 0.0))


def serving(url: str) -> frozenset[int]:
    """The pids of this machine's processes that listen where a loopback URL points.

    None for a server elsewhere, in a container of its own, or of another account where the system hides its sockets:
    its CPU time then counts as foreign.
    """
    import psutil

    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK:
        return frozenset()
    # macOS shows the sockets of all to root alone; a port that is no number is the engine's to refuse
    with suppress(psutil.Error, ValueError):
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        listening = [one for one in psutil.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN]
        pids = {one.pid for one in listening if one.laddr and one.laddr.port == port}
        return frozenset(pid for pid in pids if pid is not None and pid != os.getpid())
    return frozenset()


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process and of those of its children that have ended; 0 once it has ended itself."""
    import psutil

    with suppress(psutil.Error):
        return sum(psutil.Process(pid).cpu_times()[:4])
    return 0.0


def host_label(file: Path, machine: str, rng: np.random.Generator) -> str:
    """The label of `machine` in `file`, drawn and kept there at first sight.

    The file holds a digest of each machine and its label, so a home folder that several machines share keeps them
    apart. It stays on the machine: neither digest nor name gets into a bundle.
    """
    labels, digest = _labels(file), _digest(machine)
    if digest not in labels:
        labels[digest] = f"host-{rng.bytes(4).hex()}"
        write_whole(file, (json.dumps(labels, indent=2) + "\n").encode())
    return labels[digest]


def kept_label(file: Path, machine: str) -> str | None:
    """The label of `machine` in `file`; `None` where none was drawn yet."""
    return _labels(file).get(_digest(machine))


def _digest(machine: str) -> str:
    return hashlib.sha256(machine.encode()).hexdigest()


def _labels(file: Path) -> dict[str, str]:
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError("is not JSON", path=file, fix="delete it; this machine gets a new label") from error
    if not isinstance(labels, dict):
        raise InputError("holds no labels", path=file, fix="delete it; this machine gets a new label")
    return {str(digest): str(label) for digest, label in labels.items()}
