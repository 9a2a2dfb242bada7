"""Recording what a source says, and playing it back on a virtual clock.

    source --Reading--> Recorder --Reading--> parser       one line of JSON a reading, as it comes
                            |
                            v
    ReplaySource <--Readings-- recording                   `now_s` is the instant of the reading last played

A line holds both clocks and the raw bytes in base64, or both clocks and the reason why there were none.
"""

import base64
import binascii
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from wattshed.errors import InputError, MeterError, MissingError
from wattshed.meters.meter import Glancing, Reading, Source


@dataclass(frozen=True, slots=True)
class Silence:
    """An instant at which a source had nothing to say, and the reason."""

    at_s: float
    at: datetime
    reason: str


class Recorder:
    """A source that writes down what another source says."""

    def __init__(self, source: Source, file: BinaryIO, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._source, self._file, self._now_s = source, file, now_s

    def read(self) -> Reading:
        """The other source's reading, written down; so is its failure."""
        return self._kept(self._source.read)

    def glance(self) -> Reading:
        """Likewise a glance, or a whole reading where the other source cannot be glanced at."""
        return self._kept(self._source.glance if isinstance(self._source, Glancing) else self._source.read)

    def _kept(self, read: Callable[[], Reading]) -> Reading:
        try:
            reading = read()
        except MeterError as error:
            self._write(self._now_s(), datetime.now(UTC), {"reason": error.reason})
            raise
        self._write(reading.at_s, reading.at, {"raw": base64.b64encode(reading.raw).decode("ascii")})
        return reading

    def close(self) -> None:
        """Close the other source; the file is its opener's."""
        self._source.close()

    def _write(self, at_s: float, at: datetime, what: dict[str, str]) -> None:
        line = json.dumps({"at_s": at_s, "at": at.isoformat(), **what}, separators=(",", ":"))
        self._file.write(line.encode("ascii") + b"\n")


class ReplaySource:
    """A source that says again what was recorded; then, and where the other failed, it fails."""

    def __init__(self, recording: Iterable[Reading | Silence]) -> None:
        self._recording = iter(recording)
        self._at_s = 0.0

    def now_s(self) -> float:
        """The virtual clock: the instant of what was last played."""
        return self._at_s

    def read(self) -> Reading:
        """The next reading, at once."""
        played = next(self._recording, None)
        if played is None:
            raise MeterError("source_failed", "the recording ends here; record for longer")
        self._at_s = played.at_s
        if isinstance(played, Silence):
            raise MeterError(played.reason, f"the source had failed here: {played.reason}")
        return played

    def close(self) -> None:
        """Nothing to let go of."""


def read_recording(path: Path) -> tuple[Reading | Silence, ...]:
    """What `Recorder` wrote; a last line that was cut off is left out. `InputError` where another line is torn."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise MissingError(f"{path}: cannot be read ({error.strerror}); give a recording") from error
    return tuple(_played(line, path, row) for row, line in enumerate(lines[:-1], start=1))


def _played(line: bytes, path: Path, row: int) -> Reading | Silence:
    try:
        entry = json.loads(line)
        at_s, at = float(entry["at_s"]), datetime.fromisoformat(entry["at"])
        if "reason" in entry:
            return Silence(at_s, at, str(entry["reason"]))
        return Reading(at_s, at, base64.b64decode(entry["raw"], validate=True))
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise InputError(
            f"not a reading ({error})", path=path, row=row, fix="delete the line or record again"
        ) from error
