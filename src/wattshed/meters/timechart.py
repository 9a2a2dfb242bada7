"""AMDuProf timecharts: power of packages and cores every 100 ms, as `AMDuProfCLI timechart` writes them.

    (some 150 lines: what was run, and a list of the counters)
    Profile Start Time:,Mar-28-2024_11-15-48,
    PROFILE RECORDS
    RecordId,Timestamp,socket0-package-power,socket1-package-power,core0-power,...
    1,11:15:48:467,  185.28,  231.42,    4.77,...

Stamps are hours:minutes:seconds:milliseconds, unpadded, in local time and without a date; the start has the date, and
stamps roll over at midnight. Records may be missing, so energy is integrated over stamps and never over records. A run
that was aborted has a header and no records.

Source: logs of AMDuProf 4.1 by the authors of the paper (github grantwilkins/energy-inference).
"""

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wattshed.errors import InputError, MeterError
from wattshed.meters.sampled import integrated
from wattshed.meters.series import Joules
from wattshed.units import S_PER_MS

if TYPE_CHECKING:
    from wattshed.domain.arrays import Floats  # NumPy takes longer to load than a meter may

DAY: Final = timedelta(days=1)
MOST_BRIDGED: Final = 5
"""Longest gap that is bridged, in sampling intervals: real logs miss single records (4 of 2,332 in 233 s)."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its number, its instant, and the power of each counter of the header in order."""

    number: int
    at: datetime
    power_w: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Timechart:
    """T records of C counters: `at_s` (T,) in s since `started`; `power_w` (T, C), the mean since the record before."""

    started: datetime
    interval_s: float
    counters: tuple[str, ...]
    at_s: "Floats"
    power_w: "Floats"
    missing_records: int

    @property
    def aborted(self) -> bool:
        """Whether the run ended before it wrote a record."""
        return not len(self.at_s)

    @property
    def cores(self) -> tuple[str, ...]:
        """The counters of cores, in order of their number."""
        return tuple(sorted((c for c in self.counters if _CORE.fullmatch(c)), key=_number))

    @property
    def packages(self) -> tuple[str, ...]:
        """The counters of packages, in order of their socket."""
        return tuple(sorted((c for c in self.counters if _PACKAGE.fullmatch(c)), key=_number))

    def powers_w(self, counters: tuple[str, ...]) -> "Floats":
        """Power of some counters, shape (T, number of them)."""
        selected: Floats = self.power_w[:, [self.counters.index(counter) for counter in counters]]
        return selected

    def energy(self, counter: str, start_s: float, stop_s: float) -> Joules:
        """Joules of one counter between two instants, in s since `started`."""
        power_w = self.powers_w((counter,))[:, 0].tolist()
        return integrated(self.at_s.tolist(), power_w, start_s, stop_s, max_gap_s=MOST_BRIDGED * self.interval_s)


def read_timechart(source: bytes | Path, *, zone: tzinfo = UTC) -> Timechart:
    """A whole log; a last line without its newline may be cut anywhere and is left out.

    `zone` is the time zone of the machine that wrote it. Raises `InputError` with row and field of the first defect.
    """
    path = source if isinstance(source, Path) else None
    raw = source.read_bytes() if isinstance(source, Path) else source
    reader = TimechartReader(zone)
    records = []
    for row, line in enumerate(raw[: raw.rfind(b"\n") + 1].split(b"\n"), 1):
        try:
            record = reader.take(line)
        except MeterError as error:
            raise InputError(str(error), path=path, row=row, fix="mend or cut the log there") from error
        if record is not None:
            records.append(record)
    if reader.started is None or reader.interval_s is None or not reader.counters:
        fix = "give the CSV that 'AMDuProfCLI timechart' wrote, whole"
        raise InputError("has no start time, interval or header of an AMDuProf timechart", path=path, fix=fix)
    import numpy as np

    at_s = np.array([(record.at - reader.started).total_seconds() for record in records], np.float64)
    power_w = np.array([record.power_w for record in records], np.float64).reshape(len(records), len(reader.counters))
    missing = records[-1].number - records[0].number + 1 - len(records) if records else 0
    return Timechart(reader.started, reader.interval_s, reader.counters, at_s, power_w, missing)


@dataclass(slots=True)
class TimechartReader:
    """Reads a log line by line, as it grows; what the preamble says is in its fields once that has passed."""

    zone: tzinfo | None
    started: datetime | None = None
    interval_s: float | None = None
    counters: tuple[str, ...] = ()
    _last: datetime | None = field(default=None, init=False)

    def take(self, line: bytes) -> Record | None:
        """The record on a whole line, if it is one.

        Raises `MeterError`: "malformed", or "clock_step" where a stamp goes back by less than a day rolled over.
        """
        text = line.decode("ascii", errors="replace").strip()
        if self.counters:
            return self._record(text) if text else None
        if text.startswith("RecordId,Timestamp,"):
            self.counters = tuple(text.split(",")[2:])
        elif match := _STARTED.match(text):
            self.started = datetime.strptime(match[1], "%b-%d-%Y_%H-%M-%S").replace(tzinfo=self.zone)
        elif match := _INTERVAL.match(text):
            self.interval_s = int(match[1]) * S_PER_MS
        return None

    def _record(self, text: str) -> Record:
        fields = text.split(",")
        if len(fields) != len(self.counters) + 2:
            problem = f"expected {len(self.counters) + 2} fields, found {len(fields)}; cut off, or a decimal comma"
            raise MeterError("malformed", problem)
        try:
            number, power_w = int(fields[0]), tuple(float(power) for power in fields[2:])
            at = self._instant(fields[1])
        except ValueError as error:
            raise MeterError("malformed", f"not a number in record {fields[0]} ({error})") from error
        if not all(math.isfinite(power) and power >= 0 for power in power_w):
            raise MeterError("malformed", f"a power of record {number} is negative or not finite")
        self._last = at
        return Record(number, at, power_w)

    def _instant(self, stamp: str) -> datetime:
        """The instant of a stamp: the first one after the record before it, by at most half a day."""
        hours, minutes, seconds, milliseconds = (int(part) for part in stamp.split(":"))
        before = self._last or self.started
        if before is None:
            raise MeterError("malformed", "records without a Profile Start Time before them")
        midnight = before.replace(hour=0, minute=0, second=0, microsecond=0)
        at = midnight + timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds)
        if before - at > DAY / 2:
            return at + DAY
        if at < before:
            raise MeterError("clock_step", f"stamp {stamp} is before {before:%H:%M:%S.%f}")
        return at


_STARTED = re.compile(r"Profile Start Time:,([^,]+)")
_INTERVAL = re.compile(r"Sampling Interval:,(\d+) milli-seconds")
_CORE = re.compile(r"core\d+-power")
_PACKAGE = re.compile(r"socket\d+-package-power")


def _number(counter: str) -> int:
    return int(re.findall(r"\d+", counter)[0])
