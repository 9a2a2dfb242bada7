"""Intervals against SciPy and against the GUM's own worked rules."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wattshed.profiler.interval import combined_interval, half_width, random_interval

VALUES = st.lists(st.floats(1, 1e6), min_size=2, max_size=30).map(np.array)


@settings(deadline=None, max_examples=50)
@given(VALUES)
def test_the_random_interval_is_students(values: np.ndarray) -> None:
    """The random interval is SciPy's t interval of the mean."""
    ours = random_interval(values)

    lower, upper = stats.t.interval(0.95, values.size - 1, values.mean(), max(stats.sem(values), 1e-300))
    assert (ours.lower, ours.upper) == pytest.approx((lower, upper), rel=1e-9, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(VALUES, st.floats(0.001, 0.2))
def test_a_sensor_never_narrows_the_spread(values: np.ndarray, sensor: float) -> None:
    """The combined standard uncertainty is the root of the sum of squares of both parts."""
    combined = combined_interval(values, sensor)
    half = combined.upper - combined.value

    standard = math.hypot(half_width(values, 1.0), sensor * values.mean())
    assert 1.959 * standard <= half <= stats.t.ppf(0.975, values.size - 1) * standard * (1 + 1e-9)


def test_without_scatter_the_sensor_is_left() -> None:
    """Equal values leave 1.96 standard uncertainties of the sensor, and no division by zero."""
    interval = combined_interval(np.full(5, 100.0), 0.05 / math.sqrt(3))

    assert interval.upper - 100 == pytest.approx(1.959964 * 100 * 0.05 / math.sqrt(3), rel=1e-6)


def test_without_a_sensor_the_scatter_is_left() -> None:
    """A perfect sensor leaves Student's interval."""
    values = np.array([1.0, 2.0, 4.0])

    assert combined_interval(values, 0.0) == random_interval(values)


def test_one_value_has_no_interval() -> None:
    """A single trial has no standard deviation, and that is an error and not 0."""
    with pytest.raises(ValueError, match="at least two"):
        random_interval(np.array([1.0]))
