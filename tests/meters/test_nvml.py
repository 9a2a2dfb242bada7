"""NVML: the counter where there is one, power where there is none, and a reason where there is neither."""

import sys
import time
from threading import Event

import pytest

from tests.contracts.meter_suite import Bench, MeterSuite
from tests.meters.fake_nvml import AVERAGE, ERRORS, INSTANT, Board, FakeNvml
from tests.meters.scripted import bench, energy_j
from wattshed.meters.counter import CounterMeter
from wattshed.meters.meter import Absent, Meter
from wattshed.meters.nvml import find
from wattshed.meters.sampled import SampledMeter
from wattshed.meters.sampler import Sampling
from wattshed.testing import VirtualClock

ON_DEMAND = Sampling(period_s=None, max_gap_s=30.0)
TICK_J = 2 * 0.1 * 200
"""One update at either end, at the load's highest power."""


def lose(boards: tuple[Board, ...]) -> None:
    """Let all boards fall off the bus."""
    for board in boards:
        board.lost_from_s = 0.0


def found(*boards: Board, clock: VirtualClock, which: tuple[str, ...] = ()) -> CounterMeter | SampledMeter:
    """The meter of some boards, which is there."""
    meter = find(which, nvml=FakeNvml(*boards, now_s=clock.now_s), sampling=ON_DEMAND, now_s=clock.now_s)
    assert not isinstance(meter, Absent)
    return meter


class TestCounter(MeterSuite):
    """Two boards with energy counters under the suite."""

    @pytest.fixture
    def bench(self) -> Bench:
        """Counters that tick ten times a second."""
        clock, boards = VirtualClock(1000.0), (Board(0), Board(1))
        return bench(found(*boards, clock=clock), clock, lambda: lose(boards), slack_j=TICK_J)

    @pytest.fixture
    def live(self) -> Meter:
        """Two boards at 10 Hz."""
        meter = find(nvml=FakeNvml(Board(0), Board(1), now_s=time.monotonic))
        assert isinstance(meter, CounterMeter)
        return meter


class TestPower(MeterSuite):
    """A board without a counter under the suite."""

    @pytest.fixture
    def bench(self) -> Bench:
        """Power at instants, integrated."""
        clock, boards = VirtualClock(1000.0), (Board(0, counter=False),)
        return bench(found(*boards, clock=clock), clock, lambda: lose(boards), slack_j=0.1)


def test_the_counter_is_preferred_to_power() -> None:
    """Boards that all have a counter are counted, and if one has none all are integrated."""
    clock = VirtualClock()

    assert isinstance(found(Board(0), Board(1), clock=clock), CounterMeter)
    assert isinstance(found(Board(0), Board(1, counter=False), clock=clock), SampledMeter)


def test_the_boundary_names_the_board_and_nothing_that_identifies_it() -> None:
    """A channel says which board of which kind; no UUID stands in a channel or in the raw bytes."""
    clock = VirtualClock()
    kept: list[bytes] = []
    nvml = FakeNvml(Board(0), Board(3), now_s=clock.now_s)

    meter = find(("0", Board(3).uuid), nvml=nvml, tap=lambda source: kept.append(source.read().raw) or source)

    assert isinstance(meter, CounterMeter)
    assert [channel.boundary for channel in meter.channels] == [
        "NVIDIA H100 80GB HBM3 board, GPU 0",
        "NVIDIA H100 80GB HBM3 board, GPU 3",
    ]
    assert meter.channels[0].sensor_uncertainty == pytest.approx(0.0288675)
    assert b"GPU-" not in kept[0]


@pytest.mark.parametrize("which", [("1",), (Board(1).uuid,), ("1", Board(1).uuid)])
def test_boards_are_chosen_by_index_or_uuid(which: tuple[str, ...]) -> None:
    """A board that is named twice is one channel."""
    meter = found(Board(0), Board(1), clock=VirtualClock(), which=which)

    assert [channel.name for channel in meter.channels] == ["gpu1"]


@pytest.mark.parametrize(
    ("fields", "usage"), [((INSTANT, AVERAGE), False), ((AVERAGE,), False), ((), True)], ids=["186", "185", "usage"]
)
def test_power_is_the_best_that_the_board_tells(fields: tuple[int, ...], usage: bool) -> None:
    """Instantaneous power, else its average, else the old call."""
    clock = VirtualClock()
    meter = found(Board(0, counter=False, fields=fields, usage=usage), clock=clock)
    start_s = meter.mark()
    for _ in range(10):
        clock.sleep(0.1)
        stop_s = meter.mark()

    assert meter.between(start_s, stop_s).channels[0].energy_j == pytest.approx(energy_j(stop_s), abs=0.1)


def test_the_trace_has_what_else_the_board_says() -> None:
    """Utilisation, temperature, clock, limit and throttle reasons stand beside the power."""
    meter = found(Board(0), clock=VirtualClock())
    meter.mark()

    sample = meter.power_trace()[0]

    assert (sample.power_w, sample.utilization, sample.temperature_c) == (150.0, 0.87, 45)
    assert (sample.clock_mhz, sample.power_limit_w, sample.throttle_reasons) == (1980, 700.0, ("software_power_cap",))


def test_power_is_sampled_often_and_the_counter_seldom() -> None:
    """Between whole readings the thread glances: power, and no question for the counter, which is dear."""
    nvml = FakeNvml(Board(0), now_s=time.monotonic)
    asked: list[float] = []
    counter = nvml.nvmlDeviceGetTotalEnergyConsumption
    nvml.nvmlDeviceGetTotalEnergyConsumption = lambda board: asked.append(time.monotonic()) or counter(board)
    meter = find(nvml=nvml, sampling=Sampling(period_s=0.01, whole_every=10))
    assert isinstance(meter, CounterMeter)
    asked.clear()

    meter.start()
    start_s = meter.mark()
    Event().wait(0.5)
    stop_s = meter.mark()
    meter.close()

    samples = meter.power_trace(start_s)
    assert len(asked) <= 2 + len(samples) / 5
    assert samples == tuple(sorted(samples, key=lambda sample: sample.at_s))
    assert meter.between(start_s, stop_s).channels[0].energy_j is not None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"reset_at_s": 5.0}, "counter_reset"),
        ({"frozen_from_s": 5.0}, "counter_frozen"),
        ({"lost_from_s": 5.0}, "source_failed"),
    ],
)
def test_a_fault_is_a_reason(fault: dict[str, float], reason: str) -> None:
    """A board that is reset, freezes or is lost in a window has no joules for it; its neighbour has."""
    clock = VirtualClock()
    meter = found(Board(0, **fault), Board(1), clock=clock)  # type: ignore[arg-type]  # the faults are instants
    start_s = meter.mark()
    for _ in range(100):
        clock.sleep(0.1)
        stop_s = meter.mark()

    energies = meter.between(start_s, stop_s).channels

    assert (energies[0].energy_j, energies[0].reason) == (None, reason)
    assert energies[1].energy_j == pytest.approx(energy_j(stop_s), abs=TICK_J)


@pytest.mark.parametrize(
    ("board", "remedy"),
    [(Board(0, mig=1), "nvidia-smi -i 0 -mig 0"), (Board(0, virtualization=2), "measure on its host")],
)
def test_a_share_of_a_board_is_unsupported(board: Board, remedy: str) -> None:
    """MIG instances and vGPUs have no sensor of their own: the remedy says what to do, and NVML is closed again."""
    nvml = FakeNvml(board, now_s=time.monotonic)

    absent = find(nvml=nvml)

    assert isinstance(absent, Absent)
    assert absent.reason == "unsupported"
    assert remedy in absent.remedy
    assert nvml.calls == ["init", "shutdown"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("LIBRARY_NOT_FOUND", "not_found"),
        ("DRIVER_NOT_LOADED", "not_found"),
        ("NO_PERMISSION", "permission"),
        ("GPU_IS_LOST", "source_failed"),
    ],
)
def test_a_refusal_of_nvml_is_a_typed_reason(error: str, reason: str) -> None:
    """An NVML that does not open says why, and what to do."""
    absent = find(nvml=FakeNvml(now_s=time.monotonic, refusal=ERRORS[error]))

    assert isinstance(absent, Absent)
    assert absent.reason == reason
    assert absent.remedy


@pytest.mark.parametrize(
    ("boards", "which", "reason"),
    [
        ((), (), "not_found"),
        ((Board(0),), ("7",), "not_found"),
        ((Board(0, counter=False, fields=(), usage=False),), (), "unsupported"),
    ],
)
def test_no_usable_board_is_absent(boards: tuple[Board, ...], which: tuple[str, ...], reason: str) -> None:
    """No board, not this board, or a board that tells nothing: NVML is closed again."""
    nvml = FakeNvml(*boards, now_s=time.monotonic)

    absent = find(which, nvml=nvml)

    assert isinstance(absent, Absent)
    assert absent.reason == reason
    assert nvml.calls == ["init", "shutdown"]


def test_without_the_library_the_remedy_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra that brings NVML is named."""
    monkeypatch.setitem(sys.modules, "pynvml", None)

    assert find() == Absent("nvml", "not_installed", "pip install 'wattshed[nvidia]'")
