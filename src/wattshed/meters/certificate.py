"""What a meter can do on this machine: watched at rest at its usual pace, then asked as fast as it answers.

    at rest      idle power, the counter against its own power sensor, what the observer costs
    asked fast   how often the value really changes, its smallest step, what a reading costs

The functions below `certify` are pure, so that a certificate can be had again from a recording.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final, Protocol, runtime_checkable

from wattshed.domain.energy import ChannelEnergy, MeterChannel, Method, WindowEnergy
from wattshed.meters.idle import IdlePower, idle_power, watch
from wattshed.meters.meter import Absent, Meter, PowerSample, Unavailable
from wattshed.meters.sampled import integrated
from wattshed.meters.sampler import Sampling

MOST_DISAGREEMENT: Final = 0.05
"""A counter further than this from the integral of its own power sensor is flagged (the sensor's stated accuracy)."""

PROBE_S: Final = 2.0
"""How long a meter is asked fast: twenty updates of the slowest counter (NVML on an H100: 100 ms, measured)."""

PAUSE_S: Final = 0.005
"""Between two fast questions: the update period is known to this."""

MOST_TRACE_GAP_S: Final = 1.0
"""Power samples further apart than this have no integral."""

SHARP_S: Final = 0.025
"""A change is dated well where the reading before it is no older: what is read at 10 Hz seems to change at 10 Hz."""

MOST_DRIFT: Final = 0.05
"""Power that changed by more than this share from the first to the second half of the watch was not at rest: what a
board draws falls for a while after load (75.5 +- 3.3 W on an H100 that rests at 71 W, measured)."""

LEAST_CHANGES: Final = 4
"""Changes of a value before its period is stated."""


@dataclass(frozen=True, slots=True)
class ChannelCertificate:
    """What one channel can do; `None` is what its meter cannot tell, or did not in the time it was given.

    The steps are the smallest changes seen: of the counter, or of the sampled power. `counter_to_integral` is counted
    joules over integrated power, and `consistent` whether the two agree within `MOST_DISAGREEMENT`. `idle.drift_w` is
    that of the second half of the watch against the first, and `settled` whether it is within `MOST_DRIFT`.
    """

    channel: MeterChannel
    method: Method
    reason: str | None
    update_period_s: float | None
    energy_step_j: float | None
    power_step_w: float | None
    counter_to_integral: float | None
    consistent: bool | None
    idle: IdlePower | None
    settled: bool | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a meter can do on this machine, or why it cannot be had and what would bring it.

    `read_cost_s` is the wall time of one reading, `observer_cpu` the CPU seconds that sampling takes of each second.
    """

    meter: str
    available: bool
    reason: Unavailable | None = None
    remedy: str | None = None
    channels: tuple[ChannelCertificate, ...] = ()
    watched_s: float = 0.0
    read_cost_s: float | None = None
    observer_cpu: float | None = None


@runtime_checkable
class Watched(Protocol):
    """A meter that shows its readings; those over a `Feed` do."""

    sampling: Sampling
    senses_power: bool
    """Whether the power trace comes from a sensor, and not from a counter."""

    @property
    def cpu_s(self) -> float:
        """CPU seconds that sampling has taken."""
        ...

    def readings(self, channel: str) -> tuple[Sequence[float], Sequence[float]]:
        """Instants, and joules of a counter or watts of a sampled channel, of every reading kept."""
        ...


def certify(
    meter: Meter | Absent,
    *,
    duration_s: float = 5.0,
    probe_s: float = PROBE_S,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Certificate:
    """The certificate of a meter, which stays open: `duration_s` at rest, then `probe_s` of fast questions."""
    if isinstance(meter, Absent):
        return Certificate(meter.name, available=False, reason=meter.reason, remedy=meter.remedy)
    meter.start()
    started_s, before_s = meter.mark(), _cpu_s(meter)
    powers_w = watch(meter, duration_s, sleep=sleep)
    window, after_s = meter.between(started_s, meter.mark()), _cpu_s(meter)
    costs_s = _costs_s(meter, probe_s, now_s=now_s, sleep=sleep)
    used = None if before_s is None or after_s is None else after_s - before_s
    return Certificate(
        meter.name,
        available=True,
        channels=tuple(_certified(meter, window, energy, powers_w[energy.channel.name]) for energy in window.channels),
        watched_s=window.duration_s,
        read_cost_s=median(costs_s) if costs_s else None,
        observer_cpu=None if used is None or not window.duration_s else used / window.duration_s,
    )


def update_period_s(at_s: Sequence[float], values: Sequence[float]) -> float | None:
    """Median time between changes of a value; `None` where it changed too seldom. Both have shape (K,).

    Changes that were dated well count alone, where there are enough of them.
    """
    neighbours = pairwise(zip(at_s, values, strict=True))
    changes = [(after_s, after_s - before_s) for (before_s, before), (after_s, after) in neighbours if after != before]
    sharp_at_s = [changed_s for changed_s, doubt_s in changes if doubt_s <= SHARP_S]
    changed_at_s = sharp_at_s if len(sharp_at_s) >= LEAST_CHANGES else [changed_s for changed_s, _ in changes]
    if len(changed_at_s) < LEAST_CHANGES:
        return None
    return median(later_s - earlier_s for earlier_s, later_s in pairwise(changed_at_s))


def smallest_step(values: Sequence[float]) -> float | None:
    """Smallest change between neighbours, in their unit; `None` where they never change."""
    return min((abs(after - before) for before, after in pairwise(values) if after != before), default=None)


def counter_to_integral(energy_j: float, trace: Iterable[PowerSample], window: WindowEnergy) -> float | None:
    """Counted joules of a window over the integral of the power samples of the same channel; `None` without samples."""
    powers_w = {sample.at_s: sample.power_w for sample in trace}
    at_s = sorted(powers_w)
    integral = integrated(
        at_s, [powers_w[at] for at in at_s], window.started_at_s, window.stopped_at_s, max_gap_s=MOST_TRACE_GAP_S
    )
    return energy_j / integral.energy_j if integral.energy_j else None


def _certified(
    meter: Meter, window: WindowEnergy, energy: ChannelEnergy, powers_w: Sequence[float]
) -> ChannelCertificate:
    name, counted = energy.channel.name, energy.method == "counter"
    at_s, values = meter.readings(name) if isinstance(meter, Watched) else ((), ())
    step, ratio = smallest_step(values), None
    half = len(powers_w) // 2
    idle = idle_power(powers_w[:half], powers_w[half:]) if powers_w else None
    if counted and energy.energy_j is not None and isinstance(meter, Watched) and meter.senses_power:
        trace = (sample for sample in meter.power_trace() if sample.channel == name)
        ratio = counter_to_integral(energy.energy_j, trace, window)
    return ChannelCertificate(
        energy.channel,
        energy.method,
        energy.reason,
        update_period_s(at_s, values),
        energy_step_j=step if counted else None,
        power_step_w=None if counted else step,
        counter_to_integral=ratio,
        consistent=None if ratio is None else abs(ratio - 1) <= MOST_DISAGREEMENT,
        idle=idle,
        settled=None if idle is None else _settled(idle),
    )


def _settled(idle: IdlePower) -> bool | None:
    return None if idle.drift_w is None else abs(idle.drift_w) <= MOST_DRIFT * idle.power_w


def _costs_s(
    meter: Meter, probe_s: float, *, now_s: Callable[[], float], sleep: Callable[[float], None]
) -> list[float]:
    """Wall times of readings, asked one after the other; none of a stream, which answers when it likes."""
    if isinstance(meter, Watched) and meter.sampling.period_s == 0:
        return []
    costs_s, until_s = [], now_s() + probe_s
    while (asked_s := now_s()) < until_s:
        meter.mark()
        costs_s.append(now_s() - asked_s)
        sleep(PAUSE_S)
    return costs_s


def _cpu_s(meter: Meter) -> float | None:
    return meter.cpu_s if isinstance(meter, Watched) else None
