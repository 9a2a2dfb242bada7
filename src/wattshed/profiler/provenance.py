"""Where a campaign runs: versions for the manifest, and the names that must not get into it."""

import getpass
import platform
import re
import socket
import uuid
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import wattshed
from wattshed.profiler.scrub import Identity

PACKAGES: Final = ("numpy", "scipy", "psutil", "nvidia-ml-py", "torch", "transformers", "accelerate", "aiohttp")
"""Packages whose versions may change what is measured."""

NVIDIA_DRIVER: Final = Path("/proc/driver/nvidia/version")
"""Where Linux tells the version of NVIDIA's kernel module."""


def versions(driver: Path = NVIDIA_DRIVER) -> dict[str, str]:
    """Versions of this package, Python, the kernel, the driver and the packages that are installed."""
    found = {
        "wattshed": wattshed.__version__,
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
    }
    nvidia = _nvidia_driver(driver)
    if nvidia:
        found["nvidia-driver"] = nvidia
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # it had no part in the measurement
    return found


def identity() -> Identity:
    """The names of this machine and its user."""
    home, host = Path.home(), socket.gethostname()
    words = [host, host.partition(".")[0], str(home), home.name]
    with suppress(KeyError, OSError):  # a container may run under a number that has no name
        words.append(getpass.getuser())
    return Identity.of(words)


def machine(machine_id: Path = Path("/etc/machine-id")) -> str:
    """What tells this machine from others, for a digest that stays on it."""
    try:
        own = machine_id.read_text(encoding="utf-8").strip()
    except OSError:
        own = ""
    node = uuid.getnode()
    # Without a network card Python draws a number, another one each time; the bit of a group address marks it.
    address = "" if node >> 40 & 1 else f"{node:x}"
    return f"{own}/{address}/{socket.gethostname()}"


def _nvidia_driver(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return found[1] if found else None
