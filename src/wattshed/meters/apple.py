"""The meter of Apple chips without root: IOReport counters, through the library zeus-apple-silicon.

Every counter is in millijoules and only grows. Which of them a chip has differs; those that it lacks are no channels.
The channels bear the names of the powermetrics meter where they count the same, so that nobody adds the two up.

Source: zeus-apple-silicon 1.1, README (struct AppleEnergyMetrics).
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from wattshed.domain.energy import MeterChannel
from wattshed.errors import MeterError
from wattshed.meters.counter import CounterChannel, CounterMeter
from wattshed.meters.meter import Absent, Meter, Reading
from wattshed.meters.sampler import Sampling
from wattshed.units import J_PER_MJ

NAME: Final = "apple"
SAMPLING: Final = Sampling(period_s=0.1, max_gap_s=30.0, quiet_s=1.0)

COUNTERS: Final = {
    "cpu_total_mj": MeterChannel("apple-cpu", "cpu", "CPU clusters of the Apple chip, IOReport"),
    "gpu_mj": MeterChannel("apple-gpu", "gpu", "GPU of the Apple chip, IOReport"),
    "gpu_sram_mj": MeterChannel("apple-gpu-sram", "gpu", "memory of the GPU of the Apple chip, IOReport"),
    "ane_mj": MeterChannel("apple-ane", "gpu", "Neural Engine of the Apple chip, IOReport"),
    "dram_mj": MeterChannel("apple-dram", "memory", "memory of the Apple chip, IOReport"),
}
"""Fields of `AppleEnergyMetrics` that we read; the clusters' own are parts of the first."""


class EnergyMonitor(Protocol):
    """`zeus_apple_silicon.AppleEnergyMonitor`."""

    def get_cumulative_energy(self) -> object:
        """An object with a field for each counter, `None` where the chip has none."""
        ...


def find(
    *,
    monitor: Callable[[], EnergyMonitor] | None = None,
    sampling: Sampling = SAMPLING,
    now_s: Callable[[], float] = time.monotonic,
) -> Meter | Absent:
    """A meter of what the chip counts, or why there is none; `monitor` stands in for the library's class."""
    if monitor is None:
        try:
            from zeus_apple_silicon import AppleEnergyMonitor
        except ImportError:
            remedy = "on an Apple-silicon Mac run: pip install 'wattshed[apple]'; elsewhere there is nothing to count"
            return Absent(NAME, "not_installed", remedy)
        monitor = AppleEnergyMonitor
    try:
        source = _Counters(monitor(), now_s)
        counters = counters_j(source.read().raw)
    except (MeterError, RuntimeError) as error:
        return Absent(NAME, "unsupported", f"this chip's counters cannot be read ({error}); use 'powermetrics' instead")
    # All but the CPU may be switched off, and then do not count.
    quiet_s = {channel.name: None if channel.part == "cpu" else float("inf") for channel in COUNTERS.values()}
    channels = [CounterChannel(c, quiet_s=quiet_s[c.name]) for c in COUNTERS.values() if c.name in counters]
    if not channels:
        return Absent(NAME, "unsupported", "this chip has none of the counters; use 'powermetrics' instead")
    return CounterMeter(NAME, source, counters_j, channels, sampling=sampling, now_s=now_s)


def counters_j(raw: bytes) -> dict[str, float]:
    """Joules by channel name from one JSON object of millijoules by field."""
    counted: dict[str, int | None] = json.loads(raw)
    return {COUNTERS[field].name: value * J_PER_MJ for field, value in counted.items() if value is not None}


class _Counters:
    """All counters, read together."""

    def __init__(self, monitor: EnergyMonitor, now_s: Callable[[], float]) -> None:
        self._monitor, self._now_s = monitor, now_s

    def read(self) -> Reading:
        at_s, at = self._now_s(), datetime.now(UTC)
        try:
            metrics = self._monitor.get_cumulative_energy()
        except RuntimeError as error:
            raise MeterError("source_failed", f"IOReport cannot be read ({error})") from error
        return Reading(at_s, at, json.dumps({field: getattr(metrics, field, None) for field in COUNTERS}).encode())

    def close(self) -> None:
        """Nothing is held open."""
