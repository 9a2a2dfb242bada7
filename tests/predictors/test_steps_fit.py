"""The fit of steps to answers where no simulator is needed: what it refuses, and an engine of one slot."""

import numpy as np
import pytest

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.operation import Operation
from wattshed.domain.replay import Replay
from wattshed.errors import InputError
from wattshed.predictors.steps import StepCost
from wattshed.predictors.steps_fit import Answers, Serve, StepFit, fit_steps

TRUTH = StepFit(StepCost(0.0, 0.0, 1e-4, 0.0, 0.02, 0.0, 1e-6), Operation(), latency_s=0.01, misfit=0.0)


EVERY = np.ones(30, np.bool_)


def serving(m: Integers, n: Integers) -> Serve:
    """An engine to whom each request comes alone, and takes R(m, n) of the batch form."""

    def serve(runtime: StepCost, _: Operation, handed_at_s: Floats) -> Answers:
        fit = StepFit(runtime, Operation(), latency_s=0.0, misfit=0.0)
        first_s = np.array([fit.prompt_s(k) + fit.step_s(1, context_tokens=k + 0.5) for k in m.tolist()])
        rest = zip((m + n / 2 + 0.5).tolist(), (n - 1).tolist(), strict=True)
        rest_s = np.array([steps * fit.step_s(1, context_tokens=context) for context, steps in rest])
        return Answers(handed_at_s + first_s, handed_at_s + first_s + rest_s)

    return serve


def log_of(m: Integers, n: Integers) -> Replay:
    """Requests far apart, served as `TRUTH` has it."""
    queued_at_s = 1000.0 * np.arange(m.size)
    answers = serving(m, n)(TRUTH.runtime, TRUTH.operation, queued_at_s + TRUTH.latency_s)
    return Replay(m, n, queued_at_s, queued_at_s, answers.first_token_at_s, answers.finished_at_s)


def test_requests_alone_show_what_they_take() -> None:
    """Nobody shares a step: prompt and step of one sequence are found, and no limit shows."""
    # given
    rng = np.random.default_rng(3)
    m, n = rng.integers(50, 4000, 30), rng.integers(2, 300, 30)
    # when
    fit = fit_steps(log_of(m, n), serving(m, n), rows=EVERY)
    # then
    assert fit.step_s(1, context_tokens=2000) == pytest.approx(TRUTH.step_s(1, context_tokens=2000), rel=1e-3)
    alone_s = [one.latency_s + one.prompt_s(2000) for one in (fit, TRUTH)]
    assert alone_s[0] == pytest.approx(alone_s[1], rel=0.01)
    assert (fit.operation, fit.misfit < 1e-3) == (Operation(slots=30), True)


def test_slots_that_are_given_stay() -> None:
    """Whoever knows the engine says so, and the log is not asked."""
    # given
    m, n = np.arange(100, 130), np.arange(20, 50)
    # when
    fit = fit_steps(log_of(m, n), serving(m, n), rows=EVERY, slots=7)
    # then
    assert fit.operation.slots == 7


def test_few_requests_fit_nothing() -> None:
    """Less than 20 answers are refused."""
    m = np.full(30, 100)
    with pytest.raises(InputError, match="19 requests fit no steps; log at least 20"):
        fit_steps(log_of(m, m), serving(m, m), rows=np.arange(30) < 19)


def test_answers_of_one_token_show_no_steps() -> None:
    """Where no time passes between tokens, there is nothing to learn of steps."""
    m, one = np.full(30, 100), np.ones(30, np.int64)
    with pytest.raises(InputError, match="no time passes between tokens"):
        fit_steps(log_of(m, one), serving(m, one), rows=EVERY)
