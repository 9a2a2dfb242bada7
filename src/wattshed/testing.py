"""Fakes that ship with the package, for tests of anything that drives an engine or reads a meter, ours and users'.

    clock = VirtualClock()
    engine = SyntheticEngine(now_s=clock.now_s, sleep=clock.sleep)      knows what each request costs
    meter = SyntheticMeter(clock.now_s, engine.work, idle_power_w=50)   counts those joules, and idle between them

Nothing here sleeps: time passes only where someone calls `clock.sleep`.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np

from wattshed.domain.energy import ChannelEnergy, MeterChannel, Part, WindowEnergy
from wattshed.engines.synthetic import Failures, Scatter, SyntheticEngine, TrueCost, Work
from wattshed.meters.meter import PowerSample

__all__ = [
    "Failures",
    "Scatter",
    "Sensor",
    "SyntheticEngine",
    "SyntheticMeter",
    "TrueCost",
    "VirtualClock",
    "Work",
]

GPU_ONLY: Final[Mapping[Part, float]] = MappingProxyType({"gpu": 1.0})
"""All joules on the accelerator."""


class VirtualClock:
    """Time that passes when it is told to, on the monotonic axis."""

    def __init__(self, at_s: float = 0.0) -> None:
        self._at_s = at_s

    def now_s(self) -> float:
        """The present instant, in s."""
        return self._at_s

    def sleep(self, duration_s: float) -> None:
        """Let `duration_s` pass at once."""
        if duration_s < 0:
            raise ValueError(f"time does not run backwards: {duration_s} s")
        self._at_s += duration_s


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor that is wrong by one constant factor, as its maker's +-`tolerance` allows; `None` if he states none.

    `gain` multiplies every joule. A tolerance is a rectangle: its standard uncertainty is `tolerance` / sqrt(3)
    (JCGM 100:2008, 4.3.7).
    """

    gain: float = 1.0
    tolerance: float | None = 0.0

    @classmethod
    def drawn(cls, tolerance: float, rng: np.random.Generator) -> "Sensor":
        """One of the sensors that the maker sells: the gain is uniform in 1 +- `tolerance`."""
        return cls(float(rng.uniform(1 - tolerance, 1 + tolerance)), tolerance)


@dataclass(slots=True)
class SyntheticMeter:
    """Counts the joules of `work` as they were spent, and `idle_power_w` while there is none; a `Meter`.

    `shares` says what part of all joules each channel sees. Between the marks around a request it returns exactly what
    the request cost, times the sensor's gain.
    """

    now_s: Callable[[], float]
    work: Sequence[Work]
    idle_power_w: float = 0.0
    sensor: Sensor = field(default_factory=Sensor)
    shares: Mapping[Part, float] = field(default_factory=lambda: GPU_ONLY)
    name: str = "synthetic"
    _started_at_s: float | None = field(default=None, init=False)
    _closed_at_s: float = field(default=math.inf, init=False)

    @property
    def channels(self) -> tuple[MeterChannel, ...]:
        """One channel a part, named after it."""
        tolerance = self.sensor.tolerance
        uncertainty = None if tolerance is None else tolerance / 3**0.5
        return tuple(
            MeterChannel(f"synthetic-{part}", part, f"synthetic {part}", sensor_uncertainty=uncertainty)
            for part in self.shares
        )

    def start(self) -> None:
        """Begin to count; what came before is not bracketed."""
        if self._started_at_s is None:
            self._started_at_s = self.now_s()

    def mark(self) -> float:
        """The present instant."""
        return self.now_s()

    def between(self, start_s: float, stop_s: float) -> WindowEnergy:
        """Joules by channel; a reason where the meter was not counting at both ends."""
        reason = self._unbracketed(start_s, stop_s)
        gross_j = None if reason else self.sensor.gain * self._energy_j(start_s, stop_s)
        energies = tuple(
            ChannelEnergy(channel, None if gross_j is None else share * gross_j, "counter", reason)
            for channel, share in zip(self.channels, self.shares.values(), strict=True)
        )
        return WindowEnergy(start_s, stop_s, energies)

    def power_trace(self, since_s: float = -math.inf) -> tuple[PowerSample, ...]:
        """Power of every channel at the beginning and end of every piece of work that ended since an instant."""
        first = bisect_left(self.work, since_s, key=lambda work: work.stopped_at_s)
        return tuple(
            PowerSample(at_s, channel.name, share * self.sensor.gain * _power_w(work), utilization=1.0)
            for work in self.work[first:]
            for at_s in (work.started_at_s, work.stopped_at_s)
            if at_s >= since_s
            for channel, share in zip(self.channels, self.shares.values(), strict=True)
        )

    def close(self) -> None:
        """Stop counting; what was counted before stays known."""
        self._closed_at_s = min(self._closed_at_s, self.now_s())

    def _unbracketed(self, start_s: float, stop_s: float) -> str | None:
        if stop_s > self._closed_at_s:
            return "source_failed"
        counting = self._started_at_s is not None and self._started_at_s <= start_s
        return None if counting and stop_s <= self.now_s() else "not_bracketed"

    def _energy_j(self, start_s: float, stop_s: float) -> float:
        """True joules of a window: the work inside it, pro rata at its edges, and idle for the rest."""
        first = bisect_right(self.work, start_s, key=lambda work: work.stopped_at_s)
        last = bisect_left(self.work, stop_s, key=lambda work: work.started_at_s)
        inside = [(work, _overlap_s(work, start_s, stop_s)) for work in self.work[first:last]]
        idle_s = stop_s - start_s - sum(overlap_s for _, overlap_s in inside)
        return sum(_power_w(work) * overlap_s for work, overlap_s in inside) + self.idle_power_w * idle_s


def _overlap_s(work: Work, start_s: float, stop_s: float) -> float:
    return max(min(work.stopped_at_s, stop_s) - max(work.started_at_s, start_s), 0.0)


def _power_w(work: Work) -> float:
    return work.energy_j / (work.stopped_at_s - work.started_at_s)
