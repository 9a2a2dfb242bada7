"""What NVML answered, as bytes, and what they mean: joules, watts and the state of each board.

NVML's own units, in JSON; a question that a board did not answer is left out, and is never 0. Nothing in it identifies
a board.

    {"boards": {"gpu0": "NVIDIA H100 80GB HBM3"},
     "said": {"gpu0": {"energy_mj": 5, "power_instant_mw": 71000, "temperature_c": 30, ...}}}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wattshed.meters.meter import PowerSample, Reading
from wattshed.meters.sampled import Sample
from wattshed.units import J_PER_MJ, W_PER_MW

POWERS: Final = ("power_instant_mw", "power_average_mw", "power_usage_mw")
"""Powers in order of preference; on Ampere and later the average is over 1 s, and the usage is that average."""

THROTTLES: Final = {
    0x2: "application_clocks",
    0x4: "software_power_cap",
    0x8: "hardware_slowdown",
    0x10: "sync_boost",
    0x20: "software_thermal_slowdown",
    0x40: "hardware_thermal_slowdown",
    0x80: "hardware_power_brake",
    0x100: "display_clock",
}
"""Bits of `nvmlClocksEventReasons` (nvml.h); 0x1 is an idle board, which nothing throttles."""


@dataclass(frozen=True, slots=True)
class Answers:
    """One reading: names of the boards by channel, and the numbers that each said."""

    boards: Mapping[str, str]
    said: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, raw: bytes) -> "Answers":
        """Out of bytes; ValueError or KeyError where they are torn."""
        document = json.loads(raw)
        return cls(document["boards"], document["said"])

    @property
    def raw(self) -> bytes:
        """As bytes."""
        return json.dumps({"boards": self.boards, "said": self.said}, separators=(",", ":")).encode()


def counters_j(raw: bytes) -> dict[str, float]:
    """Joules by board, of those that told their counter."""
    said = Answers.of(raw).said
    return {gpu: numbers["energy_mj"] * J_PER_MJ for gpu, numbers in said.items() if "energy_mj" in numbers}


def samples(raw: bytes) -> list[Sample]:
    """Watts by board, of those that told their power."""
    powers_w = {gpu: power_w(numbers) for gpu, numbers in Answers.of(raw).said.items()}
    return [Sample(power_w={gpu: power for gpu, power in powers_w.items() if power is not None})]


def power_samples(reading: Reading) -> list[PowerSample]:
    """Power of each board that told it, with utilisation, temperature, clock, limit and throttling."""
    said = Answers.of(reading.raw).said
    return [_power_sample(reading.at_s, gpu, numbers) for gpu, numbers in said.items() if power_w(numbers) is not None]


def power_w(numbers: Mapping[str, float]) -> float | None:
    """The best power that a board told."""
    return next((numbers[name] * W_PER_MW for name in POWERS if name in numbers), None)


def _power_sample(at_s: float, gpu: str, numbers: Mapping[str, float]) -> PowerSample:
    utilization, limit = numbers.get("utilization_percent"), numbers.get("power_limit_mw")
    bits = int(numbers.get("throttle_bits", 0))
    return PowerSample(
        at_s,
        gpu,
        power_w(numbers) or 0.0,
        utilization=None if utilization is None else utilization / 100,
        temperature_c=numbers.get("temperature_c"),
        clock_mhz=numbers.get("sm_clock_mhz"),
        power_limit_w=None if limit is None else limit * W_PER_MW,
        throttle_reasons=tuple(name for bit, name in THROTTLES.items() if bits & bit),
    )
