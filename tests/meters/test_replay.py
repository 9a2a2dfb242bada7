"""What was recorded says the same again, faults included."""

import io
import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.contracts.meter_suite import Bench, MeterSuite
from tests.meters.fake_nvml import Board, FakeNvml
from tests.meters.scripted import AT, ScriptedSource, energy_j, parse
from wattshed.domain.energy import MeterChannel, WindowEnergy
from wattshed.errors import InputError, MeterError, MissingError
from wattshed.meters.counter import CounterChannel, CounterMeter
from wattshed.meters.meter import Reading
from wattshed.meters.nvml import find, meter_over
from wattshed.meters.replay import Recorder, ReplaySource, Silence, read_recording
from wattshed.meters.sampler import Sampling
from wattshed.testing import VirtualClock

ON_DEMAND = Sampling(period_s=None, max_gap_s=30.0)


class TestContract(MeterSuite):
    """A counter that is played back under the suite."""

    @pytest.fixture
    def bench(self) -> Bench:
        """A minute at 10 Hz, in which the recorded source may fail; waiting plays it on."""
        gone: list[bool] = []
        instants_s = [1000 + tick / 10 for tick in range(600)]
        source = ReplaySource(Silence(at_s, AT, "source_failed") if gone else _said(at_s) for at_s in instants_s)
        board = CounterChannel(MeterChannel("board", "gpu", "a board"))
        meter = CounterMeter("replay", source, parse, [board], sampling=ON_DEMAND, now_s=source.now_s)

        def wait(duration_s: float) -> None:
            for _ in range(int(duration_s * 10)):
                meter.mark()

        def truth_j(start_s: float, stop_s: float) -> dict[str, float]:
            return {"board": energy_j(stop_s) - energy_j(start_s)}

        return Bench(meter, wait, truth_j, lambda: gone.append(True))


def test_a_recording_gives_the_same_joules_again(tmp_path: Path) -> None:
    """Every window that was measured is found again, to the last bit, from the bytes and the clocks alone."""
    clock, path = VirtualClock(1000.0), tmp_path / "nvml.jsonl"
    nvml = FakeNvml(Board(0), Board(1), now_s=clock.now_s)
    with path.open("wb") as file:
        meter = find(nvml=nvml, tap=lambda source: Recorder(source, file), sampling=ON_DEMAND, now_s=clock.now_s)
        assert isinstance(meter, CounterMeter)
        windows = [meter.between(start_s, stop_s) for start_s, stop_s in _marks(meter, clock)]
        meter.close()

    recording = read_recording(path)
    source = ReplaySource(recording)
    again = meter_over(source, _reading(recording[0]), sampling=ON_DEMAND, now_s=source.now_s)
    assert isinstance(again, CounterMeter)
    while again.feed.pull() is not None:
        pass

    assert [_energies(again.between(window.started_at_s, window.stopped_at_s)) for window in windows] == [
        _energies(window) for window in windows
    ]
    assert again.power_trace() == meter.power_trace()


def test_failures_are_played_back_too(tmp_path: Path) -> None:
    """A source that failed while it was recorded fails at the same instant, for the same reason."""
    clock, path = VirtualClock(5.0), tmp_path / "fake.jsonl"
    source = ScriptedSource(clock.now_s, lambda at_s: {"board": at_s}, gone="permission")
    with path.open("wb") as file, pytest.raises(MeterError):
        Recorder(source, file, now_s=clock.now_s).read()

    replay = ReplaySource(read_recording(path))

    with pytest.raises(MeterError) as failed:
        replay.read()
    assert (failed.value.reason, replay.now_s()) == ("permission", 5.0)


def test_bytes_survive_whatever_they_are(tmp_path: Path) -> None:
    """A recording keeps bytes that are no text, and both clocks."""
    reading = Reading(1.25, AT, bytes(range(256)))
    path = tmp_path / "bytes.jsonl"
    with path.open("wb") as file:
        Recorder(ReplaySource([reading]), file).read()

    assert read_recording(path) == (reading,)


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    """A recorder that was killed leaves half a line; the whole ones count."""
    path, file = tmp_path / "cut.jsonl", io.BytesIO()
    recorder = Recorder(ReplaySource([_said(1.0), _said(2.0)]), file)
    recorder.read()
    recorder.read()
    path.write_bytes(file.getvalue()[:-9])

    assert [played.at_s for played in read_recording(path)] == [1.0]


def test_a_torn_line_elsewhere_is_an_error(tmp_path: Path) -> None:
    """A line that is no reading is named with its row."""
    path = tmp_path / "torn.jsonl"
    path.write_bytes(b'{"at_s":1,"at":"2024-07-01","raw":"AA=="}\n{"at_s":2}\n')

    with pytest.raises(InputError, match="row 2"):
        read_recording(path)


def test_a_recording_that_is_not_there_is_missing(tmp_path: Path) -> None:
    """No file is an error of its own."""
    with pytest.raises(MissingError, match="cannot be read"):
        read_recording(tmp_path / "none.jsonl")


def _said(at_s: float) -> Reading:
    return Reading(at_s, AT, json.dumps({"board": energy_j(at_s)}).encode())


def _marks(meter: CounterMeter, clock: VirtualClock) -> list[tuple[float, float]]:
    marks_s = []
    for wait_s in (0.0, 1.3, 0.4, 7.7):
        clock.sleep(wait_s)
        marks_s.append(meter.mark())
    return list(pairwise(marks_s))


def _reading(played: Reading | Silence) -> Reading:
    assert isinstance(played, Reading)
    return played


def _energies(window: WindowEnergy) -> list[float | None]:
    return [energy.energy_j for energy in window.channels]
