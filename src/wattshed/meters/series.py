"""Readings kept in order of time, and what both kinds of meter say about a window over them.

Plain Python and `array`, so that a meter starts without NumPy; a window of minutes at 10 Hz takes microseconds.
"""

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from wattshed.meters.meter import PowerSample

MOST_ROWS: Final = 1_000_000
"""Rows kept of one channel: 28 hours at 10 Hz, 8 MB a column. The older half goes when it is full."""


@dataclass(frozen=True, slots=True)
class Joules:
    """Energy over a window, or `None` with the reason code (`schema.METER_REASONS`)."""

    energy_j: float | None
    reason: str | None = None


class Trace:
    """Power samples in order of time; a thread may add to them while others look."""

    def __init__(self) -> None:
        self._samples: list[PowerSample] = []
        self._lock = threading.Lock()

    def extend(self, samples: Iterable[PowerSample]) -> None:
        """Keep samples, none of them earlier than the last."""
        with self._lock:
            self._samples.extend(samples)
            if len(self._samples) > MOST_ROWS:
                del self._samples[: MOST_ROWS // 2]

    def since(self, since_s: float) -> tuple[PowerSample, ...]:
        """Those from an instant on."""
        with self._lock:
            first = bisect_left(self._samples, since_s, key=lambda sample: sample.at_s)
            return tuple(self._samples[first:])


class Series:
    """Rows of numbers, the first of each an instant in s that only grows; threads may write and read it at once."""

    def __init__(self, columns: int) -> None:
        self._columns = tuple(array("d") for _ in range(columns))
        self._lock = threading.Lock()

    def append(self, *row: float) -> bool:
        """Keep a row, or nothing where its instant is already there; False where it is earlier than the last."""
        instants = self._columns[0]
        with self._lock:
            if instants and row[0] <= instants[-1]:
                return row[0] == instants[-1]
            for column, value in zip(self._columns, row, strict=True):
                column.append(value)
                if len(column) > MOST_ROWS:
                    del column[: MOST_ROWS // 2]
        return True

    def around(self, start_s: float, stop_s: float) -> tuple[Sequence[float], ...]:
        """The columns from the last row at or before `start_s` to the first at or after `stop_s`, as far as kept."""
        with self._lock:
            first = max(bisect_right(self._columns[0], start_s) - 1, 0)
            beyond = bisect_left(self._columns[0], stop_s) + 1
            return tuple(column[first:beyond] for column in self._columns)

    @property
    def last_at_s(self) -> float | None:
        """The instant of the latest row."""
        with self._lock:
            return self._columns[0][-1] if self._columns[0] else None


def bracket(at_s: Sequence[float], start_s: float, stop_s: float) -> tuple[int, int] | None:
    """Positions of the last instant at or before the start and the first at or after the stop; `None` without both."""
    if not at_s or at_s[0] > start_s or at_s[-1] < stop_s:
        return None
    return bisect_right(at_s, start_s) - 1, bisect_left(at_s, stop_s)
