"""Stopping rules: when they are content, and that looking often does not spoil the interval."""

import numpy as np
import pytest

from wattshed.domain.arrays import Floats
from wattshed.profiler.interval import random_interval
from wattshed.profiler.stopping import Fixed, Paper, Relative


def test_the_paper_stops_at_half_a_second() -> None:
    """The paper's rule stops as soon as 1.96 standard errors of the runtime are at most 0.5 s, whatever the energy."""
    wide, narrow = np.array([10.0, 12.0]), np.array([10.0, 10.5])

    assert Paper().decide(wide, np.array([1.0, 1.0])) is None
    assert Paper().decide(narrow, np.array([1.0, 99.0])) == "narrow_runtime_only"


def test_the_paper_stops_after_25_trials() -> None:
    """However wide the interval, the paper measures 25 trials and no more."""
    runtime_s = np.arange(25.0) * 10

    assert Paper().decide(runtime_s[:24], None) is None
    assert Paper().decide(runtime_s, None) == "most_windows"


def test_ours_needs_both_intervals() -> None:
    """The relative rule goes on while either energy or runtime is wider than 2 % of its mean."""
    steady, loose = np.full(8, 10.0), np.array([9.0, 10.0, 11.0, 10.0, 10.0, 10.0, 10.0, 10.0])

    assert Relative().decide(steady, steady) == "narrow"
    assert Relative().decide(steady, loose) is None
    assert Relative().decide(loose, steady) is None


def test_ours_says_that_energy_was_absent() -> None:
    """Without energy the runtime decides alone, and the reason says so."""
    assert Relative().decide(np.full(8, 10.0), None) == "narrow_runtime_only"


def test_ours_measures_on_after_it_is_content() -> None:
    """Three windows follow the look that was narrow, whatever they show; the last look ends a cell all the same."""
    rule = Relative(looks=(5, 8))
    steady, late = np.ones(8), np.array([1.0] * 5 + [1.0, 9.0, 1.0])

    assert [rule.decide(steady[:k], None) for k in range(1, 9)] == [None] * 7 + ["narrow_runtime_only"]
    assert rule.decide(late, None) == "narrow_runtime_only"
    assert rule.decide(np.arange(8.0) + 1, None) is None
    assert rule.decide(np.arange(11.0) + 1, None) == "most_windows"


def test_fixed_counts() -> None:
    """The fixed rule stops at its number."""
    assert Fixed(2).decide(np.ones(1), None) is None
    assert Fixed(2).decide(np.ones(2), None) == "fixed"


@pytest.mark.parametrize("spread", [0.005, 0.015, 0.03])
def test_stopping_early_leaves_the_interval_true(spread: float) -> None:
    """Over 1,500 cells stopped by the relative rule the plain 95 % interval covers the truth in 93 to 97 %."""
    rng = np.random.default_rng(1)

    covered = [_covers(1 + spread * rng.standard_normal(43)) for _ in range(1500)]

    assert 0.93 <= np.mean(covered) <= 0.97


def _covers(values: Floats) -> bool:
    """Whether the interval at which the rule stops holds the true mean, 1."""
    rule = Relative()
    windows = next(k for k in (look + rule.fresh for look in rule.looks) if rule.decide(values[:k], None))
    interval = random_interval(values[:windows])
    return interval.lower <= 1 <= interval.upper
