"""Systems, limits and fleets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.domain.system import Fleet, FleetState, Limits, Pool, System

LEAST = st.none() | st.integers(1, 50)
LIMITS = st.builds(Limits, LEAST, LEAST, LEAST)


@given(LIMITS, LIMITS, st.integers(1, 60), st.integers(1, 60))
@settings(deadline=None, max_examples=50)
def test_tightened_limits_allow_what_both_allow(ours: Limits, theirs: Limits, m: int, n: int) -> None:
    """The stricter of two limits is their conjunction."""
    both = ours.allow(m, n) & theirs.allow(m, n)

    assert ours.tightened(theirs).allow(m, n) == both


def test_limits_answer_for_many_queries_at_once() -> None:
    """Arrays in, one answer a query out."""
    limits = Limits(max_output_tokens=512, max_total_tokens=600)

    assert limits.allow(np.array([10, 10, 200]), np.array([512, 513, 450])).tolist() == [True, False, False]


def test_a_fleet_names_its_pools_once() -> None:
    """Two pools of one name could not be told apart in a report."""
    with pytest.raises(ValueError, match="share a name"):
        Fleet("f", "p", "m", (Pool("a", "x"), Pool("a", "y")))


def test_a_fleet_has_a_pool() -> None:
    """Nobody would serve."""
    with pytest.raises(ValueError, match="no pools"):
        Fleet("f", "p", "m", ())


@pytest.mark.parametrize("bad", [{"count": 0}, {"host_power_w": -1.0}, {"host_power_w": float("nan")}])
def test_a_pool_has_replicas_and_no_negative_power(bad: dict[str, float]) -> None:
    """Counts start at 1 and powers at 0 W."""
    with pytest.raises(ValueError, match="pool 'a'"):
        Pool("a", "x", **bad)  # type: ignore[arg-type]  # the point of the test


def test_an_idle_fleet_is_wholly_available() -> None:
    """Nobody waits and nothing runs."""
    state = FleetState.idle(3)

    assert state.available.all()
    assert not state.wait_s.any()
    assert not state.in_flight.any()


@pytest.mark.parametrize(
    ("engine", "configuration"),
    [
        ("transformers 5.17.0 static-graph", "static-graph"),
        ("transformers 5.17.0 eager", "eager"),
        ("vllm 0.11.0", "eager"),
        ("vllm", "eager"),
        (None, "eager"),
    ],
)
def test_an_engine_may_say_how_it_launches(engine: str | None, configuration: str) -> None:
    """Its last word, unless that is a version or all there is: then it launches each kernel by itself."""
    assert System("box", "m", "GPU", engine=engine).configuration == configuration
