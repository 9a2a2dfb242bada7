"""Prompts of an exact length, no two alike: random token ids, lines of a file, or words for a server that reads text.

Every prompt is drawn from its request's `serial`, so that a campaign repeats to the letter, and no cache of prefixes
finds the beginning of one prompt in another.
"""

from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np

from wattshed.domain.arrays import Integers
from wattshed.engines.engine import Request
from wattshed.errors import InputError, MissingError

_TEXT: Final = (
    "the of and to in is that it was for on are as with his they at be this from have or by one had not but what all "
    "were when we there can an your which their said if do will each about how up out them then she many some so"
)
WORDS: Final = tuple(_TEXT.split())
"""Common English words: with a space before it, each is one token in the vocabularies of the usual models."""


def synthetic_tokens(request: Request, vocabulary: int) -> Integers:
    """Token ids drawn evenly from a vocabulary of so many, shape (queries, m)."""
    shape = (request.concurrency, request.input_tokens)
    return _rng(request).integers(0, vocabulary, shape, dtype=np.int64)


def synthetic_text(request: Request, words: int, *, query: int = 0) -> str:
    """So many random words, for the `query`-th query of a request; different in every query and every serial."""
    rng = np.random.default_rng((request.serial, query, request.input_tokens))
    return " ".join(WORDS[choice] for choice in rng.integers(0, len(WORDS), words))


def file_tokens(lines: Sequence[Sequence[int]], request: Request) -> Integers:
    """Token ids of lines of a file, joined until m are there and cut at m, shape (queries, m).

    Each query begins at a line of its own, in turn; after as many queries as there are lines they repeat.
    """
    first = request.serial * request.concurrency
    return np.array([_joined(lines, first + query, request.input_tokens) for query in range(request.concurrency)])


def read_prompts(path: Path, encode: Callable[[str], Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """The token ids of every line of a file that is not blank."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingError(f"{path}: no such prompt file; give a text file with one prompt a line") from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", path=path, fix="save it as UTF-8") from None
    lines = tuple(tokens for line in text.splitlines() if line.strip() and (tokens := tuple(encode(line))))
    if not lines:
        raise InputError("holds no prompt", path=path, fix="write one prompt a line")
    return lines


def _joined(lines: Sequence[Sequence[int]], first: int, tokens: int) -> list[int]:
    in_turn = (lines[(first + step) % len(lines)] for step in range(tokens))  # a line has at least one token
    return list(islice(chain.from_iterable(in_turn), tokens))


def _rng(request: Request) -> np.random.Generator:
    return np.random.default_rng((request.serial, request.concurrency, request.input_tokens))
