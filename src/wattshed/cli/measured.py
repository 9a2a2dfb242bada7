"""The joules of a command or of running processes, channel by channel: gross, net and attributed side by side.

gross        everything that the channel counted, whoever used it
net          gross less idle power times the runtime, where idle power was watched
attributed   the part of our processes and all that they started, by each way that the meter has to tell it
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wattshed.domain.energy import ChannelEnergy, MeterChannel, WindowEnergy
    from wattshed.meters.idle import IdlePower

COVERAGE: Final = 1.96
"""Standard uncertainties in the half-width of a 95 % interval; for a lone rectangle it covers all of it."""

NOT_TOLD_APART: Final = "not_told_apart"
"""The reason of a channel whose meter does not know which process used its joules."""

PROCESS_NOT_SEEN: Final = "process_not_seen"
"""The reason where no sample saw our processes at work: they were gone, or asleep, whenever one was taken."""


@dataclass(frozen=True, slots=True)
class Attributed:
    """Joules of a channel that our processes used, and `by` what that was told; `None` with the reason why not."""

    by: str | None
    energy_j: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ChannelJoules:
    """Joules of one channel: gross, net of idle power where that was watched, and attributed.

    Half-widths are of 95 % intervals: the sensor's for gross joules, sensor and scatter of the idle power together for
    net ones; both `None` where the sensor's accuracy is not known, and then `idle_scatter_half_width_j` is all that is
    known of the net ones. Attributed joules are of the gross ones.
    """

    channel: "MeterChannel"
    method: str
    energy_j: float | None
    reason: str | None
    power_w: float | None
    half_width_j: float | None
    attributed: tuple[Attributed, ...]
    idle: "IdlePower | None" = None
    net_energy_j: float | None = None
    net_half_width_j: float | None = None
    idle_scatter_half_width_j: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command cost, or the processes `pids` while they were watched, which have no `exit_code`."""

    command: tuple[str, ...]
    pids: tuple[int, ...]
    exit_code: int | None
    runtime_s: float
    channels: tuple[ChannelJoules, ...]


def channels_of(window: "WindowEnergy", idles: "Mapping[str, IdlePower]") -> tuple[ChannelJoules, ...]:
    """Every channel of a window but those that hold our processes' part of another, which stand with that other."""
    return tuple(
        joules(energy, window, idles.get(energy.channel.name))
        for energy in window.channels
        if _told_by(energy.channel) is None
    )


def joules(energy: "ChannelEnergy", window: "WindowEnergy", idle: "IdlePower | None" = None) -> ChannelJoules:
    """Gross, net and attributed joules of one channel of a window; a reason stays a reason."""
    channel, gross_j, runtime_s = energy.channel, energy.energy_j, window.duration_s
    attributed = attributed_of(channel, window)
    if gross_j is None or not runtime_s:
        return ChannelJoules(channel, energy.method, gross_j, energy.reason, None, None, attributed, idle)
    relative = None if channel.sensor_uncertainty is None else COVERAGE * channel.sensor_uncertainty
    net_j = None if idle is None else gross_j - idle.power_w * runtime_s
    scatter_j = None if idle is None or idle.half_width_w is None else idle.half_width_w * runtime_s
    net_half_width_j = None
    if relative is not None and net_j is not None and scatter_j is not None:
        net_half_width_j = math.hypot(relative * net_j, scatter_j)
    return ChannelJoules(
        channel,
        energy.method,
        gross_j,
        energy.reason,
        gross_j / runtime_s,
        None if relative is None else relative * gross_j,
        attributed,
        idle,
        net_j,
        net_half_width_j,
        scatter_j,
    )


def attributed_of(channel: "MeterChannel", window: "WindowEnergy") -> tuple[Attributed, ...]:
    """Our processes' part of a channel, a value for each way to tell it; one with its reason where there is no way.

    A part of 0 J in every channel is no answer: what runs uses joules, so our processes were not seen.
    """
    told = {energy.channel.name: by for energy in window.channels if (by := _told_by(energy.channel))}
    seen = {told[energy.channel.name] for energy in window.channels if energy.channel.name in told and energy.energy_j}
    found = []
    for energy in window.channels:
        if energy.channel.inside == channel.name and (by := told.get(energy.channel.name)):
            missed = energy.energy_j == 0 and by not in seen
            found.append(
                Attributed(by, None, PROCESS_NOT_SEEN) if missed else Attributed(by, energy.energy_j, energy.reason)
            )
    return tuple(found) or (Attributed(None, None, NOT_TOLD_APART),)


def _told_by(channel: "MeterChannel") -> str | None:
    """How a channel tells our processes' joules; `None` where it counts everybody's."""
    from wattshed.meters.activity import ATTRIBUTED

    return ATTRIBUTED.get(channel.name.rpartition("/")[2])
