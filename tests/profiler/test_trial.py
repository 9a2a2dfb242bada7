"""One window, and what it says about one query."""

from dataclasses import replace

import pytest

from tests.profiler.cases import World, true_cost, world
from wattshed.domain.schema import REASONS
from wattshed.engines.engine import Generation, Request
from wattshed.engines.synthetic import SYSTEM
from wattshed.profiler.design import Shape, Visit
from wattshed.profiler.host import HostReading
from wattshed.profiler.summary import summarised
from wattshed.profiler.trial import Place, Window, measured, open_window
from wattshed.testing import SyntheticMeter, VirtualClock

SHORT, LONG = Shape(8, 32), Shape(64, 256)


def place(shape: Shape, **changes: object) -> Place:
    """The first measured trial of a cell."""
    return replace(Place(Visit(0, "small", shape), 0, 0, 0, warm_up=False, idle_power_w=60.0), **changes)


@pytest.fixture
def ready() -> World:
    """A world without noise, loaded and metered."""
    at = world()
    at.engine = type(at.engine)(true_cost, now_s=at.clock.now_s, sleep=at.clock.sleep)
    at.meter = SyntheticMeter(at.clock.now_s, at.engine.work, idle_power_w=60.0)
    at.engine.load()
    at.meter.start()
    return at


def test_a_short_query_is_repeated_until_the_window_is_long_enough(ready: World) -> None:
    """A query of 2 s runs three times in a window of 5 s, and its joules are a third of the window's."""
    window = open_window(ready.bench, SHORT, window_s=5.0, serial=0)
    trial = measured(window, SYSTEM, place(SHORT))

    assert window.duration_s == pytest.approx(6.0)
    assert trial.window_queries == 3
    assert trial.runtime_s == pytest.approx(2.0)
    assert trial.gpu_energy_j == pytest.approx(300.0)
    assert trial.ttft_s == pytest.approx(0.2)


def test_a_long_query_runs_once(ready: World) -> None:
    """A query longer than the window runs once."""
    trial = measured(open_window(ready.bench, LONG, window_s=5.0, serial=0), SYSTEM, place(LONG))

    assert trial.window_queries == 1
    assert trial.runtime_s == pytest.approx(16.0)
    assert trial.gpu_energy_j == pytest.approx(2400.0)


def test_a_batch_shares_the_joules(ready: World) -> None:
    """Energy is per query, and a query of a batch is one of many."""
    shape = replace(SHORT, concurrency=4)

    trial = measured(open_window(ready.bench, shape, window_s=2.0, serial=0), SYSTEM, place(shape))

    assert trial.window_queries == 4
    assert trial.gpu_energy_j == pytest.approx(300.0)
    assert trial.runtime_s == pytest.approx(2.0)


def test_what_is_missing_is_none_with_its_reason(ready: World) -> None:
    """Without a meter every energy is `None`, for a reason that the schema knows, and the boundary says so."""
    bench = replace(ready.bench, meter=None)

    trial = measured(open_window(bench, SHORT, window_s=1.0, serial=0), SYSTEM, place(SHORT))

    assert trial.gpu_energy_j is None
    assert trial.cpu_energy_j is None
    assert {"no_gpu_meter", "no_cpu_meter"} <= set(trial.reasons)
    assert trial.boundary == "none: no joules were measured"
    assert trial.runtime_s == pytest.approx(2.0)


def test_a_meter_that_cannot_answer_gives_its_reason(ready: World) -> None:
    """A closed meter has no joules, and the trial says that its source failed."""
    ready.meter.close()

    trial = measured(open_window(ready.bench, SHORT, window_s=1.0, serial=0), SYSTEM, place(SHORT))

    assert trial.gpu_energy_j is None
    assert "gpu_source_failed" in trial.reasons
    assert set(trial.reasons) <= set(REASONS)


def test_two_parts_are_two_columns(ready: World) -> None:
    """Accelerator and processor keep their own joules; the sensor's uncertainty is that of the sum."""
    ready.meter.shares = {"gpu": 0.75, "cpu": 0.25}
    ready.meter.sensor = replace(ready.meter.sensor, tolerance=0.05)

    trial = measured(open_window(ready.bench, SHORT, window_s=1.0, serial=0), SYSTEM, place(SHORT))

    assert (trial.gpu_energy_j, trial.cpu_energy_j) == pytest.approx((225.0, 75.0))
    assert trial.energy_j("total") == trial.measured_energy_j == pytest.approx(300.0)
    assert trial.sensor_uncertainty == pytest.approx(0.05 / 3**0.5 * (0.75**2 + 0.25**2) ** 0.5)
    assert trial.boundary == "synthetic gpu + synthetic cpu"


def test_a_platform_alone_gives_the_trial_its_joules(ready: World) -> None:
    """Where a plug is the only meter its joules are the trial's, and its boundary theirs."""
    ready.meter.shares = {"platform": 1.0}

    trial = measured(open_window(ready.bench, SHORT, window_s=1.0, serial=0), SYSTEM, place(SHORT))

    assert trial.energy_j("platform") == trial.measured_energy_j == pytest.approx(300.0)
    assert (trial.boundary, trial.energy_method) == ("synthetic platform", "platform counter, gross")
    assert set(trial.reasons) == {"no_gpu_meter", "no_cpu_meter"}


def test_memory_and_platform_stand_beside_the_sum(ready: World) -> None:
    """A platform holds the parts, so nothing is counted twice; memory has its own column on every machine."""
    ready.meter.shares = {"gpu": 0.5, "cpu": 0.2, "memory": 0.1, "platform": 1.0}

    trial = measured(open_window(ready.bench, SHORT, window_s=1.0, serial=0), SYSTEM, place(SHORT))

    assert (trial.memory_energy_j, trial.platform_energy_j) == pytest.approx((30.0, 300.0))
    assert trial.measured_energy_j == pytest.approx(210.0)
    assert trial.boundary == "synthetic gpu + synthetic cpu"


def test_a_platform_that_cannot_answer_gives_its_reason(ready: World) -> None:
    """A part that has a meter and no joules says why, beside the others' joules."""
    ready.meter.shares = {"platform": 1.0}
    ready.meter.close()

    trial = measured(open_window(ready.bench, SHORT, window_s=1.0, serial=0), SYSTEM, place(SHORT))

    assert trial.measured_energy_j is None
    assert "platform_source_failed" in trial.reasons
    assert set(trial.reasons) <= set(REASONS)


def test_a_sensor_of_unknown_accuracy_is_none(ready: World) -> None:
    """Joules stay what they are where nobody states their sensor's accuracy; an uncertainty of 0 would be a claim."""
    ready.meter.sensor = replace(ready.meter.sensor, tolerance=None)

    trial = measured(open_window(ready.bench, SHORT, window_s=1.0, serial=0), SYSTEM, place(SHORT))

    assert trial.gpu_energy_j == pytest.approx(300.0)
    assert trial.sensor_uncertainty is None


def test_idle_time_inside_the_window_is_flagged(ready: World) -> None:
    """An engine without a query for more than a twentieth of the window is said to have idled; the joules stay."""
    window = open_window(ready.bench, SHORT, window_s=5.0, serial=0)
    slow = replace(window, busy_s=0.9 * window.busy_s)

    assert "engine_idle" not in measured(window, SYSTEM, place(SHORT)).reasons
    assert "engine_idle" in measured(slow, SYSTEM, place(SHORT)).reasons


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Generation(8, 30, 2.0), "short_output"),
        (Generation(8, 33, 2.0), "long_output"),
        (Generation(8, 32, 2.0, cached_tokens=8), "cache_hit"),
    ],
)
def test_odd_answers_are_marked(answer: Generation, reason: str) -> None:
    """Fewer or more tokens than asked for, and prompts that a cache answered, are reasons."""
    trial = measured(Window(0.0, 2.0, 2.0, (answer,)), SYSTEM, place(SHORT))

    assert reason in trial.reasons


def test_the_host_is_read_on_both_sides(ready: World) -> None:
    """CPU seconds of ours and the load of all are differences over the window; foreign work is flagged."""
    bench = replace(ready.bench, probe=lambda: HostReading(ready.clock.now_s() * 0.25, ready.clock.now_s() * 2))

    trial = measured(open_window(bench, SHORT, window_s=1.0, serial=0), SYSTEM, place(SHORT))

    assert trial.host_cpu_s == pytest.approx(0.5)
    assert trial.host_load == pytest.approx(2.0)
    assert "busy_host" in trial.reasons


def test_a_host_counter_that_goes_back_is_no_negative_load(ready: World) -> None:
    """Kernels let iowait fall and floats round: the host did nothing then, and not less than nothing."""
    bench = replace(ready.bench, probe=lambda: HostReading(-ready.clock.now_s(), -ready.clock.now_s()))

    trial = measured(open_window(bench, SHORT, window_s=1.0, serial=0), SYSTEM, place(SHORT))

    assert (trial.host_cpu_s, trial.host_load) == (0.0, 0.0)


def test_prompts_differ_within_and_between_windows() -> None:
    """Each request has a serial of its own, so that no cache of prefixes answers."""
    serials: list[int] = []
    clock = VirtualClock()
    at = world()

    def noted(request: Request) -> object:
        serials.append(request.serial)
        return true_cost(request)

    engine = type(at.engine)(noted, now_s=clock.now_s, sleep=clock.sleep)  # type: ignore[arg-type]  # a cost all the same
    engine.load()
    bench = replace(at.bench, engine=engine, meter=None, now_s=clock.now_s)
    open_window(bench, SHORT, window_s=5.0, serial=100)

    assert serials == [100, 101, 102]


def test_joules_of_two_boundaries_have_no_mean(ready: World) -> None:
    """A cell whose GPU went unread in one window has no joules to average: two boundaries are never one number."""
    trial = measured(open_window(ready.bench, SHORT, window_s=1.0, serial=0), SYSTEM, place(SHORT))
    other = replace(trial, boundary="package 0", gpu_energy_j=None, cpu_energy_j=12.0)

    assert summarised([trial, trial]).energy_j == pytest.approx(trial.gpu_energy_j)
    assert summarised([trial, other]).energy_j is None
