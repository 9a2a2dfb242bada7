"""The journal of a campaign: `trials.jsonl`, one line an event, on the disk before the next trial begins.

    {"campaign": {settings}}                     first line
    {"session": {host, versions, meters}}        each start of the profiler
    {"idle" | "trial" | "cell" | "failure" | "done": {...}}

Lines are only ever added. A crash can tear the last one, and then it is dropped on reading: that trial is measured
again. A disk that is full takes back the line it could not hold. So what the journal has is whole, and `resume` goes on
from it, with the same seed to the same end. On another host all cells start anew: hosts are never pooled.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from wattshed.datasets.manifest import JOURNAL_FILE
from wattshed.domain.measurement import Measurement
from wattshed.errors import InputError, MissingError, UsageError
from wattshed.profiler.campaign import TRIED_AGAIN, Earlier
from wattshed.profiler.events import (
    CampaignDone,
    CellDone,
    CellFailed,
    CellStarted,
    Event,
    IdleMeasured,
    Plain,
    SessionStarted,
    TrialDone,
)

FILE: Final = JOURNAL_FILE

KEYS: Final[Mapping[type[Event], str]] = {
    SessionStarted: "session",
    IdleMeasured: "idle",
    TrialDone: "trial",
    CellDone: "cell",
    CellFailed: "failure",
    CampaignDone: "done",
}
"""The word that each kept event goes under."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file: exactly one of these."""

    campaign: dict[str, Plain] | None = None
    session: SessionStarted | None = None
    idle: IdleMeasured | None = None
    trial: TrialDone | None = None
    cell: CellDone | None = None
    failure: CellFailed | None = None
    done: CampaignDone | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """All that a journal holds, in order of time."""

    settings: dict[str, Plain]
    sessions: tuple[SessionStarted, ...] = ()
    idle: tuple[IdleMeasured, ...] = ()
    trials: tuple[TrialDone, ...] = ()
    cells: tuple[CellDone, ...] = ()
    failures: tuple[CellFailed, ...] = ()
    done: tuple[CampaignDone, ...] = ()

    def host(self, session: int) -> str:
        """The label of the host that a session ran on."""
        return self.sessions[session].host

    def earlier(self, host: str) -> Earlier:
        """What a new session on `host` goes on from: its own trials and visits, and no other host's."""
        trials: dict[int, tuple[Measurement, ...]] = {}
        for event in self.trials:
            if self.host(event.session) == host:
                trials[event.visit] = (*trials.get(event.visit, ()), event.trial)
        done = [(one.session, one.visit) for one in self.cells]
        failed = [(one.session, one.visit) for one in self.failures if one.reason not in TRIED_AGAIN]
        over = {visit for session, visit in done + failed if self.host(session) == host}
        return Earlier(len(self.sessions), trials, frozenset(over))

    def is_complete(self, host: str) -> bool:
        """Whether the campaign came to its end on `host`."""
        return any(one.ended == "complete" and self.host(one.session) == host for one in self.done)


class Journal:
    """The file, open for adding; `scrub` takes from the messages of failures whatever names the machine."""

    def __init__(self, path: Path, size: int, scrub: Callable[[str], str]) -> None:
        self.path = path
        self._size, self._scrub = size, scrub
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self._file, size)

    def append(self, event: Event) -> None:
        """Keep an event, on the disk when this returns.

        Raises `MissingError` where the disk takes no more; nothing that was kept is lost.
        """
        if isinstance(event, CellStarted):
            return
        if isinstance(event, CellFailed):
            event = replace(event, message=self._scrub(event.message))
        self.append_line({KEYS[type(event)]: event})

    def append_line(self, line: Mapping[str, object]) -> None:
        """Add one line, whole or not at all."""
        content = msgspec.json.encode(line) + b"\n"
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, self._size)
            problem = f"{self.path}: the last trial cannot be written ({error.strerror}); all before it are safe"
            raise MissingError(f"{problem}: make room and run again with --resume") from error
        self._size += len(content)

    def close(self) -> None:
        """Let go of the file; twice does no harm."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def start_journal(path: Path, settings: dict[str, Plain], *, scrub: Callable[[str], str] = str) -> Journal:
    """A new journal; `UsageError` where there is one already."""
    if path.exists() and path.stat().st_size > 0:
        raise UsageError(f"{path} holds a campaign; go on with --resume, or give another place with --out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        journal = Journal(path, 0, scrub)
    except OSError as error:
        raise MissingError(f"{path}: cannot be written ({error.strerror}); give another place with --out") from error
    journal.append_line({"campaign": settings})
    return journal


def resume_journal(path: Path, settings: dict[str, Plain], *, scrub: Callable[[str], str] = str) -> Journal:
    """The journal of a campaign to go on with, its torn last line cut off; a new one where there is none yet.

    Raises `UsageError` where it is a journal of other settings, and `InputError` where it is damaged.
    """
    lines, size = _whole_lines(path) if path.exists() else ([], 0)
    if not lines:
        path.unlink(missing_ok=True)
        return start_journal(path, settings, scrub=scrub)
    refuse_other(_record(lines, path).settings, settings, path)
    return Journal(path, size, scrub)


def refuse_other(kept: Mapping[str, Plain], asked: Mapping[str, Plain], path: Path) -> None:
    """`UsageError` where the settings of a journal are not those that are asked for now; names the first."""
    for name in [*kept, *asked]:
        if kept.get(name) != asked.get(name):
            differs = f"{name} = {kept.get(name)!r} there, and {asked.get(name)!r} now"
            problem = f"{path} is of another campaign ({differs})"
            raise UsageError(f"{problem}; resume with the same flags, or give another --out")


def read_journal(path: Path) -> Record:
    """All that a journal holds; `InputError` names the line where it is damaged, `MissingError` where there is none."""
    try:
        lines, _ = _whole_lines(path)
    except FileNotFoundError as error:
        raise MissingError(f"{path}: no such journal; run wattshed profile first") from error
    return _record(lines, path)


def _whole_lines(path: Path) -> tuple[list[Line], int]:
    """The lines of a file and the bytes they take; a last line without its end, or that makes no sense, is torn."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    raw = whole.splitlines(keepends=True)
    decoder = msgspec.json.Decoder(Line)
    lines: list[Line] = []
    for number, text in enumerate(raw, 1):
        try:
            lines.append(decoder.decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if number == len(raw):
                return lines, len(whole) - len(text)
            raise InputError(
                f"is damaged: {error}", path=path, row=number, fix="restore the file from a copy"
            ) from error
    return lines, len(whole)


def _record(lines: list[Line], path: Path) -> Record:
    if not lines or lines[0].campaign is None:
        raise InputError("does not start with a campaign", path=path, row=1, fix="give a journal of wattshed profile")
    return Record(
        lines[0].campaign,
        tuple(line.session for line in lines if line.session),
        tuple(line.idle for line in lines if line.idle),
        tuple(line.trial for line in lines if line.trial),
        tuple(line.cell for line in lines if line.cell),
        tuple(line.failure for line in lines if line.failure),
        tuple(line.done for line in lines if line.done),
    )
