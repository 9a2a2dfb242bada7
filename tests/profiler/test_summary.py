"""A cell in numbers: scatter and sensor apart, and together only where both are known."""

from dataclasses import replace

import pytest

from tests.profiler.cases import campaign, measured, trials_of, world
from wattshed.domain.measurement import Measurement
from wattshed.profiler.summary import pooled, summarised
from wattshed.testing import Sensor


def cell(sensor: Sensor) -> list[Measurement]:
    """The trials of the first cell of a small campaign."""
    trials = [event.trial for event in trials_of(measured(campaign(), world(sensor=sensor)))]
    return next(iter(pooled(trials).values()))


def test_an_unknown_sensor_leaves_the_scatter_alone() -> None:
    """Without the sensor's uncertainty there is no combined half-width; that of the scatter is as ever."""
    known, unknown = (summarised(cell(Sensor(tolerance=tolerance))) for tolerance in (0.05, None))

    assert unknown.combined_half_width_j is None
    assert unknown.energy_half_width_j == pytest.approx(known.energy_half_width_j)
    assert known.combined_half_width_j is not None


def test_a_sensor_that_is_known_in_part_is_unknown() -> None:
    """Where one of the trials does not know its sensor, the mean does not know it either."""
    trials = cell(Sensor(tolerance=0.05))

    summary = summarised([*trials[:-1], replace(trials[-1], sensor_uncertainty=None)])

    assert summary.combined_half_width_j is None
    assert summary.energy_half_width_j is not None
