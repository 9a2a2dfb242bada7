"""Conversion factors; nobody else in the package writes one.

Inside, quantities are joules, seconds, watts and tokens. Kilowatt-hours, percentages and the like exist only where
people read them, and come from here.
"""

from typing import Final

J_PER_KWH: Final = 3.6e6
"""Joules in a kilowatt-hour: 1,000 W for 3,600 s (SI brochure, 9th edition, table 8)."""

J_PER_MJ: Final = 1e-3
"""Joules in a millijoule (SI prefix)."""

J_PER_UJ: Final = 1e-6
"""Joules in a microjoule (SI prefix)."""

W_PER_MW: Final = 1e-3
"""Watts in a milliwatt (SI prefix)."""

S_PER_MS: Final = 1e-3
"""Seconds in a millisecond (SI prefix)."""

S_PER_NS: Final = 1e-9
"""Seconds in a nanosecond (SI prefix)."""

S_PER_MIN: Final = 60.0
"""Seconds in a minute."""

S_PER_H: Final = 3600.0
"""Seconds in an hour."""


def kwh(energy_j: float) -> float:
    """Energy in kilowatt-hours, for people."""
    return energy_j / J_PER_KWH


def per_joule(amount_per_kwh: float) -> float:
    """What comes with a joule of something that is given for a kilowatt-hour, such as grams of CO2."""
    return amount_per_kwh / J_PER_KWH


def hours(runtime_s: float) -> float:
    """A time in hours, for people."""
    return runtime_s / S_PER_H


def minutes(runtime_s: float) -> float:
    """A time in minutes, for people."""
    return runtime_s / S_PER_MIN


def percent(fraction: float) -> float:
    """A fraction in per cent, for people."""
    return 100.0 * fraction


def milliseconds(runtime_s: float) -> float:
    """A time in milliseconds, for people."""
    return runtime_s / S_PER_MS
