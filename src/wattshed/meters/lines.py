"""Many small counters as one source: each is read by itself, and the reading is one `NAME VALUE` line a counter.

A counter that cannot be read is a `NAME !ERROR` line, so that one that vanishes takes no other with it.
"""

import errno
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from wattshed.meters.meter import Reading

ReadCounter = Callable[[], int]
"""The raw value of a counter, now; raises `OSError` where it cannot be had."""


class LinesSource:
    """Reads counters by channel name, one after the other; `release` lets go of what they hold open."""

    def __init__(
        self,
        counters: Mapping[str, ReadCounter],
        *,
        release: Callable[[], None] = lambda: None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counters, self._release, self._now_s = dict(counters), release, now_s

    def read(self) -> Reading:
        """One line a counter; never fails as a whole."""
        at_s, at = self._now_s(), datetime.now(UTC)
        return Reading(at_s, at, "".join(f"{name} {_said(read)}\n" for name, read in self._counters.items()).encode())

    def close(self) -> None:
        """Let go, once."""
        self._counters.clear()
        release, self._release = self._release, lambda: None
        release()


def counters_j(raw: bytes, scale_j: Mapping[str, float]) -> dict[str, float]:
    """Joules by channel name from `NAME VALUE` lines; `scale_j` is the joules that one count of a channel stands for.

    A counter that could not be read is left out. ValueError for what is no such line.
    """
    rows = (line.split(" ") for line in raw.decode("ascii").splitlines())
    return {name: int(value) * scale_j[name] for name, value in rows if not value.startswith("!")}


def _said(read: ReadCounter) -> str:
    try:
        return str(read())
    except OSError as error:
        return f"!{errno.errorcode.get(error.errno or 0, 'EIO')}"
    except ValueError:
        return "!EBADMSG"
