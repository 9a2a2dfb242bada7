"""The steps of an engine, learned from when it answered: on logs of a known truth, and on the measured one."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from tests.simulator.reference import Request, serve
from wattshed.datasets.replays import read_replay
from wattshed.domain.operation import Operation
from wattshed.domain.replay import Replay
from wattshed.errors import UsageError
from wattshed.predictors.steps import StepCost, StepCosts
from wattshed.predictors.steps_fit import StepFit
from wattshed.simulator.replay import compared, fit_replay, fit_rows, served_again

MEASURED = (
    Path(__file__).resolve().parents[2]
    / ".."
    / "shared"
    / "reference"
    / "replays"
    / "vllm_rtxpro6000_llama-3.1-8b.jsonl"
)

TRUTH = StepFit(
    StepCost(0.002, 0.001, 4e-5, 1e-9, 0.012, 1.5e-4, 1.2e-7, ((3.0, 2e-4),)),
    Operation(slots=12, chunk_tokens=256),
    latency_s=0.004,
    misfit=0.0,
)


def log_of(truth: StepFit, queries: int, *, per_s: float, most_tokens: tuple[int, int]) -> Replay:
    """Requests that come at random, served by the reference."""
    rng = np.random.default_rng(1)
    m, n = rng.integers(50, most_tokens[0], queries), rng.integers(5, most_tokens[1], queries)
    queued_at_s = np.cumsum(rng.exponential(1 / per_s, queries))
    requests = [
        Request(*one) for one in zip((queued_at_s + truth.latency_s).tolist(), m.tolist(), n.tolist(), strict=True)
    ]
    serve(requests, operation=truth.operation, costs=StepCosts(truth.runtime, truth.runtime))
    instants = [(one.started_at_s, one.first_token_at_s, one.finished_at_s) for one in requests]
    return Replay(m, n, queued_at_s, *np.array(instants, np.float64).T)


@pytest.fixture(scope="module")
def log() -> Replay:
    """Two seconds of requests, forty in all."""
    return log_of(TRUTH, 40, per_s=20, most_tokens=(1500, 40))


def errors(log: Replay, fit: StepFit, rows: np.ndarray) -> dict[str, float | None]:
    """Relative errors of the mean times of the requests in `rows`."""
    return {one.quantity: one.error for one in compared(log, served_again(log, fit), rows)}


def test_what_is_known_is_served_again(log: Replay) -> None:
    """With the truth for a fit, every answer comes when the reference gave it."""
    # when
    again = served_again(log, TRUTH)
    # then
    assert again.started_at_s == pytest.approx(log.started_at_s, abs=1e-9)
    assert again.first_token_at_s == pytest.approx(log.first_token_at_s, abs=1e-9)
    assert again.finished_at_s == pytest.approx(log.finished_at_s, abs=1e-9)


def test_steps_are_learned_from_answers(log: Replay) -> None:
    """From one busy log: the seconds of steps and prompts within 1 %, what a step reads, and the way to the engine."""
    # when
    fit = fit_replay(log)
    # then
    assert fit.operation.chunk_tokens == 256
    assert fit.latency_s == pytest.approx(TRUTH.latency_s, abs=5e-4)
    for sequences, context_tokens in itertools.product((1, 4, 8, 12), (200.0, 1000.0)):
        known_s = TRUTH.step_s(sequences, context_tokens=context_tokens)
        assert fit.step_s(sequences, context_tokens=context_tokens) == pytest.approx(known_s, rel=0.01)
    for tokens in (200, 1000):
        assert fit.prompt_s(tokens) == pytest.approx(TRUTH.prompt_s(tokens), rel=0.02)


@pytest.mark.slow
def test_one_half_predicts_the_other(log: Replay) -> None:
    """Answers to the requests that were not fitted on are not looked at, and are met within 2 %."""
    # given
    rows = np.arange(len(log)) < 20
    spoilt = Replay(
        log.input_tokens,
        log.output_tokens,
        log.queued_at_s,
        *(
            np.where(rows, at_s, log.finished_at_s.max())
            for at_s in (log.started_at_s, log.first_token_at_s, log.finished_at_s)
        ),
    )
    # when
    fit = fit_replay(spoilt, fit_on=20)
    # then
    assert all(abs(error or 0.0) < 0.02 for error in errors(log, fit, ~rows).values())


@pytest.mark.parametrize("fit_on", [0, 19, 41])
def test_too_few_requests_are_refused(log: Replay, fit_on: int) -> None:
    """The fit takes at least 20 requests, and no more than there are."""
    with pytest.raises(UsageError, match="from 20 to all 40 requests"):
        fit_replay(log, fit_on=fit_on)


def test_answers_of_one_token_have_nothing_in_between(log: Replay) -> None:
    """Where all answers are one token, no time between tokens is compared."""
    # given
    ones = Replay(log.input_tokens, np.ones_like(log.output_tokens), *[log.queued_at_s] * 4)
    # then
    assert [one.quantity for one in compared(ones, log, np.ones(40, np.bool_))] == ["ttft_s", "runtime_s"]


@pytest.mark.slow
def test_full_slots_are_seen() -> None:
    """Where requests queue for a slot, and not only for room in a step, the fit finds how many there are."""
    # given
    truth = StepFit(TRUTH.runtime, Operation(slots=32, chunk_tokens=512), 0.01, 0.0)
    log = log_of(truth, 200, per_s=5, most_tokens=(3000, 300))
    # when
    fit = fit_replay(log)
    # then
    assert fit.operation == truth.operation
    assert fit.step_s(32, context_tokens=1500) == pytest.approx(truth.step_s(32, context_tokens=1500), rel=0.02)


STRETCHES = {
    "the first 50": (slice(0, 50), 128),
    "the first 100": (slice(0, 100), 128),
    "the first 150": (slice(0, 150), None),
    "the last 150": (slice(150, 300), 128),
}
"""What is fitted on, and the slots, where it does not show them: nobody queued for one among the first 100."""


@pytest.mark.slow
@pytest.mark.parametrize(("stretch", "slots"), STRETCHES.values(), ids=STRETCHES)
def test_a_measured_engine_is_predicted_within_five_per_cent(stretch: slice, slots: int | None) -> None:
    """A part of a vLLM log predicts the rest: mean end-to-end time, TTFT and TPOT, each within 5 %."""
    # given
    if not MEASURED.exists():
        pytest.skip("needs the measured log at ../shared/reference/replays")
    log = read_replay(MEASURED)
    rows = np.zeros(len(log), np.bool_)
    rows[stretch] = True
    # when
    fit = fit_rows(log, rows, slots=slots)
    # then
    assert (fit.operation.slots, fit.operation.chunk_tokens) == (128, 2048)
    held_out = errors(log, fit, ~rows)
    assert held_out.keys() == {"ttft_s", "tpot_s", "runtime_s"}
    assert all(error is not None and abs(error) < 0.05 for error in held_out.values())
