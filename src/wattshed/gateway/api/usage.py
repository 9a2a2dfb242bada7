"""What engines say about an answer, whole or piece by piece: the tokens they counted, and that something went wrong.

    said_in      a whole body                      -> Said: whether it is an answer, and its Usage, if it counts them
    read_chunk   the data of one event of a stream -> Chunk, and most need no parsing
    has_token    whole events                      -> whether the engine has begun to answer

Tokens are what the engine counts, never pieces of a stream. An engine that says nonsense has said nothing.
"""

from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Raw

from wattshed.domain.schema import MOST_TOKENS
from wattshed.gateway.api.splice import is_object


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the engine counted them; `cached_tokens` are those of the input that its cache answered, if it says."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int | None = None


class Chunk(msgspec.Struct, frozen=True):
    """What one event of a stream says besides text; `usage_only` where it says nothing else."""

    usage: Usage | None = None
    usage_only: bool = False
    failed: bool = False


class Said(NamedTuple):
    """What a whole body says: whether it is a JSON object, as every answer of OpenAI's API is, and its tokens."""

    whole: bool
    usage: Usage | None


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


class _Piece(msgspec.Struct):
    delta: dict[str, object] | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Pieces(msgspec.Struct):
    choices: list[_Piece]


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_PIECES: Final = msgspec.json.Decoder(_Pieces)


def said_in(answer: bytes) -> Said:
    """What a whole body says: it is parsed once, and again only where an engine's counts make no sense."""
    try:
        return Said(True, _usage(_ANSWER.decode(answer)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Said(is_object(answer), None)


def read_chunk(event: bytes) -> Chunk:
    """What the data of one event says besides text."""
    if b'"usage"' not in event and b'"error"' not in event:
        return PLAIN
    answer = _read(event)
    usage = _usage(answer)
    return Chunk(usage, usage is not None and answer.choices == [], bytes(answer.error) not in {b"", b"null"})


def has_token(events: bytes) -> bool:
    """Whether one of these events says more than who speaks: some engines tell that before they read the prompt.

    An end without a word is an answer too, and so is what cannot be read.
    """
    lines = [line.removeprefix(b"data:") for line in events.splitlines() if line.startswith(b"data:")]
    return any(map(_tells, lines))


def _tells(event: bytes) -> bool:
    try:
        pieces = _PIECES.decode(event).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    return any(
        piece.text or piece.finish_reason or any(value for name, value in (piece.delta or {}).items() if name != "role")
        for piece in pieces
    )


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
