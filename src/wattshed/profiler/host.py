"""The host beside the accelerator: how busy it is, and the random label that stands for it.

Eager decoding of one query is often paced by the host's processor that launches the kernels, so every window records
how busy the host was. `System.host` is a label and never a machine's name; one machine keeps one label, so that its
campaigns can be compared, and two machines never share one, so that theirs are never pooled.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wattshed.errors import InputError
from wattshed.files import write_whole


@dataclass(frozen=True, slots=True)
class HostReading:
    """CPU seconds since some fixed instant: of this process and its children, and of everything on the host."""

    own_cpu_s: float
    all_cpu_s: float


Probe = Callable[[], HostReading]
"""Reads the host; an argument, so that tests can stand in for it."""


def read_host() -> HostReading:
    """How many CPU seconds went by; needs psutil, the extra [profile]."""
    import psutil

    every = psutil.cpu_times()
    waiting_s = every.idle + getattr(every, "iowait", 0.0) + getattr(every, "guest", 0.0)
    return HostReading(sum(os.times()[:4]), sum(every) - waiting_s - getattr(every, "guest_nice", 0.0))


def host_label(file: Path, machine: str, rng: np.random.Generator) -> str:
    """The label of `machine` in `file`, drawn and kept there at first sight.

    The file holds a digest of each machine and its label, so a home folder that several machines share keeps them
    apart. It stays on the machine: neither digest nor name gets into a bundle.
    """
    labels = _labels(file)
    digest = hashlib.sha256(machine.encode()).hexdigest()
    if digest not in labels:
        labels[digest] = f"host-{rng.bytes(4).hex()}"
        write_whole(file, (json.dumps(labels, indent=2) + "\n").encode())
    return labels[digest]


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
