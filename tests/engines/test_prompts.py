"""Prompts: exact lengths, no two alike, the same again for the same request."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.engines.engine import Request
from wattshed.engines.prompts import WORDS, file_tokens, read_prompts, synthetic_text, synthetic_tokens
from wattshed.errors import InputError, MissingError

requests = st.builds(
    Request, st.integers(1, 300), st.just(1), concurrency=st.integers(1, 4), serial=st.integers(0, 10**6)
)


def letters(line: str) -> list[int]:
    """A tokenizer of single letters."""
    return [ord(letter) for letter in line]


@settings(deadline=None, max_examples=30)
@given(requests, st.integers(2, 100_000))
def test_synthetic_tokens_fill_the_shape(request_: Request, vocabulary: int) -> None:
    """There are m ids for each query, all of them in the vocabulary, and the same again when asked again."""
    tokens = synthetic_tokens(request_, vocabulary)

    assert tokens.shape == (request_.concurrency, request_.input_tokens)
    assert tokens.min() >= 0
    assert tokens.max() < vocabulary
    assert np.array_equal(tokens, synthetic_tokens(request_, vocabulary))


def test_synthetic_tokens_are_even() -> None:
    """Every token of the vocabulary is as likely as any other."""
    counts = np.bincount(synthetic_tokens(Request(20_000, 1), 4)[0])

    assert counts / 20_000 == pytest.approx(0.25, abs=0.02)


def test_serials_change_every_prompt() -> None:
    """No two serials share the beginning of a prompt."""
    starts = {tuple(synthetic_tokens(Request(8, 1, serial=serial), 32_000)[0]) for serial in range(100)}

    assert len(starts) == 100


@settings(deadline=None, max_examples=30)
@given(requests, st.integers(1, 300))
def test_synthetic_text_has_the_words_asked_for(request_: Request, words: int) -> None:
    """A text has exactly its number of words, and differs between queries (but for the shortest)."""
    first, second = (synthetic_text(request_, words, query=query) for query in range(2))

    assert len(first.split()) == words
    assert set(first.split()) <= set(WORDS)
    assert first != second or words < 8


@settings(deadline=None, max_examples=30)
@given(requests, st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=5))
def test_file_prompts_are_cut_and_joined_to_length(request_: Request, lines: list[str]) -> None:
    """Each query starts at the next line and reads on until it has m tokens."""
    encoded = [letters(line) for line in lines]

    tokens = file_tokens(encoded, request_)

    assert tokens.shape == (request_.concurrency, request_.input_tokens)
    for query, row in enumerate(tokens):
        first = (request_.serial * request_.concurrency + query) % len(lines)
        whole = "".join(lines[first:] + lines * request_.input_tokens)
        assert "".join(map(chr, row)) == whole[: request_.input_tokens]


def test_prompt_file_is_read_line_by_line(tmp_path: Path) -> None:
    """Blank lines are no prompts."""
    path = tmp_path / "prompts.txt"
    path.write_text("ab\n\n  \nc\n", encoding="utf-8")

    assert read_prompts(path, letters) == ((97, 98), (99,))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, MissingError, "no such prompt file"),
        (b"\n\n", InputError, "holds no prompt; write one prompt a line"),
        (b"\xff\xfe", InputError, "is not UTF-8 text"),
    ],
)
def test_unusable_prompt_files_are_refused(
    tmp_path: Path, content: bytes | None, error: type[Exception], message: str
) -> None:
    """A missing, empty or foreign file is named, with the fix."""
    path = tmp_path / "prompts.txt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(error, match=f"prompts.txt: {message}"):
        read_prompts(path, letters)
