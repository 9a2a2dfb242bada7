"""Streams of OpenAI-compatible servers, line by line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.engines.completions import DIALECTS, Answer, Dialect, Transcript
from wattshed.errors import EngineError

USAGE_ONLY = {"usage": {"prompt_tokens": 5, "completion_tokens": 3}}
USAGE = {"choices": [], **USAGE_ONLY}


def line(event: object) -> bytes:
    """An event as it is sent."""
    return b"data: " + json.dumps(event).encode() + b"\n"


def text(piece: str, *, finished: bool = False) -> bytes:
    """A piece of text."""
    return line({"choices": [{"text": piece, "finish_reason": "length" if finished else None}]})


def answer(*lines: bytes) -> Answer:
    """The answer of lines that come a second apart, the first a second after sending."""
    transcript = Transcript(sent_at_s=0.0)
    for at_s, one in enumerate(lines, 1):
        transcript.take(one, float(at_s))
    return transcript.answer()


def test_the_last_piece_ends_the_answer() -> None:
    """Bookkeeping after the last token (usage, DONE) is not the model's time."""
    generation = answer(text("a"), text("b"), text("c", finished=True), line(USAGE), b"data: [DONE]\n").generation

    assert (generation.ttft_s, generation.runtime_s) == (1.0, 3.0)
    assert (generation.input_tokens, generation.output_tokens) == (5, 3)


def test_empty_pieces_are_no_first_token() -> None:
    """A role, or half a character that the server holds back, is not the first token."""
    role = line({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    word = line({"choices": [{"delta": {"content": "a"}, "finish_reason": "length"}]})

    assert answer(role, word, line(USAGE)).piece_at_s == (2.0,)


def test_an_answer_without_text_has_no_first_token() -> None:
    """Tokens that spell nothing are counted all the same."""
    generation = answer(text(""), text("", finished=True), line(USAGE)).generation

    assert (generation.ttft_s, generation.output_tokens) == (None, 3)


def test_thoughts_are_tokens() -> None:
    """The first token of a reasoning model is its first thought."""
    thought = line({"choices": [{"delta": {"reasoning_content": "hm"}, "finish_reason": "length"}]})

    assert answer(thought, line(USAGE)).piece_at_s == (1.0,)


def test_llama_cpp_names_cached_tokens_in_its_timings() -> None:
    """Either name of the count is read."""
    last = {"choices": [{"text": "a", "finish_reason": "length"}], "timings": {"cache_n": 2}, **USAGE_ONLY}

    assert answer(line(last)).cached_tokens == 2


def test_comments_and_blank_lines_mean_nothing() -> None:
    """What is not data is skipped: keep-alives, event names."""
    assert answer(b": ping\n", b"\n", b"event: x\n", text("a", finished=True), line(USAGE)).piece_at_s == (4.0,)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "engine_gone"),
        ([text("a")], "engine_gone"),
        ([text("a", finished=True)], "refused"),
        ([text("a", finished=True), line({"usage": {"prompt_tokens": None}})], "refused"),
        ([text("a"), line({"error": {"message": "out of pages"}})], "refused"),
    ],
)
def test_half_an_answer_is_an_error(lines: list[bytes], reason: str) -> None:
    """A stream that breaks off, counts nothing or reports an error gives no answer."""
    with pytest.raises(EngineError) as failed:
        answer(*lines)

    assert failed.value.reason == reason


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(max_size=3), min_size=1, max_size=20))
def test_times_are_in_order(pieces: list[str]) -> None:
    """Whatever the pieces hold, the first token comes after sending and not after the end."""
    stream = [text(piece) for piece in pieces[:-1]] + [text(pieces[-1], finished=True), line(USAGE)]

    generation = answer(*stream).generation

    assert generation.runtime_s == len(pieces)
    assert (generation.ttft_s is None) == (not any(pieces))
    assert generation.ttft_s is None or 0 < generation.ttft_s <= generation.runtime_s


def test_dialects_prefer_exact_text() -> None:
    """Text comes before chat, and exact lengths before whatever the server makes of it."""
    assert [(dialect.chat, dialect.exact) for dialect in DIALECTS] == [
        (False, True),
        (False, False),
        (True, True),
        (True, False),
    ]


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_every_dialect_is_greedy_and_streams_usage(dialect: Dialect) -> None:
    """All ask for the same work; only the exact ones use fields that OpenAI does not know."""
    payload = dialect.payload("m", "hello", 4)

    assert (payload["max_tokens"], payload["temperature"], payload["stream"]) == (4, 0, True)
    assert ("ignore_eos" in payload) == dialect.exact
    assert ("messages" in payload) == dialect.chat
