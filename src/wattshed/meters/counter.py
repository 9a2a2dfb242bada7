"""Energy from counters that only grow: the difference of two readings, wrapped, reset and frozen ones included.

Between two readings a counter is taken to have grown evenly, so windows add up wherever they are cut. Marks read the
counter on the spot, so a window between marks is the plain difference. What a difference cannot tell is a reason:

    not_bracketed     no reading before the window, or none after it
    sampling_gap      two readings lie further apart than `max_gap_s`: whatever happened in between was not seen
    wrap_ambiguous    ... or so far apart that the counter may have wrapped more than once
    counter_reset     it fell, and no wrap explains that
    counter_frozen    it did not move for longer than `quiet_s`: that is not 0 J
    window_too_short  it did not move in the window, which may lie between two updates: that is not 0 J either
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from wattshed.domain.energy import ChannelEnergy, MeterChannel, WindowEnergy
from wattshed.meters.meter import PowerSample, Reading, Source
from wattshed.meters.sampler import Feed, Sampling
from wattshed.meters.series import Joules, Series, Trace, bracket

QUIET_S: Final = 1.0
"""Longest time that a counter may stand still: ten updates of the slowest, NVML's on an H100 (100 ms, measured)."""

MOST_POWER_W: Final = 2000.0
"""More than a counter that wraps can see: four of the largest packages (500 W, AMD EPYC 9965 data sheet)."""


def counted(
    at_s: Sequence[float],
    counter_j: Sequence[float],
    start_s: float,
    stop_s: float,
    *,
    wraps_at_j: float | None,
    max_gap_s: float,
    quiet_s: float = QUIET_S,
) -> Joules:
    """Joules counted between two instants, from K readings: `at_s` and `counter_j` have shape (K,), `at_s` grows.

    `wraps_at_j` is the joules at which the counter starts again from 0; `None` where it never does.
    """
    ends = bracket(at_s, start_s, stop_s)
    if ends is None:
        return Joules(None, "not_bracketed")
    energy_j, moved_at_s = 0.0, _moved_at_s(at_s, counter_j, ends[0])
    for here in range(*ends):
        step_s = at_s[here + 1] - at_s[here]
        step = _step(counter_j[here], counter_j[here + 1], step_s, wraps_at_j)
        if step.energy_j is None or step_s > max_gap_s:
            return Joules(None, step.reason or "sampling_gap")
        if step.energy_j > 0:
            moved_at_s = at_s[here + 1]
        elif at_s[here + 1] - moved_at_s > quiet_s:
            return Joules(None, "counter_frozen")
        inside_s = min(stop_s, at_s[here + 1]) - max(start_s, at_s[here])
        energy_j += step.energy_j * inside_s / step_s
    if energy_j == 0 and stop_s > start_s and quiet_s < math.inf:
        return Joules(None, "window_too_short")
    return Joules(energy_j)


def _moved_at_s(at_s: Sequence[float], counter_j: Sequence[float], position: int) -> float:
    """When the counter came to the value that it has at `position`."""
    while position > 0 and counter_j[position - 1] == counter_j[position]:
        position -= 1
    return at_s[position]


def _step(before_j: float, after_j: float, step_s: float, wraps_at_j: float | None) -> Joules:
    """Joules between two neighbouring readings."""
    if wraps_at_j is None:
        return Joules(after_j - before_j) if after_j >= before_j else Joules(None, "counter_reset")
    if MOST_POWER_W * step_s >= wraps_at_j:
        return Joules(None, "wrap_ambiguous")
    step_j = (after_j - before_j) % wraps_at_j
    return Joules(step_j) if step_j <= MOST_POWER_W * step_s or after_j >= before_j else Joules(None, "counter_reset")


@dataclass(frozen=True, slots=True)
class CounterChannel:
    """A channel with the joules at which its counter starts again from 0; `None` where it never does.

    `quiet_s` is how long the counter may stand still, infinite for a part that may be switched off (an idle ANE, an
    integrated GPU); `None` where the meter's `sampling.quiet_s` holds.
    """

    channel: MeterChannel
    wraps_at_j: float | None = None
    quiet_s: float | None = None


class CounterMeter:
    """A meter over one source of counters; `parse` turns its bytes into joules by channel name.

    A mark reads the source; between marks a thread reads it every `sampling.period_s`, to see wraps, gaps and resets.
    A channel that `parse` leaves out has failed, and it alone. `trace` turns a reading into power samples; without it
    the trace is the mean power between readings.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        parse: Callable[[bytes], Mapping[str, float]],
        channels: Sequence[CounterChannel],
        *,
        sampling: Sampling | None = None,
        now_s: Callable[[], float] = time.monotonic,
        trace: Callable[[Reading], Sequence[PowerSample]] | None = None,
    ) -> None:
        self.name = name
        self.channels = tuple(counter.channel for counter in channels)
        self.sampling = sampling or Sampling(max_gap_s=30.0)
        self.senses_power = trace is not None
        self._counters = tuple(channels)
        self._parse, self._trace = parse, trace
        self._series = {channel.name: Series(2) for channel in self.channels}
        self._samples = Trace()
        self.feed = Feed(source, self._take, sampling=self.sampling, now_s=now_s)

    def start(self) -> None:
        """Begin to sample in the background."""
        self.feed.start()

    def mark(self) -> float:
        """The instant of a reading made now; of the clock, where the source fails."""
        reading = self.feed.pull()
        return self.feed.now_s() if reading is None else reading.at_s

    def between(self, start_s: float, stop_s: float) -> WindowEnergy:
        """Joules by channel; reads once more where no reading closes the window yet."""
        self.feed.wait(lambda: self._closed(stop_s), after_s=stop_s)
        return WindowEnergy(start_s, stop_s, tuple(self._energy(one, start_s, stop_s) for one in self._counters))

    def power_trace(self, since_s: float = -math.inf) -> tuple[PowerSample, ...]:
        """Every power sample from an instant on."""
        if self._trace is not None:
            return self._samples.since(since_s)
        samples = (sample for counter in self._counters for sample in self._mean_powers(counter, since_s))
        return tuple(sorted(samples, key=lambda sample: sample.at_s))

    @property
    def cpu_s(self) -> float:
        """CPU seconds that sampling has taken."""
        return self.feed.cpu_s

    def readings(self, channel: str) -> tuple[Sequence[float], Sequence[float]]:
        """Instants and joules of every reading kept of one channel."""
        at_s, counter_j = self._series[channel].around(-math.inf, math.inf)
        return at_s, counter_j

    def close(self) -> None:
        """Stop sampling and let go of the source; what was read still answers."""
        self.feed.close()

    def _take(self, reading: Reading) -> None:
        counters_j = self._parse(reading.raw)
        samples = () if self._trace is None else self._trace(reading)
        self._samples.extend(samples)
        if samples and not counters_j:
            return  # a glance: nobody asked for the counters
        for name, series in self._series.items():
            counter_j = counters_j.get(name)
            if counter_j is None:
                self.feed.fail(reading.at_s, "source_failed", name)
            elif not math.isfinite(counter_j):
                self.feed.fail(reading.at_s, "malformed", name)
            elif not series.append(reading.at_s, counter_j):
                self.feed.fail(series.last_at_s or reading.at_s, "clock_step", name)

    def _closed(self, stop_s: float) -> bool:
        lasts_s = [series.last_at_s for series in self._series.values()]
        return all(last_s is not None and last_s >= stop_s for last_s in lasts_s)

    def _energy(self, counter: CounterChannel, start_s: float, stop_s: float) -> ChannelEnergy:
        name, sampling = counter.channel.name, self.sampling
        quiet_s = sampling.quiet_s if counter.quiet_s is None else counter.quiet_s
        at_s, counter_j = self._series[name].around(start_s - sampling.quiet_s, stop_s)
        answer = counted(
            at_s,
            counter_j,
            start_s,
            stop_s,
            wraps_at_j=counter.wraps_at_j,
            max_gap_s=sampling.max_gap_s,
            quiet_s=quiet_s,
        )
        reason = answer.reason and self.feed.explain(answer.reason, start_s, name)
        return ChannelEnergy(counter.channel, answer.energy_j, "counter", reason)

    def _mean_powers(self, counter: CounterChannel, since_s: float) -> list[PowerSample]:
        """Between changes of the counter: one that stands still (a virtual machine's, say) tells nothing, not 0 W."""
        around = self._series[counter.channel.name].around(since_s - self.sampling.quiet_s, math.inf)
        readings = list(zip(*around, strict=True))
        changes = readings[:1] + [after for before, after in pairwise(readings) if after[1] != before[1]]
        samples = []
        for (before_s, before_j), (after_s, after_j) in pairwise(changes):
            step = _step(before_j, after_j, after_s - before_s, counter.wraps_at_j)
            if step.energy_j is not None and after_s >= since_s:
                samples.append(PowerSample(after_s, counter.channel.name, step.energy_j / (after_s - before_s)))
        return samples
