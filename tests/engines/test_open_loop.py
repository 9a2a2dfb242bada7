"""Open loop: arrivals drive the queries, not answers."""

import numpy as np
import pytest

from tests.engines.cases import openai_engine
from tests.engines.fake_server import Behaviour, FakeServer
from wattshed.domain.query import Query
from wattshed.engines.open_loop import Served, open_loop, poisson

TRACE = (Query(10, 2, 0.0), Query(20, 3, 0.01), Query(30, 4, 0.02))


def served(behaviour: Behaviour, *, timeout_s: float = 20.0) -> tuple[Served, ...]:
    """The trace, as a server of some behaviour serves it."""
    with FakeServer() as server:
        engine = openai_engine(server, timeout_s=timeout_s)
        engine.load()
        server.behaviour = behaviour
        outcome = open_loop(engine, TRACE)
        engine.close()
    return outcome


def test_sends_without_waiting_for_answers() -> None:
    """A server that answers nobody until three queries are in flight serves three arrivals."""
    outcome = served(Behaviour(together=3))

    shapes = [(one.generation.input_tokens, one.generation.output_tokens) for one in outcome if one.generation]
    assert shapes == [(10, 2), (20, 3), (30, 4)]


def test_outcomes_keep_the_order_of_the_trace() -> None:
    """Each outcome names its query and how late the client was."""
    outcome = served(Behaviour())

    assert tuple(one.query for one in outcome) == TRACE
    assert all(one.late_s >= 0 for one in outcome)


def test_failures_are_results() -> None:
    """A query that fails is an outcome with its reason, and the others go on."""
    outcome = served(Behaviour(breaks_after=3))

    assert [one.reason for one in outcome] == [None, None, "engine_gone"]
    assert [one.generation is None for one in outcome] == [False, False, True]


def test_arrivals_must_be_known_and_in_order() -> None:
    """A trace without times, or with falling ones, is refused."""
    with FakeServer() as server:
        engine = openai_engine(server)
        for queries in ([Query(1, 1)], [Query(1, 1, 2.0), Query(1, 1, 1.0)]):
            with pytest.raises(ValueError, match="arrival time of every query, in order"):
                open_loop(engine, queries)


def test_poisson_arrivals_have_their_rate() -> None:
    """Gaps are exponential: mean and standard deviation are both one over the rate."""
    arrivals = poisson([Query(8, 8)] * 4000, 50.0, np.random.default_rng(0))

    gap_s = np.diff([0.0, *(query.arrival_s or 0.0 for query in arrivals)])
    assert gap_s.mean() == pytest.approx(1 / 50, rel=0.05)
    assert gap_s.std() == pytest.approx(1 / 50, rel=0.05)
