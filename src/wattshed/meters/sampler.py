"""Reading a source in the background: one daemon thread, and what went wrong kept as reasons.

    source.read() --Reading-----> take(reading)        in the thread every `period_s`, and in the caller on `pull`
                  --MeterError--> fail(at_s, reason)   never an exception in the thread, never a zero

A source that says when it has something (a stream) has a period of 0: its `read` blocks. A source whose period is
`None` is read by callers alone; so are replays, whose clock moves only as they are read. A source whose readings are
dear is glanced at by the thread, but for every `whole_every`-th time; a caller always has a whole reading.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

from wattshed.errors import MeterError
from wattshed.meters.meter import Glancing, Reading, Source

RETRY_S: Final = 0.1
"""Shortest pause after a source failed, so that a dead stream does not keep a core busy."""

MOST_FAILURES: Final = 10_000
"""Failures kept: a quarter of an hour of nothing else at 10 Hz."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a source is read: every `period_s` (0: as it comes, `None`: on demand), and what a window forgives.

    Of the thread's readings each `whole_every`-th is whole, where the source can be glanced at.

    Readings further apart than `max_gap_s` leave a gap; a counter that stands still for longer than `quiet_s` is
    frozen; a window waits at most `patience_s` for the reading that closes it.
    """

    period_s: float | None = 0.1
    max_gap_s: float = 1.0
    quiet_s: float = 1.0
    patience_s: float = 3.0
    whole_every: int = 1


@dataclass(frozen=True, slots=True)
class Failure:
    """What a source, or one channel of it, could not say at an instant."""

    at_s: float
    reason: str
    channel: str | None = None


class Feed:
    """A source being read: hands each reading to `take`, and remembers failures."""

    def __init__(
        self,
        source: Source,
        take: Callable[[Reading], None],
        *,
        sampling: Sampling,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now_s = now_s
        self.cpu_s = 0.0
        """CPU seconds that the thread has used."""
        self._source, self._take, self._sampling = source, take, sampling
        self._failures: deque[Failure] = deque(maxlen=MOST_FAILURES)
        self._reading = threading.Lock()
        self._arrived = threading.Condition()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if the source is not read on demand alone; a second call does nothing."""
        if self._sampling.period_s is None or self._thread is not None or self._stopped.is_set():
            return
        self._thread = threading.Thread(target=self._run, args=(self._sampling.period_s,), daemon=True)
        self._thread.start()

    def pull(self, *, whole: bool = True) -> Reading | None:
        """Read the source once, now, or glance at it; `None` where it fails or is closed."""
        with self._reading:
            reading = None if self._stopped.is_set() else self._read(whole=whole)
        with self._arrived:
            self._arrived.notify_all()
        return reading

    def wait(self, done: Callable[[], bool], *, after_s: float) -> None:
        """Return once `done`, or when the source failed after `after_s`, or patience ends; no stream is read."""

        def over() -> bool:
            return done() or self._stopped.is_set() or any(failure.at_s >= after_s for failure in list(self._failures))

        if self._sampling.period_s == 0:
            if self._thread is None:
                return  # nobody reads the stream, and it may never say anything
            with self._arrived:
                self._arrived.wait_for(over, self._sampling.patience_s)
            return
        before_s = None
        while not over() and (reading := self.pull()) is not None and reading.at_s != before_s:
            before_s = reading.at_s

    def fail(self, at_s: float, reason: str, channel: str | None = None) -> None:
        """Remember that the source, or one channel of it, had nothing to say."""
        self._failures.append(Failure(at_s, reason, channel))

    def explain(self, reason: str, start_s: float, channel: str) -> str:
        """Why a window from `start_s` lacks readings: the first failure since then, else `reason` itself."""
        if reason not in ("not_bracketed", "sampling_gap", "wrap_ambiguous"):
            return reason
        failures = (f for f in list(self._failures) if f.at_s >= start_s and f.channel in (None, channel))
        return next((failure.reason for failure in failures), reason)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Everything that went wrong, in order."""
        return tuple(self._failures)

    def close(self) -> None:
        """Stop the thread and close the source; twice does no harm."""
        already = self._stopped.is_set()
        self._stopped.set()
        if self._sampling.period_s == 0 and not already:
            self._source.close()  # first: the thread may be blocked in its read
        if self._thread is not None:
            self._thread.join(self._sampling.patience_s)
        if self._sampling.period_s != 0 and not already:
            self._source.close()

    def _run(self, period_s: float) -> None:
        due_s = time.monotonic()
        for number in count():
            if self._stopped.is_set():
                return
            failed = self.pull(whole=number % self._sampling.whole_every == 0) is None
            self.cpu_s = time.thread_time()
            due_s = max(due_s + period_s, time.monotonic() + (RETRY_S if failed else 0.0))
            self._stopped.wait(due_s - time.monotonic())

    def _read(self, *, whole: bool) -> Reading | None:
        source, reading = self._source, None
        try:
            reading = source.glance() if not whole and isinstance(source, Glancing) else source.read()
            self._take(reading)
        except Exception as error:  # noqa: BLE001 - the border of a thread: sources and parsers are anybody's code
            self._blame(error, reading)
            return None
        return reading

    def _blame(self, error: Exception, reading: Reading | None) -> None:
        if self._stopped.is_set():
            return
        reason = "source_failed" if reading is None else "malformed"
        if isinstance(error, MeterError):
            reason = error.reason
        _log.debug("a source failed", extra={"reason": reason, "error": str(error)})
        self.fail(self.now_s() if reading is None else reading.at_s, reason)
