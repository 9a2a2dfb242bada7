"""What meters say: channels, and the joules of each over a window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Part = Literal["gpu", "cpu", "memory", "platform"]
"""Which part of a machine a channel belongs to; `platform` is the whole of it (psys, a plug, a BMC)."""

Method = Literal["counter", "integral"]
"""How joules were had: the difference of a counter, or sampled power integrated over time."""


@dataclass(frozen=True, slots=True)
class MeterChannel:
    """One thing that a meter counts, such as a GPU board or a processor package.

    `boundary` says in words whose joules it counts. `inside` names the channel that includes this one's joules (a core
    in its package, a package in its platform), so that nothing is added twice. `sensor_uncertainty` is the relative
    standard uncertainty of the sensor, `None` where it is not known; a maker's +-a is a rectangle, a / sqrt(3)
    (JCGM 100:2008, 4.3.7).
    """

    name: str
    part: Part
    boundary: str
    inside: str | None = None
    sensor_uncertainty: float | None = None


@dataclass(frozen=True, slots=True)
class ChannelEnergy:
    """Joules of one channel over a window, or `None` with the reason code (`schema.METER_REASONS`)."""

    channel: MeterChannel
    energy_j: float | None
    method: Method
    reason: str | None = None

    def __post_init__(self) -> None:
        if (self.energy_j is None) == (self.reason is None):
            raise ValueError(f"channel {self.channel.name}: joules or a reason, not both and not neither")


@dataclass(frozen=True, slots=True)
class WindowEnergy:
    """Energy by channel between two instants of the monotonic clock."""

    started_at_s: float
    stopped_at_s: float
    channels: tuple[ChannelEnergy, ...]

    def __post_init__(self) -> None:
        if self.stopped_at_s < self.started_at_s:
            raise ValueError(f"a window ends before it starts: {self.started_at_s} s to {self.stopped_at_s} s")

    @property
    def duration_s(self) -> float:
        """Seconds between the two instants."""
        return self.stopped_at_s - self.started_at_s

    @property
    def billed(self) -> tuple[ChannelEnergy, ...]:
        """The parts whose joules are added up: accelerator and processor, or the platform where neither has any."""
        found = {part: self.part(part) for part in ("gpu", "cpu", "platform")}
        known = {part: energy for part, energy in found.items() if energy is not None and energy.energy_j is not None}
        platform = known.pop("platform", None)
        return tuple(known.values()) or ((platform,) if platform else ())

    def part(self, part: Part) -> ChannelEnergy | None:
        """Joules of one part: its outermost channels added up; `None` where the window has no channel of it.

        A channel inside another channel of the same part is not added again. Where any addend is missing so is the
        sum, for that channel's reason.
        """
        names = {energy.channel.name for energy in self.channels if energy.channel.part == part}
        outer = [e for e in self.channels if e.channel.part == part and e.channel.inside not in names]
        if not outer:
            return None
        missing = next((energy for energy in outer if energy.energy_j is None), None)
        if missing is not None:
            return missing
        together = MeterChannel(
            part,
            part,
            " + ".join(energy.channel.boundary for energy in outer),
            sensor_uncertainty=sum_uncertainty(outer),
        )
        return ChannelEnergy(together, sum(energy.energy_j or 0.0 for energy in outer), outer[0].method)


def sum_uncertainty(energies: Sequence[ChannelEnergy]) -> float | None:
    """Relative standard uncertainty of the sum, the sensors being independent (JCGM 100:2008, 5.1.2).

    `None` where one of the sensors is not known, or where there are no joules to be relative to.
    """
    energy_j = sum(energy.energy_j or 0.0 for energy in energies)
    variance = 0.0
    for energy in energies:
        if energy.channel.sensor_uncertainty is None:
            return None
        variance += (energy.channel.sensor_uncertainty * (energy.energy_j or 0.0)) ** 2
    return variance**0.5 / energy_j if energy_j else None
