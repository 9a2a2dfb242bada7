"""What bounds a trial, and whether counter and integral agree."""

import pytest

from wattshed.domain.energy import ChannelEnergy, MeterChannel
from wattshed.meters.meter import PowerSample
from wattshed.profiler.pace import bound, counter_disagrees, limit_share_of, mean_known, utilization_of

GPU = MeterChannel("gpu-0", "gpu", "board")


@pytest.mark.parametrize(
    ("utilization", "limit_share", "host_load", "expected"),
    [
        pytest.param(0.99, 0.7, 1.0, "device", id="hard at work, whatever the host does"),
        pytest.param(0.4, 0.6, 1.0, "device", id="half of the limit is work enough"),
        pytest.param(1.0, 0.3, 1.0, "device", id="kernels all the time, bound by memory"),
        pytest.param(1.0, None, 1.0, "device", id="nobody knows the limit"),
        pytest.param(1.0, 0.2, 1.1, "host", id="tiny kernels all the time: eager decoding on an H100"),
        pytest.param(0.4, 0.3, 1.1, "host", id="gaps between kernels while a core is busy"),
        pytest.param(0.4, 0.3, 0.2, "unknown", id="nobody is busy: a network or a disk"),
        pytest.param(0.4, 0.3, None, "unknown", id="nobody looked at the host"),
        pytest.param(None, None, 4.0, "unknown", id="nobody looked at the device"),
    ],
)
def test_who_sets_the_pace(
    utilization: float | None, limit_share: float | None, host_load: float | None, expected: str
) -> None:
    """The device bounds a trial that works it hard; the host one that does not while a core is busy."""
    assert bound(utilization=utilization, limit_share=limit_share, host_load=host_load) == expected


def test_a_mean_needs_every_value() -> None:
    """One unknown value makes the mean unknown, and so does having none."""
    assert mean_known([1.0, 3.0]) == 2.0
    assert mean_known([1.0, None]) is None
    assert mean_known([]) is None


def test_activity_is_the_mean_of_the_samples() -> None:
    """Utilisation and power against the limit are means; without a limit there is no fraction."""
    samples = [PowerSample(t, "gpu-0", 100.0 + t, utilization=0.5, power_limit_w=400.0) for t in (0.0, 100.0)]

    assert utilization_of(samples) == 0.5
    assert limit_share_of(samples) == pytest.approx(150 / 400)
    assert limit_share_of([PowerSample(0.0, "gpu-0", 100.0)]) is None


@pytest.mark.parametrize(("counted_j", "disagrees"), [(1000.0, False), (1040.0, False), (1060.0, True), (900.0, True)])
def test_a_counter_is_held_against_the_samples(counted_j: float, disagrees: bool) -> None:
    """100 W for 10 s are 1,000 J: a counter more than 5 % off is flagged."""
    samples = [PowerSample(0.05 + t / 10, "gpu-0", 100.0) for t in range(100)]

    assert counter_disagrees(ChannelEnergy(GPU, counted_j, "counter"), samples, 10.0) is disagrees


def test_a_handful_of_samples_proves_nothing() -> None:
    """Too few samples, another channel's samples, and an integral are not held against anything."""
    energy = ChannelEnergy(GPU, 1.0, "counter")

    assert not counter_disagrees(energy, [PowerSample(t, "gpu-0", 100.0) for t in range(5)], 10.0)
    assert not counter_disagrees(energy, [PowerSample(t, "gpu-1", 100.0) for t in range(50)], 10.0)
    assert not counter_disagrees(
        ChannelEnergy(GPU, 1.0, "integral"), [PowerSample(t, "gpu-0", 9.0) for t in range(50)], 10.0
    )
