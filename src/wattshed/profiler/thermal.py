"""Waiting until the machine is as warm as it stays: cells then start alike, whichever cell came before.

Power and temperature over the last few seconds are compared with the few seconds before. The wait is bounded, and where
no meter samples power there is nothing to wait for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wattshed.meters.meter import Meter, PowerSample
from wattshed.profiler.pace import mean_known
from wattshed.profiler.trial import Bench

SPAN_S: Final = 3.0
"""What is compared: three times the 1 s over which NVML averages power on Ampere and later."""

STEADY_SHARE: Final = 0.05
"""Relative change of power that still counts as steady."""

STEADY_K: Final = 1.0
"""Change of temperature in kelvin that still counts as steady: the resolution of NVML."""

LOOK_S: Final = 1.0
"""Time between two looks."""


@dataclass(frozen=True, slots=True)
class Floor:
    """Whether heat settled and how long that took; `None` where no sample tells."""

    settled: bool | None
    waited_s: float


def settle(bench: Bench, *, most_s: float) -> Floor:
    """Wait until power and temperature are steady, at most `most_s`."""
    started_at_s = bench.now_s()
    while True:
        waited_s = bench.now_s() - started_at_s
        verdict = _verdict(bench.meter, bench.now_s()) if bench.meter is not None else None
        if verdict is not False or waited_s >= most_s:
            return Floor(verdict, waited_s)
        bench.sleep(LOOK_S)


def _verdict(meter: Meter, at_s: float) -> bool | None:
    return steady(meter.power_trace(at_s - 2 * SPAN_S), at_s)


def steady(trace: Sequence[PowerSample], at_s: float) -> bool | None:
    """Whether every channel is steady at `at_s`; `None` where nothing was sampled in the last span."""
    recent = [sample for sample in trace if at_s - 2 * SPAN_S < sample.at_s <= at_s]
    channels = {sample.channel for sample in recent if sample.at_s > at_s - SPAN_S}
    if not channels:
        return None
    return all(_steady([s for s in recent if s.channel == channel], at_s - SPAN_S) for channel in channels)


def _steady(samples: Sequence[PowerSample], boundary_at_s: float) -> bool:
    before = [sample for sample in samples if sample.at_s <= boundary_at_s]
    after = [sample for sample in samples if sample.at_s > boundary_at_s]
    if not before:
        return False
    then_w, now_w = (mean_known([sample.power_w for sample in part]) or 0.0 for part in (before, after))
    then, now = (mean_known([sample.temperature_c for sample in part]) for part in (before, after))
    warmer = abs(now - then) if now is not None and then is not None else 0.0
    return abs(now_w - then_w) <= STEADY_SHARE * max(now_w, then_w) and warmer <= STEADY_K
