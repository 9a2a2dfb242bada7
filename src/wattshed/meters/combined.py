"""Several meters as one: a mark marks all, and windows are joined.

Each meter answers for the window between its own marks, which lie apart by the time it takes to read the others. A
channel that two meters have is the first one's alone; a channel inside another says so (`MeterChannel.inside`), and
`WindowEnergy.part` adds the outermost only. A processor's `psys` cannot know of the plug, BMC or other meter of the
whole machine that stands beside it here, and is taken to be inside it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from wattshed.domain.energy import ChannelEnergy, MeterChannel, WindowEnergy
from wattshed.meters.meter import Meter, PowerSample

MOST_MARKS: Final = 100_000
"""Marks remembered; a window between older ones is taken at the same instants for every meter."""


class Combined:
    """A meter of meters, in order of preference."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self.name = "+".join(meter.name for meter in meters)
        self._meters = tuple(meters)
        owners: dict[str, int] = {}
        for position, meter in enumerate(self._meters):
            for channel in meter.channels:
                owners.setdefault(channel.name, position)
        self._owners = owners
        kept = [
            channel
            for position, meter in enumerate(self._meters)
            for channel in meter.channels
            if owners[channel.name] == position
        ]
        self._machine = next((one.name for one in kept if one.part == "platform" and not _is_psys(one)), None)
        self.channels = tuple(map(self._placed, kept))
        self._marks: dict[float, tuple[float, ...]] = {}

    def start(self) -> None:
        """Start every meter."""
        for meter in self._meters:
            meter.start()

    def mark(self) -> float:
        """Mark every meter; the instant of the last."""
        marks = tuple(meter.mark() for meter in self._meters)
        at_s = max(marks)
        self._marks[at_s] = marks
        if len(self._marks) > MOST_MARKS:
            del self._marks[next(iter(self._marks))]
        return at_s

    def between(self, start_s: float, stop_s: float) -> WindowEnergy:
        """Joules by channel of all meters, each between its own marks."""
        starts_s, stops_s = (self._marks.get(at_s, (at_s,) * len(self._meters)) for at_s in (start_s, stop_s))
        windows = [meter.between(*ends) for meter, *ends in zip(self._meters, starts_s, stops_s, strict=True)]
        return WindowEnergy(start_s, stop_s, tuple(chain.from_iterable(map(self._own, range(len(windows)), windows))))

    def power_trace(self, since_s: float = -math.inf) -> tuple[PowerSample, ...]:
        """Every power sample of every meter from an instant on, in order of time."""
        samples = (
            sample
            for position, meter in enumerate(self._meters)
            for sample in meter.power_trace(since_s)
            if self._owners.get(sample.channel, position) == position
        )
        return tuple(sorted(samples, key=lambda sample: sample.at_s))

    def close(self) -> None:
        """Close every meter."""
        for meter in self._meters:
            meter.close()

    def _own(self, position: int, window: WindowEnergy) -> list[ChannelEnergy]:
        own = (energy for energy in window.channels if self._owners[energy.channel.name] == position)
        return [replace(energy, channel=self._placed(energy.channel)) for energy in own]

    def _placed(self, channel: MeterChannel) -> MeterChannel:
        return replace(channel, inside=self._machine) if self._machine and _is_psys(channel) else channel


def _is_psys(channel: MeterChannel) -> bool:
    return channel.part == "platform" and channel.name.startswith("psys")
