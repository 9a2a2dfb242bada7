"""What the process writes to stderr, a line a record: text for people, or JSON for programs, as the settings say.

    2026-11-23T12:00:00.123+00:00 WARNING wattshed.gateway.telemetry.drift: a system has drifted ... system=m1-pro
    {"at":"2026-11-23T12:00:00.123+00:00","level":"warning","logger":"...","message":"...","fields":{...}}

No prompt and no key is logged. We write none; and as somebody else's code may quote what it was given, its messages
stand here with their first line only, and its errors, but for the system's, as their class and where they arose.
"""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from traceback import walk_tb
from typing import Final, TextIO

import msgspec

from wattshed.errors import WattshedError
from wattshed.gateway.settings.settings import LogSettings

_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes of every record; all others are fields that were given with it."""

_QUOTABLE: Final = (WattshedError, OSError)
_OURS: Final = "wattshed"
_MOST_FRAMES: Final = 12


def start_logs(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Let all loggers write to `stream`, or stderr; what was set up before is taken away."""
    lines = logging.StreamHandler(stream or sys.stderr)
    lines.setFormatter(JsonLines() if settings.format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(settings.level.upper())


class TextLines(logging.Formatter):
    """A line for people, fields after the message."""

    def format(self, record: logging.LogRecord) -> str:
        """The record; line breaks in it are escaped, so that nobody can forge a second one."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        text = f"{_at(record)} {record.levelname} {record.name}: {_message(record)}{fields}"
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class JsonLines(logging.Formatter):
    """A JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record."""
        document = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            "fields": _fields(record),
        }
        return msgspec.json.encode(document, enc_hook=str).decode()


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    return message if record.name.partition(".")[0] == _OURS else message.partition("\n")[0]


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    """What was given with the message, and the error it is about."""
    fields = {name: value for name, value in vars(record).items() if name not in _PLAIN}
    error = record.exc_info[1] if record.exc_info else None
    return fields if error is None else fields | {"error": _told(error)}


def _told(error: BaseException) -> str:
    """Class, words if they may be quoted, and the way there, from the innermost line of code."""
    words = f": {error}" if isinstance(error, _QUOTABLE) else ""
    frames = [
        f"{PurePath(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in walk_tb(error.__traceback__)
    ]
    way = ", from ".join(frames[: -_MOST_FRAMES - 1 : -1])
    return f"{type(error).__name__}{words}" + (f" (at {way})" if way else "")
