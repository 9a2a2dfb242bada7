"""When queries come: as recorded, faster, or by chance of known rate and burstiness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.domain.query import Workload
from wattshed.errors import UsageError
from wattshed.simulator.arrivals import Bursts, OnOff, Poisson, Traced, process

TRACE = Workload.of(
    "trace", np.array([5, 9, 5, 7]), np.array([2, 2, 2, 3]), arrival_s=np.array([10.0, 11.0, 14.0, 18.0])
)
MANY = Workload.of("many", np.array([1, 2, 3]), np.array([1, 1, 1]), queries=np.array([6000, 3000, 1000]))


def rng(seed: int = 1) -> np.random.Generator:
    """Chance with a seed."""
    return np.random.default_rng(seed)


def test_a_trace_is_replayed_as_recorded() -> None:
    """Gaps and order stay; instants count from the first query."""
    arrivals = Traced().arrivals(TRACE, rng())

    assert arrivals.arrival_s.tolist() == [0, 1, 4, 8]
    assert [(int(TRACE.input_tokens[at]), int(TRACE.output_tokens[at])) for at in arrivals.bucket] == [
        (5, 2), (9, 2), (5, 2), (7, 3)
    ]  # fmt: skip


def test_a_trace_can_run_faster_and_be_cut() -> None:
    """At twice the rate all gaps are halved; the first queries stay."""
    arrivals = process("trace*2").arrivals(TRACE, rng(), 3)

    assert arrivals.arrival_s.tolist() == [0, 0.5, 2]


@pytest.mark.parametrize(
    ("found", "rate_per_s", "cv"),
    [(Poisson(4), 4, 1), (Bursts(4, 3), 4, 3), (Bursts(4, 0.2), 4, 0.2)],
)
def test_gaps_have_the_mean_and_scatter_asked_for(found: Poisson | Bursts, rate_per_s: float, cv: float) -> None:
    """Rate and coefficient of variation are those that the process was given, within what chance allows."""
    gap_s = np.diff(found.arrivals(MANY, rng(), 100_000).arrival_s)

    assert 1 / gap_s.mean() == pytest.approx(rate_per_s, rel=0.03)
    assert gap_s.std() / gap_s.mean() == pytest.approx(cv, rel=0.03)


def test_spells_and_pauses_share_the_time() -> None:
    """Over many spells the rate is that within a spell times the share of time that is one."""
    arrivals = OnOff(20, mean_on_s=10, mean_off_s=30).arrivals(MANY, rng(), 200_000)

    assert arrivals.arrival_s.size / arrivals.arrival_s[-1] == pytest.approx(20 * 10 / 40, rel=0.05)
    assert np.median(np.diff(arrivals.arrival_s)) == pytest.approx(np.log(2) / 20, rel=0.05)


def test_every_query_comes_once_unless_a_number_is_wanted() -> None:
    """The whole histogram in random order; or draws, each shape as likely as it is frequent."""
    all_of_them = Poisson(1).arrivals(MANY, rng()).bucket
    some = Poisson(1).arrivals(MANY, rng(), 50_000).bucket

    assert np.bincount(all_of_them).tolist() == [6000, 3000, 1000]
    assert np.bincount(some) / some.size == pytest.approx([0.6, 0.3, 0.1], abs=0.01)


@given(
    text=st.sampled_from(["trace", "trace*0.5", "poisson:3", "burst:3,2", "on-off:9,1,4"]), seed=st.integers(0, 2**32)
)
@settings(deadline=None, max_examples=30)
def test_the_same_seed_makes_the_same_arrivals(text: str, seed: int) -> None:
    """Arrivals begin at 0, never fall, hang on the seed alone, and another seed changes those that are random."""
    found = process(text)
    workload = TRACE if text.startswith("trace") else MANY

    one, same, other = (found.arrivals(workload, rng(chance)) for chance in (seed, seed, seed + 1))

    assert one.arrival_s[0] == 0
    assert (np.diff(one.arrival_s) >= 0).all()
    assert (one.arrival_s == same.arrival_s).all()
    assert (one.bucket == same.bucket).all()
    assert found.random == (not np.array_equal(one.arrival_s, other.arrival_s))


@pytest.mark.parametrize(
    "text",
    ["", "trace:2", "trace*", "trace*0", "poisson", "poisson:0", "poisson:-1", "poisson:1,2", "burst:2", "burst:2,nan",
     "on-off:1,2", "on-off:1,2,inf", "uniform:2", "trace*two"],
)  # fmt: skip
def test_what_is_no_process_is_refused(text: str) -> None:
    """The message shows what was given and every form there is."""
    with pytest.raises(UsageError, match=r"burst:RATE,CV"):
        process(text)


def test_a_trace_needs_arrival_times_and_enough_queries() -> None:
    """A histogram alone says nothing of time, and a trace ends."""
    with pytest.raises(UsageError, match=r"'many' has no arrival times; give --arrivals another process"):
        Traced().arrivals(MANY, rng())
    with pytest.raises(UsageError, match="--queries 9 is more than the 4 of the trace"):
        Traced().arrivals(TRACE, rng(), 9)
