"""What sets the pace of a trial, and whether a counter agrees with the power that was sampled beside it.

Eager decoding of one query on a fast accelerator is paced by the host that launches its kernels: energy and runtime
then say more about the host than about the device. So every trial says what bounds it. Pure functions of samples.
"""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from wattshed.domain.energy import ChannelEnergy
from wattshed.meters.meter import PowerSample

Bound = Literal["device", "host", "unknown"]
"""What sets the pace of a trial."""

BUSY: Final = 0.9
"""Share of time from which a device or a core counts as busy: the rest is lost to sampling."""

HALF_LIMIT: Final = 0.5
"""Share of the power limit from which an accelerator surely works: on one H100 of 700 W host-bound decoding drew 142 to
256 W, and device-bound cells 380 to 680 W (measured; METHOD section 4)."""

DISAGREEMENT: Final = 0.05
"""Relative difference of counter and integral that is flagged: the sensors claim 5 %."""

FEWEST_SAMPLES: Final = 10
"""Samples that make an integral: fewer do not see what happened between them."""


def bound(*, utilization: float | None, limit_share: float | None, host_load: float | None) -> Bound:
    """What sets the pace, as far as utilisation, power against limit and busy cores of the host can tell.

    `device` where the accelerator draws half of its limit, or runs kernels all the time and draws a quarter of its
    limit (or nobody knows the limit). `host` where it does neither while at least one core is busy. Otherwise
    `unknown`: there is no evidence, or neither is busy (a network, a disk, a server elsewhere).
    """
    if utilization is None and limit_share is None:
        return "unknown"
    drawn = HALF_LIMIT / 2 if limit_share is None else limit_share
    if drawn >= HALF_LIMIT or ((utilization or 0.0) >= BUSY and drawn >= HALF_LIMIT / 2):
        return "device"
    return "host" if host_load is not None and host_load >= BUSY else "unknown"


def utilization_of(samples: Sequence[PowerSample]) -> float | None:
    """Mean utilisation; `None` where a sample does not tell."""
    return mean_known([sample.utilization for sample in samples])


def limit_share_of(samples: Sequence[PowerSample]) -> float | None:
    """Mean power against the limit; `None` where a sample does not tell."""
    return mean_known([sample.power_w / sample.power_limit_w if sample.power_limit_w else None for sample in samples])


def counter_disagrees(energy: ChannelEnergy, samples: Sequence[PowerSample], window_s: float) -> bool:
    """Whether counted joules and the integral of the channel's power differ; not asked of a handful of samples.

    The trapezoids of the samples inside the window are stretched to its length, since it starts and ends between two.
    """
    ours = [sample for sample in samples if sample.channel == energy.channel.name]
    if energy.method != "counter" or not energy.energy_j or len(ours) < FEWEST_SAMPLES:
        return False
    covered_s = ours[-1].at_s - ours[0].at_s
    integral_j = float(np.trapezoid([sample.power_w for sample in ours], [sample.at_s for sample in ours]))
    return covered_s > 0 and abs(integral_j / covered_s * window_s / energy.energy_j - 1) > DISAGREEMENT


def mean_known(values: Sequence[float | None]) -> float | None:
    """The mean, where there are values and all are known."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
