"""Sources that say something when they please: a program's output, a named pipe, a file that grows.

    chunks.read() -> b"..."    as the bytes come, cut anywhere
    StreamSource               one reading whenever the end of something whole has come: a line, a document

A reading may hold several whole things, if they came together; what is left over waits for the rest of it. A reading
is stamped when its last byte came, so stamps are late by the time the program takes to print.
"""

import os
import re
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from wattshed.errors import MeterError
from wattshed.meters.meter import Reading

GLANCE_S: Final = 0.1
"""How often a reader that waits looks whether it was closed."""

CHUNK_BYTES: Final = 1 << 16


class Chunks(Protocol):
    """Bytes as they come."""

    def read(self) -> bytes:
        """The next bytes, at least one; blocks until there are some. `MeterError` when there will be no more."""
        ...

    def close(self) -> None:
        """End a `read` that waits, and let go."""
        ...


class StreamSource:
    """Whole things out of a stream; `end` is how each of them ends."""

    def __init__(self, chunks: Chunks, end: bytes, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._chunks, self._end, self._now_s = chunks, end, now_s
        self._rest = b""

    def read(self) -> Reading:
        """Everything whole that has come; waits until there is something."""
        while self._end not in self._rest:
            self._rest += self._chunks.read()
        cut = self._rest.rfind(self._end) + len(self._end)
        raw, self._rest = self._rest[:cut], self._rest[cut:]
        return Reading(self._now_s(), datetime.now(UTC), raw)

    def close(self) -> None:
        """Close the stream."""
        self._chunks.close()


class Output:
    """What a program prints; it starts with the first `read`."""

    def __init__(self, command: Sequence[str]) -> None:
        self._program = Program(command)
        self._turn = threading.Lock()  # nobody closes a descriptor that another thread waits on
        self._closing = False  # for locks are not fair: a reader could take every turn

    def read(self) -> bytes:
        """The next bytes of its standard output."""
        while not self._closing:
            with self._turn:
                file = self._program.start()
                if select.select([file], [], [], GLANCE_S)[0]:
                    chunk = os.read(file, CHUNK_BYTES)
                    if not chunk:
                        raise self._program.ended()
                    return chunk
        raise MeterError("source_failed", "the program was stopped")

    def close(self) -> None:
        """End the program."""
        self._closing = True
        with self._turn:
            self._program.stop()


class Pipe:
    """What some daemon writes into a named pipe; waits for it to come, and to come back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._turn = threading.Lock()
        self._closed = False

    def read(self) -> bytes:
        """The next bytes of the pipe."""
        while True:
            with self._turn:
                if self._closed:
                    raise MeterError("source_failed", f"{self._path} was closed")
                ready = select.select([self._file], [], [], GLANCE_S)[0]
                chunk = os.read(self._file, CHUNK_BYTES) if ready else b""
            if chunk:
                return chunk
            time.sleep(GLANCE_S)  # without a writer a pipe is always ready, with nothing

    def close(self) -> None:
        """Let go of the pipe."""
        with self._turn:
            if not self._closed:
                os.close(self._file)
            self._closed = True


class Growing:
    """What a program appends to the first file of a pattern in a folder, as it appends it."""

    def __init__(self, command: Sequence[str], folder: Path, pattern: str) -> None:
        self._program = Program(command)
        self._folder, self._pattern = folder, pattern
        self._offset = 0
        self._turn = threading.Lock()

    def read(self) -> bytes:
        """The next bytes of the file."""
        while True:
            with self._turn:
                self._program.start()
                running = self._program.running  # asked before the file is, so that its last words are not missed
                chunk = self._appended()
                if chunk:
                    return chunk
                if not running:
                    raise self._program.ended()
            time.sleep(GLANCE_S / 10)

    def close(self) -> None:
        """End the program."""
        with self._turn:
            self._program.stop()

    def _appended(self) -> bytes:
        path = next(iter(sorted(self._folder.glob(self._pattern))), None)
        if path is None:
            return b""
        with path.open("rb") as file:
            file.seek(self._offset)
            chunk = file.read(CHUNK_BYTES)
        self._offset += len(chunk)
        return chunk


class Program:
    """A program that runs beside us, with what it complained about."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the program; `stop` closes it

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> int:
        """The descriptor of its standard output; starts it, once. `MeterError` where it cannot, or was stopped."""
        if self._complaints.closed:
            raise MeterError("source_failed", f"{self._command[0]} was stopped")
        if self._process is None:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - a meter built this command
                    self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._complaints
                )
            except OSError as error:
                raise MeterError("source_failed", f"{self._command[0]} cannot be run ({error.strerror})") from error
        assert self._process.stdout is not None  # we asked for a pipe
        return self._process.stdout.fileno()

    def ended(self) -> MeterError:
        """Why it ended: its exit code and the last thing it complained about."""
        code = None if self._process is None else self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines() or ["no message"]
        reason = "permission" if refused(lines[-1]) else "source_failed"
        return MeterError(reason, f"{self._command[0]} ended with exit code {code}: {lines[-1]}")

    def stop(self) -> None:
        """End it and let go; twice does no harm."""
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()  # what runs as root by sudo takes no signal of ours, but dies of this
            for signal in (self._process.terminate, self._process.kill):
                with suppress(PermissionError, subprocess.TimeoutExpired):
                    signal()
                    self._process.wait(2.0)
        self._complaints.close()


def refused(complaint: str) -> bool:
    """Whether a program's complaint is that it lacks permission."""
    return (
        re.search(r"superuser|must be (?:run|invoked) as|permission|not permitted|privilege|password", complaint)
        is not None
    )
