"""Input tokens estimated from bytes and calibrated by what engines count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.gateway.placing.tokens import TokenEstimate

BYTES = st.integers(1, 1_000_000)


def calibrated(fixed: float, rate: float, *, prompts: int = 500, model: str = "llama") -> TokenEstimate:
    """An estimate after prompts of many lengths whose tokens lie on a line, up to 5 % beside it."""
    rng, estimate = np.random.default_rng(1), TokenEstimate()
    for length in np.exp(rng.uniform(3, 11, prompts)).astype(int):
        estimate.observe(model, int(length), round((fixed + rate * length) * rng.uniform(0.95, 1.05)))
    return estimate


def test_an_unknown_model_counts_as_english() -> None:
    """Before anything was seen, a page of English has a little over a quarter as many tokens as bytes."""
    assert TokenEstimate().estimate("llama", 4_000) == pytest.approx(1_150, rel=0.05)


@pytest.mark.parametrize(("fixed", "rate"), [(30, 0.28), (5, 0.25), (60, 0.55), (0, 1.0), (400, 0.3)])
def test_the_line_of_a_tokenizer_is_found(fixed: float, rate: float) -> None:
    """Whatever template and tokenizer an engine has, 500 prompts show it, for short prompts and for long ones."""
    estimate = calibrated(fixed, rate)

    for length in (50, 500, 5_000, 50_000):
        assert estimate.estimate("llama", length) == pytest.approx(fixed + rate * length, rel=0.06, abs=2)


def test_models_are_told_apart() -> None:
    """What one model's engine counts says nothing of another's."""
    estimate = calibrated(10, 1.0)

    assert estimate.estimate("mistral", 4_000) == TokenEstimate().estimate("mistral", 4_000)


def test_a_known_rate_is_where_it_begins() -> None:
    """A rate that somebody measured stands until usage says otherwise."""
    estimate = TokenEstimate({"llama": 0.5})

    assert estimate.estimate("llama", 10_000) == pytest.approx(5_000, rel=0.01)


def test_one_picture_does_not_upset_it() -> None:
    """A prompt of many tokens and few bytes moves the estimate of a page by less than a tenth."""
    estimate = calibrated(30, 0.28)
    before = estimate.estimate("llama", 2_000)

    estimate.observe("llama", 40, 3_000)

    assert estimate.estimate("llama", 2_000) == pytest.approx(before, rel=0.1)


def test_a_new_tokenizer_is_followed() -> None:
    """When an engine is changed for one with twice the tokens, the estimate follows within 200 prompts."""
    estimate, rng = calibrated(30, 0.28), np.random.default_rng(2)
    for length in rng.integers(100, 10_000, 200):
        estimate.observe("llama", int(length), int(60 + 0.56 * length))

    assert estimate.estimate("llama", 4_000) == pytest.approx(2_300, rel=0.1)


def test_prompts_of_one_length_are_enough() -> None:
    """The estimate is right where all the prompts were, though they show no line."""
    estimate = TokenEstimate()
    for _ in range(300):
        estimate.observe("llama", 1_000, 700)

    assert estimate.estimate("llama", 1_000) == pytest.approx(700, rel=0.05)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(-5, 1_000_000), st.integers(-5, 1_000_000)), max_size=50), BYTES)
def test_an_estimate_is_a_count_that_grows_with_the_prompt(seen: list[tuple[int, int]], length: int) -> None:
    """Whatever engines say, an estimate is at least 1 and never falls as a prompt grows."""
    estimate = TokenEstimate()
    for prompt_bytes, input_tokens in seen:
        estimate.observe("llama", prompt_bytes, input_tokens)

    assert 1 <= estimate.estimate("llama", length) <= estimate.estimate("llama", 2 * length)
