"""Logs of `nvidia-smi --query-gpu=timestamp,power.draw,... --format=csv -lms 100`.

Values carry their units, columns come in the order that was asked for, stamps are in local time, boards are told apart
only if `index` was asked for, and the last line is often cut. On Ampere and later `power.draw` is a mean over a second.

Source: nvidia-smi(1); two real logs by the authors of the paper.
"""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from wattshed.errors import InputError
from wattshed.meters.meter import PowerSample
from wattshed.units import percent

POWER: Final = ("power.draw.instant", "power.draw", "power.draw.average")
"""Columns of power, the preferred one first."""


@dataclass(frozen=True, slots=True)
class SmiLog:
    """The samples of a log, `at_s` in s since `started`; channels are called `gpu-0`, `gpu-1`, ..."""

    started: datetime
    samples: tuple[PowerSample, ...]


def read_nvidia_smi(raw: bytes, *, zone: tzinfo = UTC) -> SmiLog:
    """A whole log; a last line that was cut off is left out.

    `zone` is the time zone of the machine that wrote it. Raises `InputError` with row and field of the first defect.
    """
    lines = raw[: raw.rfind(b"\n") + 1].decode("utf-8", errors="replace").splitlines()
    rows = list(csv.reader(lines, skipinitialspace=True))
    if not rows or "timestamp" not in rows[0]:
        fix = "ask for it: nvidia-smi --query-gpu=timestamp,index,power.draw --format=csv -lms 100"
        raise InputError("has no column 'timestamp'", row=1, field="timestamp", fix=fix)
    names = [name.partition(" [")[0] for name in rows[0]]
    power = next((name for name in POWER if name in names), None)
    if power is None:
        raise InputError("has no column of power", row=1, field="power.draw", fix="ask for power.draw")
    entries = [_Row(number, names, row) for number, row in enumerate(rows[1:], 2)]
    if not entries:
        raise InputError("holds a header and no samples", row=2, fix="let nvidia-smi run longer")
    started = entries[0].instant(zone)
    samples = tuple(entry.sample(power, zone, started) for entry in entries)
    _refuse_steps(samples)
    return SmiLog(started, samples)


class _Row:
    """One line of a log, by column name."""

    def __init__(self, number: int, names: Sequence[str], values: Sequence[str]) -> None:
        if len(values) != len(names):
            problem = f"has {len(values)} fields, and the header {len(names)}"
            raise InputError(
                problem, row=number, fix="cut the log there; a decimal comma? run nvidia-smi with LC_ALL=C"
            )
        self.number, self._values = number, dict(zip(names, values, strict=True))

    def instant(self, zone: tzinfo) -> datetime:
        stamp = self._values["timestamp"]
        try:
            return datetime.strptime(stamp, "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=zone)
        except ValueError as error:
            raise InputError(f"is {stamp!r}", row=self.number, field="timestamp", fix="cut the log there") from error

    def sample(self, power: str, zone: tzinfo, started: datetime) -> PowerSample:
        power_w = self._number(power)
        if power_w is None:
            problem = f"is {self._values[power]!r}, no power"
            raise InputError(problem, row=self.number, field=power, fix="a board that tells no power cannot be metered")
        utilization = self._number("utilization.gpu")
        return PowerSample(
            (self.instant(zone) - started).total_seconds(),
            f"gpu-{self._values.get('index', '0')}",
            power_w,
            utilization=None if utilization is None else utilization / percent(1.0),
            temperature_c=self._number("temperature.gpu"),
            clock_mhz=self._number("clocks.current.sm"),
        )

    def _number(self, name: str) -> float | None:
        """A value without its unit; `None` where the board has none (`[N/A]`) or nobody asked."""
        try:
            number = float(self._values.get(name, "").partition(" ")[0])
        except ValueError:
            return None
        return number if math.isfinite(number) else None


def _refuse_steps(samples: Iterable[PowerSample]) -> None:
    """Stamps of one board only grow; where they do not, the clock was set back or boards are mixed up."""
    last_s: dict[str, float] = {}
    for row, sample in enumerate(samples, 2):
        if sample.at_s <= last_s.get(sample.channel, -math.inf):
            fix = "the clock was set back: cut the log there; or several boards: ask for index as well"
            raise InputError("is not later than the one before it", row=row, field="timestamp", fix=fix)
        last_s[sample.channel] = sample.at_s
