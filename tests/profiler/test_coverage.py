"""The declared intervals hold the truth as often as they say, over 500 simulated campaigns."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.profiler.cases import campaign, measured, trials_of, world
from wattshed.profiler.design import REFERENCE, Shape
from wattshed.profiler.stopping import Relative
from wattshed.profiler.summary import Summary, pooled, summarised
from wattshed.testing import Sensor

CAMPAIGNS = 500
SHAPE = Shape(8, 32)
ENERGY_J, RUNTIME_S = 300.0, 2.0
SPREAD = 0.02
"""A query scatters by 2 % in joules and in seconds, as cells of the paper's A100 do."""

TOLERANCE = 0.05


@pytest.fixture(scope="module")
def unbiased() -> list[Summary]:
    """The cell of each campaign, by a meter without error."""
    return [_cell(number, Sensor()) for number in range(CAMPAIGNS)]


def test_the_random_interval_of_energy_covers(unbiased: list[Summary]) -> None:
    """With an unbiased meter 93 to 97 % of the 95 % intervals hold the true joules."""
    covered = [_holds(ENERGY_J, cell.energy_j, cell.energy_half_width_j) for cell in unbiased]

    assert 0.93 <= np.mean(covered) <= 0.97


def test_the_random_interval_of_runtime_covers(unbiased: list[Summary]) -> None:
    """The same for seconds."""
    covered = [_holds(RUNTIME_S, cell.runtime_s, cell.runtime_half_width_s) for cell in unbiased]

    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.fixture(scope="module")
def gained() -> list[Summary]:
    """The cell of each campaign, by a sensor whose gain is drawn from what its maker states."""
    rng = np.random.default_rng(3)
    return [_cell(number, Sensor.drawn(TOLERANCE, rng)) for number in range(CAMPAIGNS)]


@pytest.mark.parametrize(
    ("width", "least", "most"),
    [
        pytest.param(lambda cell: cell.combined_half_width_j, 0.93, 1.0, id="the combined interval covers"),
        pytest.param(lambda cell: cell.energy_half_width_j, 0.0, 0.6, id="the random interval alone does not"),
    ],
)
def test_a_wrong_sensor_is_in_the_combined_interval_only(
    width: Callable[[Summary], float | None], least: float, most: float, gained: list[Summary]
) -> None:
    """With a gain anywhere within +-5 % at least 93 % of the combined intervals hold the truth, and few random ones."""
    covered = [_holds(ENERGY_J, cell.energy_j, width(cell)) for cell in gained]

    assert least <= np.mean(covered) <= most


def _cell(number: int, sensor: Sensor) -> Summary:
    """The one cell of a tiny campaign: windows of one query, stopped by our rule."""
    plan = campaign(
        [SHAPE], stopping=Relative(), window_s=1.0, warm_ups=0, settle_s=0.0, idle_s=0.0, reference_windows=1
    )
    events = trials_of(measured(plan, world(spread=SPREAD, seed=number, sensor=sensor)))
    [trials] = [pool for key, pool in pooled(event.trial for event in events).items() if key.experiment != REFERENCE]
    return summarised(trials)


def _holds(truth: float, mean: float | None, half_width: float | None) -> bool:
    return mean is not None and half_width is not None and abs(mean - truth) <= half_width
