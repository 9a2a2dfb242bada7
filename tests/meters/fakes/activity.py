"""Samples of powermetrics, made by hand.

No real property list and no real table of processes was to be had: these follow METHOD.md section 5.
"""

import plistlib
from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """A process of a sample; `started` only in property lists, `indent` only in text."""

    pid: int
    name: str
    energy_impact: float
    cpu_ms: float
    started: int = 1
    indent: str = ""


def plist(
    *,
    cpu_mj: int = 400,
    gpu_mj: int = 100,
    ane_mj: int = 0,
    elapsed_ns: int = 200_000_000,
    tasks: Sequence[Row] = (),
    total: Row | None = None,
    grouped: bool = False,
) -> bytes:
    """One document, as powermetrics ends it: a newline, and the NUL byte that comes before the next."""
    elapsed_s = elapsed_ns * 1e-9
    rows = [_plist_row(task, elapsed_s) for task in tasks]
    document: dict[str, object] = {
        "is_delta": True,
        "elapsed_ns": elapsed_ns,
        "processor": {
            "cpu_energy": cpu_mj,
            "gpu_energy": gpu_mj,
            "ane_energy": ane_mj,
            "cpu_power": cpu_mj / elapsed_s,
            "gpu_power": gpu_mj / elapsed_s,
            "combined_power": (cpu_mj + gpu_mj + ane_mj) / elapsed_s,
        },
        "gpu": {"freq_hz": 1278.0},  # MHz, whatever its name says
    }
    document |= {"coalitions": [{"name": "all", "tasks": rows}]} if grouped else {"tasks": rows}
    if total is not None:
        document["all_tasks"] = {k: v for k, v in _plist_row(total, elapsed_s).items() if k not in ("pid", "name")}
    return plistlib.dumps(document) + b"\0"


def block(*, kind: str = "Sampled", elapsed: str = "1000.00", cpu_mw: int = 300, tasks: Sequence[Row] = ()) -> bytes:
    """One block of text, with its table of processes where it has any."""
    lines = [
        "",
        f"*** {kind} system activity (Tue Oct 22 14:09:46 2024 +0200) ({elapsed}ms elapsed) ***",
        "",
        *(_table(tasks) if tasks else ()),
        "",
        "**** Processor usage ****",
        "",
        "CPU 0 active residency:  24.12% (600 MHz:   0% 972 MHz:  11%)",
        f"CPU Power: {cpu_mw} mW",
        "GPU Power: 25 mW",
        "ANE Power: 0 mW",
        f"Combined Power (CPU + GPU + ANE): {cpu_mw + 25} mW",
        "",
        "**** GPU usage ****",
        "",
        "GPU HW active frequency: 706 MHz",
        "GPU Power: 24 mW",
        "",
        "",
    ]
    return "\n".join(lines).encode()


def _plist_row(task: Row, elapsed_s: float) -> dict[str, object]:
    return {
        "pid": task.pid,
        "name": task.name,
        "started_abstime_ns": task.started,
        "cputime_ns": round(task.cpu_ms * 1e6),
        "energy_impact": task.energy_impact,
    }


def _table(tasks: Sequence[Row]) -> list[str]:
    header = (
        "Name                               ID     CPU ms/s  User%  Deadlines (<2 ms, 2-5 ms)  "
        "Wakeups (Intr, Pkg idle)  Energy Impact"
    )
    rows = [
        f"{task.indent + task.name:<34} {task.pid:<6} {task.cpu_ms:<9.2f} 97.31  0.00    0.00               "
        f"12.00   0.50              {task.energy_impact:.2f}"
        for task in tasks
    ]
    return ["*** Running tasks ***", "", header, *rows]
