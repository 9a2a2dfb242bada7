"""The engine of known costs: what it says, what it spends and how it fails."""

import numpy as np
import pytest

from wattshed.engines.engine import Request
from wattshed.engines.synthetic import batched
from wattshed.errors import EngineError
from wattshed.testing import Failures, Scatter, SyntheticEngine, TrueCost, VirtualClock, Work


def costing(cost: TrueCost, *, scatter: Scatter | None = None, failures: Failures | None = None) -> SyntheticEngine:
    """A loaded engine with one cost for everything."""
    clock = VirtualClock(at_s=10.0)
    engine = SyntheticEngine(lambda _: cost, now_s=clock.now_s, sleep=clock.sleep, scatter=scatter, failures=failures)
    engine.load()
    return engine


def test_spends_exactly_what_the_cost_says() -> None:
    """Seconds pass on the clock, joules are written down, and the generation tells both times."""
    engine = costing(TrueCost(120.0, 2.0, 0.5))

    (first,), (second,) = engine.generate(Request(8, 4)), engine.generate(Request(8, 4))

    assert (first.runtime_s, first.ttft_s) == (second.runtime_s, second.ttft_s) == (2.0, 0.5)
    assert engine.work == [Work(10.0, 12.0, 120.0), Work(12.0, 14.0, 120.0)]


def test_a_request_costs_once_whatever_its_queries() -> None:
    """The cost is that of the whole request; each of its queries reports the same times."""
    engine = costing(TrueCost(120.0, 2.0))

    generations = engine.generate(Request(8, 4, concurrency=3))

    assert [generation.runtime_s for generation in generations] == [2.0] * 3
    assert len(engine.work) == 1


def test_scatter_is_without_bias() -> None:
    """Noise has mean 1 and the spread that was asked for, on joules and seconds apart."""
    engine = costing(TrueCost(100.0, 1.0), scatter=Scatter(0.1, np.random.default_rng(0)))

    for _ in range(4000):
        engine.generate(Request(1, 1))

    energy_j = np.array([work.energy_j for work in engine.work])
    runtime_s = np.array([work.stopped_at_s - work.started_at_s for work in engine.work])
    assert energy_j.mean() == pytest.approx(100, rel=0.01)
    assert energy_j.std() == pytest.approx(10, rel=0.05)
    assert runtime_s.std() == pytest.approx(0.1, rel=0.05)
    assert abs(np.corrcoef(energy_j, runtime_s)[0, 1]) < 0.05


def test_scripted_failures_happen_once_and_halfway() -> None:
    """The request that the script names fails with half of its cost spent; the next one is served."""
    engine = costing(TrueCost(100.0, 1.0), failures=Failures(at={1: "timed_out"}))
    engine.generate(Request(1, 1))

    with pytest.raises(EngineError) as failed:
        engine.generate(Request(1, 1))
    engine.generate(Request(1, 1))

    assert failed.value.reason == "timed_out"
    assert [work.energy_j for work in engine.work] == [100.0, 50.0, 100.0]


def test_memory_counts_the_tokens_of_all_queries() -> None:
    """A batch runs out of memory where one query alone does not, before it has spent anything."""
    engine = costing(TrueCost(100.0, 1.0), failures=Failures(max_total_tokens=100))
    engine.generate(Request(60, 40))

    with pytest.raises(EngineError) as failed:
        engine.generate(Request(60, 40, concurrency=2))

    assert failed.value.reason == "out_of_memory"
    assert len(engine.work) == 1


def test_batches_share_their_steps() -> None:
    """In the made-up accelerator a batch costs its prefills and one set of steps."""
    alone, four = batched(Request(100, 51)), batched(Request(100, 51, concurrency=4))

    assert alone.runtime_s == pytest.approx(0.02 + 0.02 + 1.0)
    assert four.runtime_s - alone.runtime_s == pytest.approx(3 * 0.02)
    assert four.energy_j == pytest.approx(300 * four.runtime_s)


@pytest.mark.parametrize("spread", [-0.1, 0.3, float("nan")])
def test_spreads_that_give_negative_joules_are_refused(spread: float) -> None:
    """A spread is a fraction well below one."""
    with pytest.raises(ValueError, match="negative joules"):
        Scatter(spread, np.random.default_rng(0))


def test_work_takes_time() -> None:
    """Joules in no time would be infinite power."""
    with pytest.raises(ValueError, match="takes time"):
        TrueCost(1.0, 0.0)
