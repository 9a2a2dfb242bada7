"""Idle power: watched in several short windows, before the work and after it, with Student's interval of their mean.

Short windows one after the other are not quite independent, and each is cut by the meter's updates; both make the
interval a little too wide rather than too narrow, as an update that one window misses falls into the next.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev
from typing import Final

from wattshed.meters.meter import Meter

MOST_WINDOWS: Final = 10
"""Windows that an idle time is cut into, at most."""

LEAST_WINDOW_S: Final = 0.5
"""Shortest window: five updates of the slowest counter (NVML on an H100: 100 ms, measured)."""


@dataclass(frozen=True, slots=True)
class IdlePower:
    """Mean power of one channel when nothing runs, with the half-width of its 95 % interval.

    `half_width_w` is `None` with fewer than two windows, `drift_w` (after minus before) without both sides.
    """

    power_w: float
    half_width_w: float | None
    windows: int
    drift_w: float | None = None


def idle_power(before_w: Sequence[float], after_w: Sequence[float] = (), *, confidence: float = 0.95) -> IdlePower:
    """Idle power from the mean powers of windows before and after; shapes (K,) and (L,), K + L at least 1.

    Each side of the work counts by its windows. Source: Student's t-interval of a mean.
    """
    powers_w = [*before_w, *after_w]
    half_width_w = None
    if len(powers_w) > 1:
        half_width_w = t_quantile(confidence, len(powers_w) - 1) * stdev(powers_w) / math.sqrt(len(powers_w))
    drift_w = fmean(after_w) - fmean(before_w) if before_w and after_w else None
    return IdlePower(fmean(powers_w), half_width_w, len(powers_w), drift_w)


def watch(
    meter: Meter, duration_s: float, *, sleep: Callable[[float], None] = time.sleep
) -> Mapping[str, tuple[float, ...]]:
    """Mean powers by channel over K short windows of `duration_s` together; a channel that said nothing has none."""
    windows = max(1, min(MOST_WINDOWS, int(duration_s / LEAST_WINDOW_S)))
    marks_s = [meter.mark()]
    for _ in range(windows):
        sleep(duration_s / windows)
        marks_s.append(meter.mark())
    watched = [meter.between(*ends) for ends in pairwise(marks_s) if ends[1] > ends[0]]
    powers_w: dict[str, tuple[float, ...]] = {channel.name: () for channel in meter.channels}
    for window in watched:
        for energy in window.channels:
            if energy.energy_j is not None:
                powers_w[energy.channel.name] += (energy.energy_j / window.duration_s,)
    return powers_w


def t_quantile(confidence: float, degrees: int) -> float:
    """The t that Student's |T| stays below with probability `confidence`, `degrees` of freedom at least 1.

    Bisection of the finite series for whole degrees, so that meters need no SciPy. Source: Abramowitz and Stegun,
    26.7.3 and 26.7.4.
    """
    below, above = 0.0, math.pi / 2
    for _ in range(60):  # halves of pi/2, until nothing is left of a double
        middle = (below + above) / 2
        below, above = (middle, above) if _within(middle, degrees) < confidence else (below, middle)
    return math.tan(below) * math.sqrt(degrees)


def _within(angle: float, degrees: int) -> float:
    """P(|T| <= t) for t = tan(angle) sqrt(degrees)."""
    odd, cosine = degrees % 2, math.cos(angle)
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(1 + odd, degrees, 2):
        total += term
        term *= power / (power + 1) * cosine**2
    share = math.sin(angle) * total
    return 2 / math.pi * (angle + share) if odd else share
