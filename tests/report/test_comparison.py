"""Two profiles side by side: what is compared, how wide the intervals are, and what drifted."""

from dataclasses import replace

import numpy as np
import pytest

from tests.predictors.cases import trial
from tests.report.contrasting import EAGER, SHAPES, contrasting, measured_on
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System
from wattshed.profiler.design import REFERENCE, Shape
from wattshed.report.comparison import Compared, compare, differs, ratio, title
from wattshed.report.comparison_page import comparison_pictures, comparison_sections, verdicts
from wattshed.report.drift import drifts
from wattshed.report.drift_page import drift_table
from wattshed.report.page import Picture

OTHER = replace(EAGER, name="other", model="Llama-2 (7B)", engine="torch 3 eager", host="host-z")


def profile(
    system: System, per_token_j: float, *, spread: float, windows: int = 4, sensor: float | None = 0.0
) -> Profile:
    """Windows of one cell whose joules and seconds scatter evenly by a fraction to either side."""
    offsets = np.linspace(-spread, spread, windows)
    trials = [
        replace(
            trial("grid", (512, 32), number, per_token_j * 32 * (1 + off), system=system), sensor_uncertainty=sensor
        )
        for number, off in enumerate(offsets)
    ]
    return Profile(system.name, tuple(trials))


def only(ours: Profile, theirs: Profile) -> Compared:
    """The one cell that both have."""
    (found,) = compare(ours, theirs, "gpu")
    return found


def test_cells_are_compared_where_both_did_the_same_work() -> None:
    """The same model under either of its names, cache, launching and shape; versions of an engine do not matter."""
    theirs = Profile("theirs", tuple(measured_on(OTHER, 8.0, shapes=SHAPES[:2], bound="device")))

    found = compare(contrasting(), theirs, "gpu")

    assert [one.shape for one in found] == [Shape(8, 32), Shape(8, 128)]
    assert {title(one) for one in found} == {"box / other: Llama-2 (7B), KV cache"}
    assert [one.joules_ratio.value for one in found if one.joules_ratio] == pytest.approx([0.5, 0.5])
    assert all(one.host_bound for one in found)


def test_a_ratio_differs_where_the_intervals_leave_it_no_choice() -> None:
    """4 % apart is a difference at 0.2 % of scatter, and none at 8 %."""
    sure = only(profile(EAGER, 1.04, spread=0.002), profile(OTHER, 1.0, spread=0.002))
    open_ = only(profile(EAGER, 1.04, spread=0.08), profile(OTHER, 1.0, spread=0.08))

    assert (differs(sure.joules_ratio), differs(open_.joules_ratio)) == (True, False)


def test_a_sensor_widens_joules_and_not_seconds() -> None:
    """A gain of 3 % standard uncertainty on both sides makes 4 % no difference in joules; the seconds are timed."""
    ours = profile(EAGER, 1.04, spread=0.002, sensor=0.03)

    found = only(ours, profile(OTHER, 1.0, spread=0.002, sensor=0.03))

    assert found.sensor_known
    assert not differs(found.joules_ratio)
    assert differs(found.seconds_ratio)
    assert found.joules_ratio is not None
    assert np.log(found.joules_ratio.upper / found.joules_ratio.value) == pytest.approx(
        1.96 * 0.03 * np.sqrt(2), rel=0.02
    )


def test_intervals_cover() -> None:
    """Of 400 pairs of cells that cost the same, 95 % of the intervals hold 1, give or take chance."""
    rng, held = np.random.default_rng(5), 0
    for _ in range(400):
        sides = [
            Profile(
                system.name,
                tuple(trial("grid", (8, 32), at, 32 * rng.normal(1, 0.03), system=system) for at in range(4)),
            )
            for system in (EAGER, OTHER)
        ]
        held += not differs(only(*sides).joules_ratio)

    assert 0.92 <= held / 400 <= 0.98


def test_a_lone_window_borrows_its_profiles_scatter() -> None:
    """One window among cells that scatter by 5 % is as unsure as they are; a profile of lone windows knows nothing."""
    ours, lone = profile(EAGER, 1.0, spread=0.05), profile(OTHER, 1.2, spread=0.0, windows=1)
    rich = replace(lone, measurements=(*lone.measurements, *measured_on(OTHER, 4.0, shapes=SHAPES[:2])))

    unknown, borrowed = only(ours, lone), only(ours, rich)

    assert unknown.joules_ratio is not None
    assert (unknown.joules_ratio.lower, unknown.joules_ratio.upper) == (0.0, float("inf"))
    assert borrowed.trials == (4, 1)
    assert borrowed.joules_ratio is not None
    assert 0 < borrowed.joules_ratio.lower < borrowed.joules_ratio.value < borrowed.joules_ratio.upper < 2


def test_joules_that_one_side_lacks_are_not_compared() -> None:
    """Seconds are, and the page says that joules are missing."""
    ours = profile(EAGER, 1.0, spread=0.01)
    blind = Profile(
        "blind", tuple(replace(one, gpu_energy_j=None) for one in profile(OTHER, 1.0, spread=0.01).measurements)
    )

    found = only(ours, blind)

    assert ratio(found, "joules") is None
    assert found.seconds_ratio.value == pytest.approx(1)
    assert "no joules on both sides" in " ".join(verdicts([found], "ours"))


def test_a_board_that_waited_is_named() -> None:
    """A cell at half of its power limit counts as the device's; where kernels ran only at times, words say so."""
    ours, theirs = profile(EAGER, 1.0, spread=0.01), profile(OTHER, 1.0, spread=0.01)
    told = []
    for share in (0.5, 0.95):
        busy = [replace(one, gpu_utilization=share, bound="device") for one in ours.measurements]
        steady = [replace(one, gpu_utilization=1.0, bound="device") for one in theirs.measurements]
        found = only(replace(ours, measurements=tuple(busy)), replace(theirs, measurements=tuple(steady)))
        told.append((found.partly_idle, " ".join(verdicts([found], "ours"))))

    assert [partly for partly, _ in told] == [True, False]
    assert "In 1 of these 1 a board ran kernels for less than 90 % of the time" in told[0][1]
    assert "(512, 32)" in told[0][1]
    assert "ran kernels" not in told[1][1]


def test_drift_is_the_rise_of_the_reference_cell() -> None:
    """Five visits that grow by 2 % of the mean each, in order: a range and a trend of 8 %, over their time."""
    found = Profile("p", tuple(visits(np.array([0.96, 0.98, 1.0, 1.02, 1.04]))))

    (drift,) = drifts(found, "gpu")

    assert (drift.trials, drift.span_s, drift.shape) == (5, 400.0, Shape(128, 32))
    assert (drift.joules_range, drift.joules_trend) == pytest.approx((0.08, 0.08))
    assert drift_table(found, "gpu").rows[0][-1] == "+8.0 %"


def test_a_page_tells_what_was_found() -> None:
    """Verdict, map, batches, every cell and drift; and it says so where nothing meets."""
    theirs = Profile(
        "theirs", tuple(replace(one, system=replace(one.system, name="other")) for one in contrasting().measurements)
    )

    pictures = comparison_pictures(contrasting(), theirs)
    compared, drift = comparison_sections(contrasting(), theirs, pictures)
    (nothing, _) = comparison_sections(contrasting(), Profile("p", tuple(visits(np.ones(3)))), {})

    assert set(pictures) == {"machines", "compared", "compared-batch"}
    assert sum(isinstance(block, Picture) for block in compared.blocks) == 3
    assert "No reference cell" in str(drift.blocks)
    assert "No cell was measured by both" in str(nothing.blocks)


def visits(factors: np.ndarray) -> list[Measurement]:
    """Visits to a reference cell, 100 s apart, that cost 100 J times each factor."""
    return [
        replace(
            trial(REFERENCE, (128, 32), at, 100.0 * factor, system=OTHER), started_at_s=100.0 * at, session=0, order=at
        )
        for at, factor in enumerate(factors)
    ]
