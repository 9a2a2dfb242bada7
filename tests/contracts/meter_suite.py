"""The suite that every meter passes, ours and users'.

class TestMyMeter(MeterSuite):
    @pytest.fixture
    def bench(self) -> Bench:
        ...                         # the meter on a fake source whose joules are known, and the clock they go by

    @pytest.fixture
    def live(self) -> Meter:        # the same on the real clock, if it samples in the background
        ...
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Event

import pytest

from wattshed.domain.energy import WindowEnergy
from wattshed.domain.schema import METER_REASONS
from wattshed.meters.certificate import Watched
from wattshed.meters.meter import Meter

WATCHED_S = 0.5
WATCHES = 8


@dataclass
class Bench:
    """A meter under test, and what is known about what it measures.

    `wait` lets seconds pass, with as many readings as the meter needs. `energy_j` is the truth between two instants, by
    channel, which the meter meets within `slack_j` (an update of its counter at either end). `fail` takes its source
    away for good.
    """

    meter: Meter
    wait: Callable[[float], None]
    energy_j: Callable[[float, float], Mapping[str, float]]
    fail: Callable[[], None]
    slack_j: float = field(default=1e-6)


class MeterSuite:
    """Tests of the contract; a subclass gives the fixture `bench`, and `live` where the meter has a thread."""

    @pytest.fixture
    def bench(self) -> Bench:
        """The meter under test."""
        raise NotImplementedError("a subclass of MeterSuite says which meter it tests, and what it should find")

    @pytest.fixture
    def live(self) -> Meter:
        """The meter on the real clock."""
        pytest.skip("samples nothing in the background")

    @pytest.fixture
    def running(self, bench: Bench) -> Iterator[Bench]:
        """The bench, its meter started and a second old."""
        bench.meter.start()
        bench.meter.mark()
        bench.wait(1.0)
        yield bench
        bench.meter.close()

    def test_finds_the_known_joules(self, running: Bench) -> None:
        """Golden truth: every channel's joules are those that its source spent."""
        start_s = running.meter.mark()
        running.wait(7.3)

        window = running.meter.between(start_s, running.meter.mark())

        truth_j = running.energy_j(window.started_at_s, window.stopped_at_s)
        assert _joules(window) == pytest.approx(truth_j, abs=running.slack_j)

    def test_windows_add_up(self, running: Bench) -> None:
        """The joules of a window are those of its parts, cut at a mark or anywhere else."""
        meter = running.meter
        start_s = meter.mark()
        running.wait(2.0)
        mark_s = meter.mark()
        running.wait(3.1)
        stop_s = meter.mark()

        for cut_s in (mark_s, start_s + 0.777, stop_s - 0.5421):
            whole, first, second = (
                _joules(meter.between(*ends)) for ends in ((start_s, stop_s), (start_s, cut_s), (cut_s, stop_s))
            )
            assert {name: first[name] + second[name] for name in whole} == pytest.approx(whole, rel=1e-9, abs=1e-9)

    def test_marks_never_go_back(self, running: Bench) -> None:
        """A later mark is never an earlier instant."""
        marks_s = [running.meter.mark()]
        for wait_s in (0.0, 0.05, 0.0, 0.3):
            running.wait(wait_s)
            marks_s.append(running.meter.mark())

        assert marks_s == sorted(marks_s)

    def test_a_window_before_the_start_is_not_bracketed(self, running: Bench) -> None:
        """Nobody knows what was spent before the first reading."""
        stop_s = running.meter.mark()

        window = running.meter.between(stop_s - 3600.5, stop_s)

        assert {(energy.energy_j, energy.reason) for energy in window.channels} == {(None, "not_bracketed")}

    def test_missing_is_never_zero(self, running: Bench) -> None:
        """When the source is gone, the window that reaches beyond has a reason and no joules."""
        start_s = running.meter.mark()
        running.wait(1.0)
        running.fail()
        running.wait(2.0)

        window = running.meter.between(start_s, running.meter.mark())

        assert all(energy.energy_j is None for energy in window.channels)
        assert {energy.reason for energy in window.channels} <= set(METER_REASONS)

    def test_what_was_measured_outlives_the_source(self, running: Bench) -> None:
        """A window that was closed before the source went still has its joules."""
        start_s = running.meter.mark()
        running.wait(2.0)
        stop_s = running.meter.mark()
        running.wait(0.3)
        before = _joules(running.meter.between(start_s, stop_s))
        running.fail()
        running.wait(2.0)

        assert _joules(running.meter.between(start_s, stop_s)) == before

    def test_answers_for_each_of_its_channels(self, running: Bench) -> None:
        """A window names every channel once, in the meter's order, and so does the trace."""
        start_s = running.meter.mark()
        running.wait(1.0)

        window = running.meter.between(start_s, running.meter.mark())

        assert tuple(energy.channel for energy in window.channels) == running.meter.channels
        assert len({channel.name for channel in running.meter.channels}) == len(running.meter.channels)
        names = {channel.name for channel in running.meter.channels}
        assert {sample.channel for sample in running.meter.power_trace()} <= names

    def test_closing_twice_does_no_harm(self, running: Bench) -> None:
        """A closed meter can be closed again, and still tells what it measured."""
        start_s = running.meter.mark()
        running.wait(1.0)
        stop_s = running.meter.mark()
        running.wait(0.3)
        before = _joules(running.meter.between(start_s, stop_s))

        running.meter.close()
        running.meter.close()

        assert _joules(running.meter.between(start_s, stop_s)) == before

    def test_sampling_costs_little(self, live: Meter) -> None:
        """Sampling at the meter's own pace takes under 1 % of a core, in the quietest of a few watches.

        Neighbours on a shared machine make a watch dearer, never cheaper.
        """
        assert isinstance(live, Watched)
        shares: list[float] = []

        live.start()
        while len(shares) < WATCHES and not any(0 < share < 0.01 for share in shares):
            before_s = live.cpu_s
            Event().wait(WATCHED_S)
            shares.append((live.cpu_s - before_s) / WATCHED_S)
        live.close()

        assert 0 < min(shares) < 0.01


def _joules(window: WindowEnergy) -> dict[str, float]:
    missing = {energy.channel.name: energy.reason for energy in window.channels if energy.energy_j is None}
    assert not missing
    return {energy.channel.name: energy.energy_j or 0.0 for energy in window.channels}
