"""The simulator against queueing theory: mean waits of queues whose formula is known, and Little's law.

Each mean is of `SEEDS` runs that begin empty and are cut at the same query, and must lie within four standard errors of
the formula, which chance alone breaks once in ten thousand runs or so.
"""

from math import factorial

import numpy as np
import pytest

from tests.simulator.scenes import slots
from wattshed.domain.arrays import Floats
from wattshed.domain.operation import Operation
from wattshed.simulator.run import simulate

pytestmark = pytest.mark.timeout(300)  # the first run after a change compiles the simulator

SEEDS, QUERIES, WARM_UP = 12, 20_000, 2_000
LOADS = (0.5, 0.8)


def mean_waits_s(load: float, service_s: Floats, slots_: int = 1) -> Floats:
    """The mean wait of each run, shape (SEEDS,), of Poisson arrivals at a machine; `service_s` is of mean 1 s."""
    waits = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        arrival_s = np.cumsum(rng.exponential(1 / (load * slots_), QUERIES))
        run = simulate(slots(rng.permutation(service_s), arrival_s, Operation(slots=slots_)))
        waits.append((run.service.started_at_s - arrival_s)[WARM_UP:].mean())
    return np.array(waits)


def exponential() -> Floats:
    """QUERIES times of mean 1 s, exponentially distributed: the middle of each of as many equal parts."""
    return -np.log1p(-(np.arange(QUERIES) + 0.5) / QUERIES)


def assert_mean(waits_s: Floats, expected_s: float) -> None:
    """The formula lies within four standard errors of the mean."""
    error_s = waits_s.std(ddof=1) / np.sqrt(waits_s.size)
    assert abs(waits_s.mean() - expected_s) < 4 * error_s, (waits_s.mean(), expected_s, error_s)


def erlang_wait_s(load: float, k: int) -> float:
    """Mean wait of M/M/k of mean service 1 s, Erlang's C formula (1917)."""
    offered = load * k
    full = offered**k / factorial(k) / (1 - load)
    return full / (sum(offered**i / factorial(i) for i in range(k)) + full) / (k * (1 - load))


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_exponential_service_waits_as_erlang_says(load: float, k: int) -> None:
    """M/M/k: with one slot load / (1 - load), with more by Erlang C."""
    assert erlang_wait_s(load, 1) == pytest.approx(load / (1 - load))
    assert_mean(mean_waits_s(load, exponential(), k), erlang_wait_s(load, k))


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("variation", [0.0, 0.5, 1.5])
def test_any_service_waits_as_pollaczek_and_khinchine_say(load: float, variation: float) -> None:
    """M/G/1: load / (1 - load) x (1 + variance) / 2; with no variance this is M/D/1."""
    rng = np.random.default_rng(1)
    spread = np.sqrt(np.log1p(variation**2))
    service_s = np.exp(spread * rng.standard_normal(QUERIES))
    service_s /= service_s.mean()

    expected_s = load / (1 - load) * (1 + service_s.var()) / 2

    assert_mean(mean_waits_s(load, service_s), expected_s)


def test_as_many_are_there_as_come_while_one_stays() -> None:
    """Little's law, exactly: the area under the number present is the sum of all stays."""
    rng = np.random.default_rng(2)
    arrival_s = np.cumsum(rng.exponential(0.6, 500))
    run = simulate(slots(rng.exponential(1.0, 500), arrival_s, Operation(slots=2)))

    finished_at_s = run.service.finished_at_s
    instants_s = np.sort(np.concatenate([arrival_s, finished_at_s]))
    present = np.searchsorted(arrival_s, instants_s[:-1], "right") - np.searchsorted(
        np.sort(finished_at_s), instants_s[:-1], "right"
    )

    assert present @ np.diff(instants_s) == pytest.approx((finished_at_s - arrival_s).sum())
