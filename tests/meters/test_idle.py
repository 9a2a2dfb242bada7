"""Idle power: a mean over short windows, with Student's interval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from tests.meters.scripted import ScriptedSource, parse
from tests.meters.test_counter import BOARD, ON_DEMAND
from wattshed.meters.counter import CounterMeter
from wattshed.meters.idle import idle_power, t_quantile, watch
from wattshed.testing import VirtualClock


@settings(max_examples=50, deadline=None)
@given(confidence=st.floats(0.05, 0.9999), degrees=st.integers(1, 300))
def test_t_quantiles_are_those_of_scipy(confidence: float, degrees: int) -> None:
    """The series of Abramowitz and Stegun agrees with an independent implementation."""
    assert t_quantile(confidence, degrees) == pytest.approx(stdtrit(degrees, (1 + confidence) / 2), rel=1e-9)


def test_the_interval_is_that_of_a_mean() -> None:
    """Four powers of mean 71 W and standard deviation 1 W, by hand: 3.182 x 1 / 2."""
    idle = idle_power([70.0, 71.0, 71.0, 72.0])

    assert (idle.power_w, idle.windows) == (71.0, 4)
    assert idle.half_width_w == pytest.approx(3.182446 * np.std([70, 71, 71, 72], ddof=1) / 2, rel=1e-6)


def test_one_window_has_no_interval() -> None:
    """A single window says nothing of its scatter."""
    assert idle_power([70.0]).half_width_w is None


def test_drift_is_after_minus_before() -> None:
    """A board that came back warmer than it went drifted."""
    assert idle_power([70.0, 70.0], [74.0, 76.0]).drift_w == 5.0
    assert idle_power([70.0, 70.0]).drift_w is None


def test_watching_cuts_the_time_into_windows() -> None:
    """Five seconds are ten windows, each with its mean power."""
    clock = VirtualClock()
    source = ScriptedSource(clock.now_s, lambda at_s: {"board": 71 * at_s})
    meter = CounterMeter("fake", source, parse, [BOARD], sampling=ON_DEMAND, now_s=clock.now_s)

    powers_w = watch(meter, 5.0, sleep=clock.sleep)

    assert powers_w == {"board": (pytest.approx(71.0),) * 10}


def test_a_channel_that_says_nothing_has_no_windows() -> None:
    """No power is no power, and never 0 W."""
    clock = VirtualClock()
    source = ScriptedSource(clock.now_s, lambda at_s: {}, gone="permission")
    meter = CounterMeter("fake", source, parse, [BOARD], sampling=ON_DEMAND, now_s=clock.now_s)

    assert watch(meter, 5.0, sleep=clock.sleep) == {"board": ()}
