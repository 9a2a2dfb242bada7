"""The iteration-by-iteration reference: equal to the batch form, and to its own conventions in cases done by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.predictors.batches import PAIR, batches, truth
from tests.simulator.reference import Request, serve
from wattshed.domain.operation import Operation
from wattshed.predictors.batch import BatchPredictor
from wattshed.predictors.fit import fit
from wattshed.predictors.steps import StepCost, StepCosts

FREE = StepCost(*[0.0] * 7)
TICKING = StepCosts(energy=FREE, runtime=StepCost(0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0))
"""Every step takes 1 s."""

BATCH = BatchPredictor(fit(batches(truth), kind="batch").predictor(*PAIR))
COSTS = StepCosts.of(BATCH)


def served(shapes: list[tuple[float, int, int]], operation: Operation, costs: StepCosts = TICKING) -> list[Request]:
    """Requests (arrival, m, n) once all are served."""
    requests = [Request(*shape) for shape in shapes]
    serve(requests, operation=operation, costs=costs)
    return requests


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3000), st.integers(1, 60), st.integers(1, 40))
def test_requests_that_begin_together_take_the_batch_form(m: int, n: int, b: int) -> None:
    """Alone on the machine, b requests of one shape take W(m, n, b): each R seconds and E joules."""
    # given
    requests = [Request(0.0, m, n) for _ in range(b)]
    # when
    busy_s = serve(requests, operation=Operation(slots=b), costs=COSTS)
    # then
    said = BATCH.at(b).predict([m], [n])
    assert busy_s == pytest.approx(said.runtime_s[0], rel=1e-9)
    assert [r.finished_at_s for r in requests] == pytest.approx([said.runtime_s[0]] * b, rel=1e-9)
    assert [r.energy_j for r in requests] == pytest.approx([said.energy_j[0]] * b, rel=1e-9)


def test_slots_are_taken_in_the_order_of_arrival() -> None:
    """Who finds every slot taken begins in the step after one is left, and nobody overtakes."""
    # when
    first, second, third = served([(0.0, 5, 3), (0.5, 5, 1), (0.6, 1, 1)], Operation(slots=1))
    # then
    assert (first.started_at_s, first.first_token_at_s, first.finished_at_s) == (0.0, 1.0, 3.0)
    assert (second.started_at_s, third.started_at_s) == (3.0, 4.0)


def test_a_long_prompt_is_read_in_chunks_beside_decoding() -> None:
    """A step reads at most `chunk_tokens`, what is being read before what waits; others go on decoding."""
    # when
    short, long, last = served([(0.0, 10, 6), (0.5, 25, 2), (0.5, 3, 1)], Operation(slots=3, chunk_tokens=10))
    # then
    assert (short.first_token_at_s, short.finished_at_s) == (1.0, 6.0)
    assert (long.started_at_s, long.first_token_at_s, long.finished_at_s) == (1.0, 4.0, 5.0)
    assert (last.started_at_s, last.finished_at_s) == (3.0, 4.0)


def test_full_memory_sends_the_youngest_back() -> None:
    """It is admitted again once its prompt and its tokens so far fit, and keeps the tokens that it has."""
    # given: after k steps together both hold 10 + k - 1; 2 x 12 is too much in the third
    operation = Operation(slots=2, kv_tokens=23)
    # when
    older, younger = served([(0.0, 10, 4), (0.0, 10, 4)], operation)
    # then: two tokens each; the older's third and fourth alone; then the younger's prompt of 12 and its fourth
    assert (older.preemptions, older.finished_at_s) == (0, 4.0)
    assert (younger.preemptions, younger.first_token_at_s, younger.finished_at_s) == (1, 1.0, 6.0)


def test_memory_that_never_holds_a_request_is_refused() -> None:
    """At its last step a request holds m + n - 1 tokens."""
    # given
    operation = Operation(kv_tokens=12)
    # when, then
    assert served([(0.0, 10, 3)], operation)[0].finished_at_s == 3.0
    with pytest.raises(ValueError, match="larger than the memory"):
        served([(0.0, 10, 4)], operation)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 90), st.integers(1, 9)), min_size=1, max_size=12))
def test_nobodys_joules_are_lost(shapes: list[tuple[float, int, int]]) -> None:
    """With joules equal to seconds, requests add up to the busy time: chunks, queues and preemptions included."""
    # given
    requests = [Request(*shape) for shape in shapes]
    costs = StepCosts(energy=COSTS.runtime, runtime=COSTS.runtime)
    # when
    busy_s = serve(requests, operation=Operation(slots=4, kv_tokens=150, chunk_tokens=32), costs=costs)
    # then
    assert sum(request.energy_j for request in requests) == pytest.approx(busy_s, rel=1e-9)
