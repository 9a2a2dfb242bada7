"""Waiting for heat to settle."""

from tests.profiler.cases import world
from wattshed.meters.meter import PowerSample
from wattshed.profiler.thermal import settle, steady

TRACE = [PowerSample(float(t) / 2, "gpu-0", 100.0, temperature_c=40.0) for t in range(20)]


def test_even_power_and_heat_are_steady() -> None:
    """The same watts and degrees over two spans are steady."""
    assert steady(TRACE, 9.5) is True


def test_changing_power_is_not_steady() -> None:
    """Power that falls by more than 5 % from one span to the next has not settled."""
    falling = [PowerSample(s.at_s, s.channel, 300.0 - 20 * s.at_s) for s in TRACE]

    assert steady(falling, 9.5) is False


def test_cooling_is_not_steady() -> None:
    """Heat that still falls has not settled, however even the power."""
    cooling = [PowerSample(s.at_s, s.channel, 100.0, temperature_c=80.0 - 2 * s.at_s) for s in TRACE]

    assert steady(cooling, 9.5) is False


def test_nobody_knows_without_samples() -> None:
    """No samples, or only old ones, tell nothing."""
    assert steady([], 9.5) is None
    assert steady(TRACE, 60.0) is None


def test_waiting_is_bounded() -> None:
    """A meter that never settles costs at most the time that was allowed; without one there is no wait."""
    at = world()
    at.engine.load()
    bench = at.bench

    floor = settle(bench, most_s=4.0)

    assert floor.settled is None
    assert floor.waited_s == 0.0
