"""What engines say about an answer, whole or piece by piece: the tokens they counted, and that something went wrong.

    usage_of     a whole body, or the data of one event -> Usage, or None where they are not counted
    read_chunk   the data of one event of a stream      -> Chunk, and most need no parsing

Tokens are what the engine counts, never pieces of a stream. An engine that says nonsense has said nothing.
"""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import Raw

from wattshed.domain.schema import MOST_TOKENS


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the engine counted them; `cached_tokens` are those of the input that its cache answered, if it says."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one event of a stream says besides text; `usage_only` where it says nothing else."""

    usage: Usage | None = None
    usage_only: bool = False
    failed: bool = False


PLAIN: Final = Chunk()
"""A chunk of text."""


_Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count
    completion_tokens: _Count | None = None
    prompt_tokens_details: _Details | None = None


class _Timings(msgspec.Struct):
    cache_n: _Count | None = None


class _Answer(msgspec.Struct):
    usage: _Usage | None = None
    choices: list[Raw] | None = None
    error: Raw = Raw()
    timings: _Timings | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


def usage_of(answer: bytes) -> Usage | None:
    """The tokens that a whole body, or the data of an event, counts; `None` where it counts none."""
    return _usage(_read(answer)) if b'"usage"' in answer else None


def is_document(answer: bytes) -> bool:
    """Whether a body is a whole JSON object, as every answer of OpenAI's API is."""
    try:
        return isinstance(msgspec.json.decode(answer, type=dict[str, Raw]), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def read_chunk(event: bytes) -> Chunk:
    """What the data of one event says besides text."""
    if b'"usage"' not in event and b'"error"' not in event:
        return PLAIN
    answer = _read(event)
    usage = _usage(answer)
    return Chunk(usage, usage is not None and answer.choices == [], bytes(answer.error) not in {b"", b"null"})


def _read(answer: bytes) -> _Answer:
    try:
        return _ANSWER.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Answer()


def _usage(answer: _Answer) -> Usage | None:
    """Cached tokens stand in OpenAI's place, or in llama.cpp's `timings`."""
    said = answer.usage
    if said is None:
        return None
    details, timings = said.prompt_tokens_details, answer.timings
    cached_tokens = None if details is None else details.cached_tokens
    if cached_tokens is None and timings:
        cached_tokens = timings.cache_n
    return Usage(said.prompt_tokens, said.completion_tokens or 0, cached_tokens)
