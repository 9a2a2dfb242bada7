"""Means with their intervals: what scatter leaves open, what a sensor adds, and what a lone window borrows."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.contrasting import EAGER, measured_on
from wattshed.domain.measurement import Profile
from wattshed.profiler.design import REFERENCE, Shape
from wattshed.report.scatter import Mean, MeasuredCells, ratio_of

LONE = Shape(8, 32)


def test_a_sensor_alone_makes_an_interval_of_its_own() -> None:
    """Without scatter 3 % of standard uncertainty are 1.96 times as much to either side, in logarithms."""
    interval = Mean(100.0, 0.0, 3, sensor_uncertainty=0.03).interval

    assert interval.value == 100.0
    assert math.log(interval.upper / 100) == pytest.approx(1.96 * 0.03, rel=1e-3)
    assert math.log(100 / interval.lower) == pytest.approx(1.96 * 0.03, rel=1e-3)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(st.floats(1, 1e3), st.floats(1, 1e3), st.floats(0, 0.2), st.floats(0, 0.2), st.floats(0, 0.05))
def test_a_ratio_turns_round_with_its_interval(a: float, b: float, first: float, second: float, sensor: float) -> None:
    """Theirs over ours has the inverse of ours over theirs at either bound."""
    ours, theirs = Mean(a, first, 3, sensor), Mean(b, second, 5, sensor)

    there, back = ratio_of(ours, theirs), ratio_of(theirs, ours)

    assert there is not None
    assert back is not None
    assert (there.lower, there.upper) == pytest.approx((1 / back.upper, 1 / back.lower))
    assert there.lower <= there.value <= there.upper


def test_a_lone_window_borrows_from_cells_that_the_same_side_paced() -> None:
    """Beside cells that a host made wander, a window of the device is as sure as the device's other cells."""
    lone = replace(measured_on(EAGER, 4.0, shapes=((8, 32),))[0], gpu_energy_j=128.0)
    still = measured_on(EAGER, 40.0, shapes=((8, 128), (512, 32)))
    wandering = measured_on(EAGER, 1.0, shapes=((512, 128), (32, 32)), bound="host")
    cells = MeasuredCells.of(Profile("p", (lone, *still, *wandering)), "gpu")

    mean = cells.joules(EAGER, LONE)

    assert mean is not None
    assert mean.freedom == 2
    assert mean.relative_error == pytest.approx(math.sqrt(2) * 0.5 / 40)


def test_two_windows_have_the_scatter_of_all_and_half_of_its_square() -> None:
    """Two say little by themselves, three speak for themselves; visits to the reference cell count as windows."""
    pair, still = measured_on(EAGER, 4.0, shapes=((8, 32),)), measured_on(EAGER, 40.0, shapes=((512, 32),))
    visits = [replace(one, experiment=REFERENCE) for one in (*still, replace(still[0], gpu_energy_j=1280.0))]
    found = Profile("p", (*pair, *visits), {}, frozenset({REFERENCE}))
    cells = MeasuredCells.of(found, "gpu")

    two, three = (cells.joules(EAGER, shape) for shape in (LONE, Shape(512, 32)))

    assert two is not None
    assert three is not None
    assert (two.freedom, three.freedom) == (3, 2)
    assert two.relative_error != pytest.approx(three.relative_error)


def test_a_device_borrows_from_a_host_and_not_the_other_way() -> None:
    """Hosts wander more: what they lend is wide enough for a device, and what it lends is too narrow for a host."""
    lone = measured_on(EAGER, 4.0, shapes=((8, 32),))[0]
    others = measured_on(EAGER, 4.0, shapes=((512, 32),), bound="host")

    lent = MeasuredCells.of(Profile("p", (lone, *others)), "gpu").seconds(EAGER, LONE)
    swapped = [replace(one, bound="device" if one.bound == "host" else "host") for one in (lone, *others)]
    refused = MeasuredCells.of(Profile("p", tuple(swapped)), "gpu").seconds(EAGER, LONE)

    assert lent.freedom == 1
    assert refused.relative_error == math.inf


def test_what_nobody_lends_is_not_known() -> None:
    """A lone window in a profile without others has an interval from nothing to infinity, and a ratio has too."""
    lone = measured_on(EAGER, 4.0, shapes=((8, 32),))[:1]

    mean = MeasuredCells.of(Profile("p", tuple(lone)), "gpu").seconds(EAGER, LONE)
    ratio = ratio_of(mean, Mean(1.0, 0.01, 3))

    assert (mean.interval.lower, mean.interval.upper) == (0.0, math.inf)
    assert ratio is not None
    assert ratio.upper == math.inf
