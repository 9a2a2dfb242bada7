"""Joules of a window by part, and how sure their sum is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.domain.energy import ChannelEnergy, MeterChannel, WindowEnergy, sum_uncertainty

SENSORS = st.lists(st.tuples(st.floats(0.1, 1e6), st.floats(0.0, 0.2)), min_size=1, max_size=8)


def package(number: int, energy_j: float | None, sensor_uncertainty: float | None) -> ChannelEnergy:
    """Joules of one processor package, or the reason why there are none."""
    channel = MeterChannel(f"package-{number}", "cpu", "a package", sensor_uncertainty=sensor_uncertainty)
    return ChannelEnergy(channel, energy_j, "counter", "permission" if energy_j is None else None)


def test_a_sensor_is_not_known_until_somebody_says_so() -> None:
    """A channel of which nothing is said has a sensor of unknown uncertainty, and not an exact one."""
    assert MeterChannel("package-0", "cpu", "a package").sensor_uncertainty is None


def test_independent_sensors_add_in_quadrature() -> None:
    """By hand: 300 J at 2 % and 100 J at 8 % are 400 J within the root of 6^2 + 8^2 = 10 J."""
    window = WindowEnergy(0.0, 1.0, (package(0, 300.0, 0.02), package(1, 100.0, 0.08)))

    together = window.part("cpu")

    assert together is not None
    assert together.energy_j == 400.0
    assert together.channel.sensor_uncertainty == pytest.approx(10.0 / 400.0)


def test_one_unknown_sensor_makes_the_sum_unknown() -> None:
    """Joules of a known and of an unknown sensor have a sum, whose uncertainty nobody knows."""
    window = WindowEnergy(0.0, 1.0, (package(0, 300.0, 0.02), package(1, 100.0, None)))

    together = window.part("cpu")

    assert together is not None
    assert together.energy_j == 400.0
    assert together.channel.sensor_uncertainty is None


def test_a_channel_inside_another_does_not_count() -> None:
    """Whose joules are not added, because an outer channel has them, need not have a known sensor either."""
    core = ChannelEnergy(MeterChannel("core-0", "cpu", "a core", inside="package-0"), 50.0, "counter")

    together = WindowEnergy(0.0, 1.0, (package(0, 300.0, 0.02), core)).part("cpu")

    assert together is not None
    assert together.channel.sensor_uncertainty == pytest.approx(0.02)


def test_no_joules_have_no_relative_uncertainty() -> None:
    """Where nothing was spent there is nothing for an uncertainty to be relative to."""
    assert sum_uncertainty([package(0, 0.0, 0.02)]) is None
    assert sum_uncertainty([]) is None


@settings(deadline=None, max_examples=50)
@given(SENSORS)
def test_a_sum_is_no_less_sure_than_its_worst_sensor(sensors: list[tuple[float, float]]) -> None:
    """Independent errors cancel in part: the sum's relative uncertainty never exceeds the largest of its parts."""
    parts = [package(number, *sensor) for number, sensor in enumerate(sensors)]

    together = sum_uncertainty(parts)

    assert together is not None
    assert together <= max(uncertainty for _, uncertainty in sensors) * (1 + 1e-9)
