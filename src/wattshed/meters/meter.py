"""The roles of the meter layer, and the one seam that tests and replays use.

    Source --Reading (raw bytes, two clocks)--> parser (bytes -> values) --> Meter --WindowEnergy--> whoever asked

A *source* touches hardware, a process or a file and does nothing else. A *parser* is a pure function of bytes. A
*meter* keeps the readings of one source as a series and answers for the joules between any two instants of it. So a
recorder can sit between source and parser, a replay can stand in for any source, and hardware can be emulated.

    meter.start()                    begin to sample in the background, where the meter samples
    start_s = meter.mark()           an instant; a counter is read on the spot, a sampled meter only looks at the clock
    ...                              the work to be measured
    stop_s = meter.mark()
    meter.between(start_s, stop_s)   WindowEnergy; waits for the sample that closes the window, if one is due
    meter.close()
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from wattshed.domain.energy import MeterChannel, WindowEnergy

Unavailable = Literal["not_installed", "not_found", "permission", "unsupported", "counter_frozen", "source_failed"]
"""Why a meter cannot be had on this machine."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source said at one instant: `at_s` of the monotonic clock, `at` in UTC for provenance, and the bytes."""

    at_s: float
    at: datetime
    raw: bytes


class Source(Protocol):
    """Where raw bytes come from."""

    def read(self) -> Reading:
        """The next reading; may block until there is one. Raises `MeterError` with a reason when there is none."""
        ...

    def close(self) -> None:
        """Let go of the hardware, process or file; twice does no harm."""
        ...


@runtime_checkable
class Glancing(Source, Protocol):
    """A source whose whole reading is dear, and that can be asked for the cheap part of it between two of those."""

    def glance(self) -> Reading:
        """The next reading without what is dear to ask (a counter); fails as `read` does."""
        ...


class Meter(Protocol):
    """Counts joules between instants."""

    @property
    def name(self) -> str:
        """Short name, as `--meters` takes it: `nvml`, `rapl`, `powermetrics`, ..."""
        ...

    @property
    def channels(self) -> tuple[MeterChannel, ...]:
        """What it counts on this machine."""
        ...

    def start(self) -> None:
        """Begin to sample; does nothing for a meter that only reads on demand."""
        ...

    def mark(self) -> float:
        """An instant of the monotonic clock, in s, that a window may start or stop at."""
        ...

    def between(self, start_s: float, stop_s: float) -> WindowEnergy:
        """Joules by channel between two marks; a channel that cannot answer says why, it never says 0."""
        ...

    def power_trace(self, since_s: float = -math.inf) -> tuple["PowerSample", ...]:
        """Every power sample from an instant on, in order of time; empty for a meter that takes none."""
        ...

    def close(self) -> None:
        """Stop sampling and let go of the source; twice does no harm."""
        ...


@dataclass(frozen=True, slots=True)
class PowerSample:
    """Power of one channel at one instant, with what else the sensor saw; `None` where it does not tell."""

    at_s: float
    channel: str
    power_w: float
    utilization: float | None = None
    temperature_c: float | None = None
    clock_mhz: float | None = None
    power_limit_w: float | None = None
    throttle_reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """A meter that this machine does not have, why, and what would bring it."""

    name: str
    reason: Unavailable
    remedy: str
