"""Running somebody's command as if we were not there: its output, its signals, its exit code."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from wattshed.errors import UsageError

FORWARDED: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that are meant for the command, whoever sends them."""

FROM_THE_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT)
"""Signals that a terminal sends to us and the command alike; forwarded only where it does not."""

KILLED: Final = 128
"""Added to the number of the signal that killed a command (POSIX shell)."""


def preflight(command: Sequence[str]) -> None:
    """`UsageError` where the command is not there or may not be run, before anything is measured."""
    name, path = command[0], Path(command[0])
    if shutil.which(name) is not None:
        return
    if os.sep in name and path.is_dir():
        raise UsageError(f"{name}: is a directory; give a program after --")
    if os.sep in name and path.exists():
        raise UsageError(f"{name}: may not be run; give its interpreter before it, or run: chmod +x {name}")
    raise UsageError(f"{name}: no such command; give a program on the PATH, or its path, after --")


def run(command: Sequence[str], *, quiet: bool = False, started: Callable[[int], None] = lambda _: None) -> int:
    """The exit code of a command, run to its end; `started` is told its pid, `quiet` sends its stdout to stderr."""
    try:
        child = subprocess.Popen(command, stdout=sys.stderr.fileno() if quiet else None)  # noqa: S603 - the user's own
    except OSError as error:
        raise UsageError(f"{command[0]}: cannot be run ({error.strerror}); check that it is a program") from error
    started(child.pid)
    with _forwarding(child):
        exit_code = child.wait()
    return KILLED - exit_code if exit_code < 0 else exit_code


@contextmanager
def _forwarding(child: "subprocess.Popen[bytes]") -> Iterator[None]:
    """While it lasts, what is sent to us is sent on to the command."""

    def forward(number: int, _: FrameType | None) -> None:
        if number in FORWARDED or not _shares_terminal():
            child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (*FORWARDED, *FROM_THE_TERMINAL)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _shares_terminal() -> bool:
    """Whether the terminal, if there is one, sends its signals to our process group and so to the command."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
