"""Campaigns on a virtual clock: order, failures, time-outs, and the truth."""

from dataclasses import replace

import pytest

from tests.profiler.cases import SHAPES, FaultyMeter, campaign, measured, trials_of, world
from wattshed.errors import EngineError, MissingError
from wattshed.profiler.campaign import Earlier, run
from wattshed.profiler.design import REFERENCE, Shape
from wattshed.profiler.events import (
    CampaignDone,
    CellDone,
    CellFailed,
    CellStarted,
    Event,
    IdleMeasured,
    TrialDone,
)
from wattshed.profiler.forecast import forecast
from wattshed.profiler.stopping import Fixed, Relative
from wattshed.profiler.summary import pooled, summarised
from wattshed.testing import Failures, Sensor


def of_kind(events: list[Event], kind: type[Event]) -> list[Event]:
    """The events of one kind, in order."""
    return [event for event in events if isinstance(event, kind)]


def test_a_campaign_returns_the_known_joules_and_seconds() -> None:
    """Golden truth: each cell's mean energy and runtime lie in its declared interval around what the engine spends."""
    events = measured(campaign(stopping=Fixed(10)), world(sensor=Sensor(1.03, 0.05)))

    pools = pooled(event.trial for event in trials_of(events))
    assert len(pools) == len(SHAPES) + 1
    for key, trials in pools.items():
        cell, tokens = summarised(trials), key.shape.input_tokens + key.shape.output_tokens
        assert abs(cell.runtime_s - 0.05 * tokens) <= 2 * (cell.runtime_half_width_s or 0.0)
        assert abs((cell.energy_j or 0.0) - 7.5 * tokens) <= (cell.combined_half_width_j or 0.0)


def test_everything_planned_happens_in_order() -> None:
    """Idle, then every visit with its warm-up, windows and end, then idle, then done."""
    plan = campaign()

    events = measured(plan, world())

    assert [event.visit for event in of_kind(events, CellStarted)] == list(plan.visits)
    assert [event.stop_reason for event in of_kind(events, CellDone)] == ["fixed"] * len(plan.visits)
    assert [event.when for event in of_kind(events, IdleMeasured)] == ["before", "after"]
    assert events[-1] == CampaignDone(0, "complete")
    trials = of_kind(events, TrialDone)
    assert [event.trial.order for event in trials] == list(range(len(trials)))
    warm = [event for event in trials if event.trial.warm_up]
    assert [event.visit for event in warm] == [visit.number for visit in plan.visits]


def test_idle_is_measured_with_the_engine_loaded() -> None:
    """The idle power is the meter's, and stands in every trial."""
    events = measured(campaign(), world())

    assert [event.power_w["gpu"] for event in of_kind(events, IdleMeasured)] == pytest.approx([60.0, 60.0])
    assert [event.trial.idle_power_w for event in trials_of(events)] == [pytest.approx(60.0)] * len(trials_of(events))


def test_the_reference_cell_repeats() -> None:
    """Reference trials number on from visit to visit, so no two are the same."""
    events = measured(campaign(), world())

    numbers = [e.trial.trial for e in of_kind(events, TrialDone) if e.trial.experiment == REFERENCE]
    assert numbers == list(range(len(numbers)))


def test_out_of_memory_marks_the_cell_and_goes_on() -> None:
    """A cell that does not fit has failed for its reason; all others are measured."""
    events = measured(campaign(), world(failures=Failures(max_total_tokens=100)))

    failures = of_kind(events, CellFailed)
    assert [(event.reason, campaign().visits[event.visit].shape) for event in failures] == [
        ("out_of_memory", Shape(64, 64))
    ]
    assert len(of_kind(events, CellDone)) == len(campaign().visits) - 1
    assert events[-1] == CampaignDone(0, "complete")


@pytest.mark.parametrize("reason", ["timed_out", "refused"])
def test_a_failing_request_discards_its_window(reason: str) -> None:
    """The window that failed leaves no trial; those before it stay, and the campaign goes on."""
    events = measured(campaign(), world(failures=Failures(at={6: reason})))  # type: ignore[dict-item]  # a reason

    [failure] = of_kind(events, CellFailed)
    assert failure.reason == reason
    assert len(trials_of(events)) < 3 * len(campaign().visits)
    assert events[-1] == CampaignDone(0, "complete")


def test_an_engine_that_comes_back_loses_one_cell() -> None:
    """Gone once, the engine is loaded again and the campaign goes on with the next cell."""
    events = measured(campaign(), world(failures=Failures(at={6: "engine_gone"})))

    assert [event.reason for event in of_kind(events, CellFailed)] == ["engine_gone"]
    assert events[-1] == CampaignDone(0, "complete")


def test_an_engine_that_is_gone_twice_ends_the_campaign() -> None:
    """Two visits in a row without an engine end the campaign, cleanly, with what it has."""
    events = measured(campaign(), world(failures=Failures(at=dict.fromkeys(range(12, 200), "engine_gone"))))

    assert [event.reason for event in of_kind(events, CellFailed)] == ["engine_gone"] * 2
    assert events[-1] == CampaignDone(0, "engine_gone")
    assert trials_of(events)


def test_an_engine_that_cannot_be_loaded_is_an_error() -> None:
    """Nothing is measured where there is no engine at all."""
    at = world()

    def no_engine() -> None:
        raise EngineError("engine_gone", "connection refused")

    at.engine.load = no_engine  # type: ignore[method-assign]  # an engine that is not there
    with pytest.raises(EngineError, match="connection refused"):
        next(run(campaign(), at.bench))


def test_a_meter_that_fails_marks_the_cell() -> None:
    """A meter's error is the cell's reason, and the campaign goes on."""
    at = world()
    at.meter = FaultyMeter(at, fails_at=8)

    events = measured(campaign(), at)

    assert [(event.reason, event.message) for event in of_kind(events, CellFailed)] == [
        ("source_failed", "the board fell off the bus")
    ]
    assert events[-1] == CampaignDone(0, "complete")


def test_a_cell_ends_when_its_time_is_up() -> None:
    """A cell that its rule would measure on and on stops with the reason `cell_timeout`, and keeps its trials."""
    events = measured(campaign(stopping=Fixed(1000), cell_timeout_s=60.0), world())

    reasons = {event.visit: event.stop_reason for event in of_kind(events, CellDone)}
    assert set(reasons.values()) == {"fixed", "cell_timeout"}
    assert all(trials_of([e for e in events if getattr(e, "visit", None) == number]) for number in reasons)


def test_a_cell_whose_warm_up_took_all_its_time_has_one_window() -> None:
    """A query that outlasts the time of its cell is measured once: what was warmed up is not thrown away."""
    events = measured(campaign(cell_timeout_s=0.1), world())

    assert not of_kind(events, CellFailed)
    assert {event.stop_reason for event in of_kind(events, CellDone)} == {"cell_timeout"}
    assert len(trials_of(events)) == len(campaign().visits)


def test_without_a_meter_runtime_decides_alone() -> None:
    """No meter is no obstacle: seconds are measured, joules are `None`, and the stop reason says so."""
    at = world()
    at.metered = False

    events = measured(campaign(stopping=Relative()), at)

    assert {event.trial.measured_energy_j for event in trials_of(events)} == {None}
    stops = {event.stop_reason for event in of_kind(events, CellDone)}
    assert stops == {"fixed", "narrow_runtime_only"}


def test_the_least_time_is_a_bound() -> None:
    """A campaign takes at least the time that a dry run says."""
    plan, at = campaign(), world()

    measured(plan, at)

    assert 0.0 < forecast(plan, lambda _: None).least_s <= at.clock.now_s()


def test_the_same_seed_gives_the_same_campaign() -> None:
    """Seed and engine alone decide every number."""
    first, second = (measured(campaign(), world()) for _ in range(2))

    assert first == second


def test_another_seed_gives_another_order() -> None:
    """The order follows from the seed."""
    orders = {tuple(campaign(seed=seed).visits) for seed in range(5)}

    assert len(orders) > 1


def test_a_campaign_ends_when_its_time_is_up() -> None:
    """After the limit only the last reference is measured, and idle; cells say so, and a resume measures them."""
    plan = campaign()
    whole = measured(plan, world())
    most_s = of_kind(whole, TrialDone)[len(whole) // 3].trial.started_at_s or 0.0

    cut = measured(replace(plan, timeout_s=most_s), world())

    assert cut[-1] == CampaignDone(0, "timed_out")
    assert [event.when for event in of_kind(cut, IdleMeasured)] == ["before", "after"]
    over = {event.visit for event in of_kind(cut, CellDone)}
    assert len(plan.visits) - 1 in over
    assert 1 < len(over) < len(plan.visits)
    late = {event.visit for event in of_kind(cut, CellFailed) if event.reason == "campaign_timeout"}
    assert late == set(range(len(plan.visits))) - over
    rest = list(run(plan, world().bench, earlier=Earlier(1, {}, frozenset(over))))
    assert {event.visit for event in of_kind(rest, CellDone)} == late
    assert rest[-1] == CampaignDone(1, "complete")


def test_a_warm_up_is_a_whole_query() -> None:
    """No length of a sequence is new to the engine when its cell is measured (decision 0008)."""
    warm = [event.trial for event in of_kind(measured(campaign(), world()), TrialDone) if event.trial.warm_up]

    assert all(trial.output_tokens == trial.requested_output_tokens for trial in warm)


def test_a_campaign_without_time_still_looks_for_drift() -> None:
    """Time that is up before the first visit leaves both ends of the reference, so that the bundle is valid."""
    events = measured(campaign(timeout_s=0.0), world())

    places = [campaign().visits[event.visit] for event in of_kind(events, CellDone)]
    assert places == [campaign().visits[0], campaign().visits[-1]]
    assert events[-1] == CampaignDone(0, "timed_out")


def test_a_device_that_is_no_longer_there_ends_the_campaign() -> None:
    """An engine that finds no device as it is loaded again is gone for good, and that is an event too."""
    at = world(failures=Failures(at={6: "engine_gone"}))
    events = run(campaign(), at.bench)
    seen = [next(events)]

    def no_device() -> None:
        raise MissingError("1 cuda devices were asked for and torch sees 0")

    at.engine.load = no_device  # type: ignore[method-assign]  # a device that fell off the bus
    seen += list(events)

    assert seen[-1] == CampaignDone(0, "engine_gone")
