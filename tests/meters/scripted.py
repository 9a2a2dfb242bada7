"""A source whose readings are a function of time, and a load whose joules are known."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.contracts.meter_suite import Bench
from wattshed.errors import MeterError
from wattshed.meters.meter import Meter, Reading
from wattshed.testing import VirtualClock

REPOSITORY = Path(__file__).resolve().parents[2]
AT = datetime(2024, 7, 1, tzinfo=UTC)
TICK_S = 0.1


@dataclass
class ScriptedSource:
    """Says `say(now)`, as JSON by channel; once `gone`, fails for that reason. `closed` counts the closings."""

    now_s: Callable[[], float]
    say: Callable[[float], Mapping[str, float]]
    gone: str | None = None
    closed: int = 0

    def read(self) -> Reading:
        """What there is to say now."""
        if self.gone is not None:
            raise MeterError(self.gone, "gone, as the script says")
        at_s = self.now_s()
        return Reading(at_s, AT, json.dumps(self.say(at_s)).encode())

    def close(self) -> None:
        """Count."""
        self.closed += 1

    def fail(self) -> None:
        """Never answer again."""
        self.gone = "source_failed"


def parse(raw: bytes) -> dict[str, float]:
    """What a scripted source said."""
    values: dict[str, float] = json.loads(raw)
    return values


def power_w(at_s: float) -> float:
    """A load between 100 and 200 W."""
    return 150 + 50 * math.sin(at_s)


def energy_j(at_s: float) -> float:
    """Its joules since 0 s, by hand."""
    return 150 * at_s + 50 * (1 - math.cos(at_s))


def bench(meter: Meter, clock: VirtualClock, fail: Callable[[], None], *, slack_j: float) -> Bench:
    """A bench whose channels all see the load above; waiting marks the meter every tenth of a second."""

    def wait(duration_s: float) -> None:
        ticks = int(duration_s / TICK_S)
        for _ in range(ticks):
            clock.sleep(TICK_S)
            meter.mark()
        clock.sleep(max(duration_s - ticks * TICK_S, 0.0))

    def truth_j(start_s: float, stop_s: float) -> dict[str, float]:
        return {channel.name: energy_j(stop_s) - energy_j(start_s) for channel in meter.channels}

    return Bench(meter, wait, truth_j, fail, slack_j)


def real_clock_source() -> ScriptedSource:
    """A source of one counter, `board`, that grows in real time."""
    return ScriptedSource(time.monotonic, lambda at_s: {"board": energy_j(at_s)})
