"""Energy from samples: power at instants, integrated, or joules over intervals, cut at the window's ends.

    points       power_w at instants           trapezoids, with the power at both ends interpolated
    intervals    energy_j over a duration      whole intervals, and of those at the ends the part inside

Both add up wherever a window is cut. A gap between samples, or a window without samples on both sides, is a reason.
"""

import math
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from wattshed.domain.energy import ChannelEnergy, MeterChannel, WindowEnergy
from wattshed.meters.meter import PowerSample, Reading, Source
from wattshed.meters.sampler import Feed, Sampling
from wattshed.meters.series import Joules, Series, Trace, bracket

DROPPED: Final = 0.5
"""A hole of more than this share of an interval is an interval that was dropped; less is the jitter of stamps."""


def integrated(
    at_s: Sequence[float], power_w: Sequence[float], start_s: float, stop_s: float, *, max_gap_s: float
) -> Joules:
    """Joules between two instants, from K samples of power: `at_s` and `power_w` have shape (K,), `at_s` grows.

    Trapezoidal rule; the power at the ends is interpolated. A sum over E = sum of P_i dt_i (Eq. 5).
    """
    ends = bracket(at_s, start_s, stop_s)
    if ends is None:
        return Joules(None, "not_bracketed")
    energy_j = 0.0
    for here in range(*ends):
        before_s, after_s = at_s[here], at_s[here + 1]
        if after_s - before_s > max_gap_s:
            return Joules(None, "sampling_gap")
        slope = (power_w[here + 1] - power_w[here]) / (after_s - before_s)
        from_s, to_s = max(start_s, before_s), min(stop_s, after_s)
        middle_w = power_w[here] + slope * ((from_s + to_s) / 2 - before_s)
        energy_j += middle_w * (to_s - from_s)
    return Joules(energy_j)


def prorated(
    end_s: Sequence[float],
    duration_s: Sequence[float],
    energy_j: Sequence[float],
    start_s: float,
    stop_s: float,
    *,
    max_gap_s: float,
) -> Joules:
    """Joules between two instants, from K intervals with their energies; each argument has shape (K,), `end_s` grows.

    An interval reaches back to the end of the one before it, whose stamp may be early or late by some jitter, so that
    no joule is lost or counted twice. A hole of `max_gap_s`, or of half an interval, is a `sampling_gap`.
    """
    if not end_s or end_s[0] - duration_s[0] > start_s or end_s[-1] < stop_s:
        return Joules(None, "not_bracketed")
    total_j = 0.0
    for here in range(bisect_right(end_s, start_s), bisect_left(end_s, stop_s) + 1):
        from_s = end_s[here - 1] if here else end_s[0] - duration_s[0]
        length_s = end_s[here] - from_s
        if length_s - duration_s[here] > min(max_gap_s, DROPPED * duration_s[here]):
            return Joules(None, "sampling_gap")
        inside_s = max(min(stop_s, end_s[here]) - max(start_s, from_s), 0.0)
        total_j += energy_j[here] * inside_s / length_s
    return Joules(total_j)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a sensor said of its channels: `power_w` at an instant, or `energy_j` over the `duration_s` before it.

    `at_s` is that instant on the monotonic clock. `None` means the instant of the reading; where one reading brings
    several samples the last ends there, and each ends as the next begins.
    """

    power_w: Mapping[str, float] = field(default_factory=dict)
    energy_j: Mapping[str, float] = field(default_factory=dict)
    duration_s: float | None = None
    at_s: float | None = None

    def __post_init__(self) -> None:
        if self.energy_j and not (self.duration_s and self.duration_s > 0):
            raise ValueError(f"joules need the seconds they were used in, got {self.duration_s} s")


class SampledMeter:
    """A meter over one source of samples, a stream (`sampling.period_s` is 0) or polled; `parse` reads its bytes.

    A channel says power in all its samples or energy in all of them. `trace` turns a reading into power samples;
    without it the trace is the power, or the mean power, of the samples.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        parse: Callable[[bytes], Sequence[Sample]],
        channels: Sequence[MeterChannel],
        *,
        sampling: Sampling | None = None,
        now_s: Callable[[], float] = time.monotonic,
        trace: Callable[[Reading], Sequence[PowerSample]] | None = None,
    ) -> None:
        self.name = name
        self.channels = tuple(channels)
        self.sampling = sampling or Sampling()
        self.senses_power = True
        self._parse, self._trace = parse, trace
        self._powers = {channel.name: Series(2) for channel in channels}
        self._energies = {channel.name: Series(3) for channel in channels}
        self._samples = Trace()
        self.feed = Feed(source, self._take, sampling=self.sampling, now_s=now_s)

    def start(self) -> None:
        """Begin to sample in the background; a stream is waited for until it has said something, or failed."""
        self.feed.start()
        if self.sampling.period_s == 0:
            self.feed.wait(lambda: self._closed(-math.inf), after_s=-math.inf)

    def mark(self) -> float:
        """An instant of the clock; a polled source is read then, a stream is not waited for."""
        if self.sampling.period_s != 0:
            reading = self.feed.pull()
            return self.feed.now_s() if reading is None else reading.at_s
        return self.feed.now_s()

    def between(self, start_s: float, stop_s: float) -> WindowEnergy:
        """Joules by channel; waits up to `sampling.patience_s` for the sample that closes the window."""
        self.feed.wait(lambda: self._closed(stop_s), after_s=stop_s)
        return WindowEnergy(start_s, stop_s, tuple(self._energy(one, start_s, stop_s) for one in self.channels))

    def power_trace(self, since_s: float = -math.inf) -> tuple[PowerSample, ...]:
        """Every power sample from an instant on."""
        return self._samples.since(since_s)

    @property
    def cpu_s(self) -> float:
        """CPU seconds that sampling has taken."""
        return self.feed.cpu_s

    def readings(self, channel: str) -> tuple[Sequence[float], Sequence[float]]:
        """Instants and watts of every sample kept of one channel; of joules over an interval, their mean power."""
        end_s, duration_s, energy_j = self._energies[channel].around(-math.inf, math.inf)
        if end_s:
            return end_s, [joules / length_s for joules, length_s in zip(energy_j, duration_s, strict=True)]
        at_s, power_w = self._powers[channel].around(-math.inf, math.inf)
        return at_s, power_w

    def close(self) -> None:
        """Stop sampling and let go of the source; what was read still answers."""
        self.feed.close()

    def _take(self, reading: Reading) -> None:
        samples = list(self._parse(reading.raw))
        for at_s, sample in zip(_ends_s(samples, reading.at_s), samples, strict=True):
            for channel in self.channels:
                self._keep(channel.name, at_s, sample)
        if self._trace is not None:
            self._samples.extend(self._trace(reading))

    def _keep(self, name: str, at_s: float, sample: Sample) -> None:
        power_w, energy_j = sample.power_w.get(name), sample.energy_j.get(name)
        value = power_w if energy_j is None else energy_j
        if value is None or not math.isfinite(value):
            self.feed.fail(at_s, "source_failed" if value is None else "malformed", name)
            return
        series = self._powers[name] if energy_j is None else self._energies[name]
        row = (value,) if energy_j is None else (sample.duration_s or 0.0, value)
        if not series.append(at_s, *row):
            self.feed.fail(series.last_at_s or at_s, "clock_step", name)
        elif self._trace is None:
            mean_w = value if energy_j is None else value / (sample.duration_s or math.nan)
            self._samples.extend([PowerSample(at_s, name, mean_w)])

    def _closed(self, stop_s: float) -> bool:
        lasts_s = [self._last_at_s(channel.name) for channel in self.channels]
        return all(last_s is not None and last_s >= stop_s for last_s in lasts_s)

    def _last_at_s(self, name: str) -> float | None:
        energies_at_s = self._energies[name].last_at_s
        return self._powers[name].last_at_s if energies_at_s is None else energies_at_s

    def _energy(self, channel: MeterChannel, start_s: float, stop_s: float) -> ChannelEnergy:
        max_gap_s = self.sampling.max_gap_s
        if self._energies[channel.name].last_at_s is None:
            at_s, power_w = self._powers[channel.name].around(start_s, stop_s)
            answer = integrated(at_s, power_w, start_s, stop_s, max_gap_s=max_gap_s)
        else:
            end_s, duration_s, energy_j = self._energies[channel.name].around(start_s, stop_s)
            answer = prorated(end_s, duration_s, energy_j, start_s, stop_s, max_gap_s=max_gap_s)
        reason = answer.reason and self.feed.explain(answer.reason, start_s, channel.name)
        return ChannelEnergy(channel, answer.energy_j, "integral", reason)


def _ends_s(samples: Sequence[Sample], read_at_s: float) -> list[float]:
    """When each sample ended: as it says, or counted back from the reading that brought them."""
    ends_s: list[float] = []
    next_s = read_at_s
    for sample in reversed(samples):
        end_s = next_s if sample.at_s is None else sample.at_s
        ends_s.append(end_s)
        next_s = end_s - (sample.duration_s or 0.0)
    return ends_s[::-1]
