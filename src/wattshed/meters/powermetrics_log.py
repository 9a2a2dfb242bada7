"""Parsers of powermetrics: pure functions from bytes to samples.

Text comes in blocks under a `*** Sampled system activity (date) (1006.50ms elapsed) ***` line. A `*** Summary` block
covers the whole run: it is no sample (it would double the energy) but a free check of them. Property lists come one
document after the other with a NUL byte between; their integer millijoules are what the chip counted, so they are
preferred to power x elapsed time.

Source: powermetrics(1) of macOS 14; a real log of an M1 for the text; METHOD.md section 5 for the property list and the
table of processes.
"""

import plistlib
import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final
from xml.parsers.expat import ExpatError

from wattshed.errors import MeterError
from wattshed.meters.activity import TOLERANCE, Activity, ActivityLog, Rails, Task
from wattshed.units import J_PER_MJ, S_PER_MS, S_PER_NS, W_PER_MW

DOCUMENT_END: Final = b"</plist>"
"""The last thing in a property list; what follows it, up to the next document, is a newline and a NUL byte."""


def read_log(raw: bytes) -> ActivityLog:
    """A whole log, text or property lists; a last sample that was cut off is left out.

    Raises `MeterError("malformed")` for anything else.
    """
    if DOCUMENT_END in raw:
        documents = raw.split(DOCUMENT_END)[:-1]
        return ActivityLog(tuple(parse_plist(document + DOCUMENT_END) for document in documents))
    cuts = [*(match.start() for match in _HEADER.finditer(raw)), len(raw)]
    blocks = [parse_text(raw[start:stop]) for start, stop in pairwise(cuts)]
    if not blocks:
        raise MeterError("malformed", "no sample in this powermetrics log; record one with: powermetrics -f plist")
    if blocks[-1].rails.known < blocks[0].rails.known:
        blocks.pop()
    summary = next((block for block in blocks if block.summary), None)
    return ActivityLog(tuple(block for block in blocks if not block.summary), summary)


def parse_text(block: bytes) -> Activity:
    """One block of text, from its header line on.

    GPU power is printed twice, in two sections, often 1 mW apart: the one beside the CPU's is the one that the
    combined power adds up.
    """
    header = _HEADER.match(block)
    if header is None:
        raise MeterError("malformed", f"expected the header line of a powermetrics sample, found {block[:40]!r}")
    try:
        duration_s = float(header["elapsed"]) * S_PER_MS
    except ValueError as error:
        problem = f"powermetrics says {header['elapsed']!r} ms elapsed; a decimal comma? run it with LC_ALL=C"
        raise MeterError("malformed", problem) from error
    sections = _sections(block)
    powers = sections.get(b"Processor usage", sections.get(b"GPU usage", b""))
    energy_j = {match["rail"]: int(match["power"]) * W_PER_MW * duration_s for match in _POWER.finditer(powers)}
    rows = list(_ROW.finditer(sections.get(b"Running tasks", b"")))
    grouped = any(row["indent"] for row in rows)
    # Below its coalition a process is indented; the coalition's own row is their sum, and would count them twice.
    tasks = [_text_task(row, duration_s) for row in rows if row["indent"] or not grouped or row["pid"].startswith(b"-")]
    rails = Rails(*(energy_j.get(rail) for rail in (b"CPU", b"GPU", b"ANE", b"Combined")))
    return Activity(duration_s, rails, *_without_total(tasks), summary=header["kind"] == b"Summary")


def parse_plist(document: bytes) -> Activity:
    """One property list.

    A key may occur twice, and then the last one wins; so each energy is checked against its power x elapsed time:
    `MeterError("malformed")` where they lie more than 5 % and 2 mJ apart.
    """
    try:
        plist = plistlib.loads(document.strip(b"\0\n "))
        duration_s = int(plist["elapsed_ns"]) * S_PER_NS
        powers = plist["processor"]
        rails = Rails(*(_energy_j(powers, rail, duration_s) for rail in ("cpu", "gpu", "ane", "combined")))
        tasks = [_plist_task(task) for task in _plist_tasks(plist)]
    except _MALFORMED as error:
        raise MeterError("malformed", f"a powermetrics property list cannot be understood ({error!r})") from error
    return Activity(duration_s, rails, *_without_total(tasks))


_MALFORMED = (plistlib.InvalidFileException, ExpatError, ValueError, KeyError, TypeError, AttributeError)
_TOTAL = "ALL_TASKS"
_HEADER = re.compile(
    rb"^\*\*\* (?P<kind>Sampled|Summary) system activity \([^)]*\) \((?P<elapsed>[^)]*?)ms elapsed\) \*\*\*$",
    re.MULTILINE,
)
_SECTION = re.compile(rb"^\*{3,4} (?P<name>[A-Z][^*(]*?) \*{3,4}$", re.MULTILINE)
_POWER = re.compile(rb"^(?P<rail>CPU|GPU|ANE|Combined) Power(?: \([^)]*\))?: (?P<power>\d+) mW$", re.MULTILINE)
_ROW = re.compile(
    # From the right: numbers with a decimal point, an integer, and the rest is the name, with its spaces and digits.
    rb"^(?P<indent> *)(?P<name>\S.*?) +(?P<pid>-?\d+) +(?P<cpu>\d+\.\d+)(?: +\d+\.\d+)*? +(?P<impact>\d+\.\d+) *$",
    re.MULTILINE,
)


def _sections(block: bytes) -> dict[bytes, bytes]:
    marks = list(_SECTION.finditer(block))
    cuts = [*(mark.start() for mark in marks), len(block)]
    return {mark["name"]: block[mark.end() : stop] for mark, stop in zip(marks, cuts[1:], strict=True)}


def _text_task(row: re.Match[bytes], duration_s: float) -> Task:
    cpu_time_s = float(row["cpu"]) * S_PER_MS * duration_s  # the column is in ms per second
    return Task(int(row["pid"]), row["name"].decode(errors="replace"), float(row["impact"]), cpu_time_s)


def _plist_tasks(plist: dict[str, Any]) -> list[dict[str, Any]]:
    """Processes of a sample, listed by themselves or each below its coalition, and their total where there is one."""
    tasks = plist.get("tasks") or [task for group in plist.get("coalitions", []) for task in group["tasks"]]
    return [*tasks, {**plist["all_tasks"], "pid": -2, "name": _TOTAL}] if "all_tasks" in plist else tasks


def _plist_task(task: dict[str, Any]) -> Task:
    cpu_time_s = int(task["cputime_ns"]) * S_PER_NS
    return Task(
        int(task["pid"]), str(task["name"]), float(task["energy_impact"]), cpu_time_s, task.get("started_abstime_ns")
    )


def _without_total(tasks: Iterable[Task]) -> tuple[tuple[Task, ...], Task | None]:
    """The processes, dead ones included, and their printed total, apart."""
    rows = tuple(tasks)
    total = next((task for task in rows if task.name == _TOTAL), None)
    return tuple(task for task in rows if task.name != _TOTAL), total


def _energy_j(powers: dict[str, Any], rail: str, duration_s: float) -> float | None:
    counted, power = powers.get(f"{rail}_energy"), powers.get(f"{rail}_power")
    power_j = None if power is None else float(power) * W_PER_MW * duration_s
    if counted is None:
        return power_j
    counted_j = int(counted) * J_PER_MJ
    if power_j is not None and not abs(power_j - counted_j) <= TOLERANCE * counted_j + 2 * J_PER_MJ:
        raise ValueError(f"{rail}_energy says {counted_j} J and {rail}_power x elapsed {power_j} J")
    return counted_j
