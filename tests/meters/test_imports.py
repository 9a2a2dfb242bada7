"""A meter starts at once: its layer needs none of the heavy libraries."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

CORE = ("certificate", "combined", "counter", "idle", "nvml", "replay", "sampled")
HEAVY = {"numpy", "polars", "scipy", "pydantic", "pynvml"}


@pytest.mark.parametrize("module", CORE)
def test_heavy_libraries_are_not_loaded(module: str) -> None:
    """Windows over readings are plain arithmetic, and NVML loads when boards are looked for."""
    report = f"import sys, wattshed.meters.{module}; print(*{{name.partition('.')[0] for name in sys.modules}})"

    ran = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)

    assert HEAVY & set(ran.stdout.split()) == set()


def test_import_takes_under_a_tenth_of_a_second(tmp_path: Path) -> None:
    """Meters add less than 0.1 s of CPU to a bare interpreter, the best of several runs with bytecode cached."""
    meters_s, bare_s = (
        min(_cpu_s(statement, tmp_path) for _ in range(4))
        for statement in ("import wattshed.meters.nvml, wattshed.meters.combined", "pass")
    )

    assert meters_s - bare_s < 0.1


def _cpu_s(statement: str, bytecode: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode), "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
