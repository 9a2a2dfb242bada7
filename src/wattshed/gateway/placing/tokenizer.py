"""Counts a prompt's tokens as its model would, by the model's own tokenizer, in less than a millisecond.

    body --texts of the prompt--> up to `MOST_COUNTED_BYTES`   counted
                              `-> longer                       pieces of it counted, the rest by their rate
         --token numbers--------> as many as there are

What a chat template adds is not in here: `tokens.py` learns it from what the engines count. A body beyond
`MOST_READ_BYTES` is not read at all, since that alone would take too long. The package `tokenizers` (Apache 2.0) reads
`tokenizer.json`, as Hugging Face publishes one with each model; it comes with the extra `tokenizers`.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from wattshed.errors import InputError, MissingError

MOST_COUNTED_BYTES: Final = 2048
"""Text that is counted: 0.7 ms, at 1.5 us a token and four bytes to a token (BPE of 32,000 words, two shared cores)."""

MOST_READ_BYTES: Final = 262_144
"""Longest body whose texts are read: 0.3 ms, at 1.1 us a kilobyte (`msgspec.json`, the same machine)."""

PIECES: Final = 4
"""Pieces of a longer text that are counted, spread evenly over it: the head of a chat is unlike its end. On 60 texts of
this package's pages and code the sum is off by 5 % (standard deviation), where a rate per byte is off by 15 %."""


class Counted(NamedTuple):
    """Tokens of a prompt's texts, and in how many parts they come, each of which its template may adorn.

    `template` names what does: `chat`, `tools` (a chat with tools) or `plain`, which adorns nothing.
    """

    tokens: int
    parts: int
    template: str


class Tokenizer:
    """One model's tokenizer; `count` says how many tokens a text has."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count

    def counted(self, body: bytes) -> Counted | None:
        """Tokens of the prompt in a request's body; `None` where it is too long, or of no shape that we know."""
        if len(body) > MOST_READ_BYTES:
            return None
        try:
            said = _BODY.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if said.messages is not None:
            return self._of_chat(said)
        prompt = said.prompt if said.input is None else said.input
        if isinstance(prompt, str):
            return self._of_prompts([prompt])
        return self._of_prompts(prompt) if prompt else None

    def _of_chat(self, said: "_Said") -> Counted:
        messages, tools = said.messages or [], (said.tools or []) + (said.functions or [])
        texts = [text for message in messages for text in message.texts()]
        texts += [bytes(tool).decode("utf-8", "replace") for tool in tools]
        return Counted(self.tokens("\n".join(texts)), max(len(messages), 1), "tools" if tools else "chat")

    def _of_prompts(self, prompts: "list[str | int | list[int]]") -> Counted:
        """Of texts, of one prompt in token numbers, or of several in such numbers."""
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        numbers = sum(1 if isinstance(one, int) else len(one) for one in prompts if not isinstance(one, str))
        parts = 1 if isinstance(prompts[0], int) else len(prompts)
        return Counted(numbers + self.tokens("\n".join(texts)), parts, "plain")

    def tokens(self, text: str) -> int:
        """Tokens of a text: counted where it is short, else as its pieces have them."""
        content = text.encode("utf-8", "replace")
        if len(content) <= MOST_COUNTED_BYTES:
            return self._count(text)
        size = MOST_COUNTED_BYTES // PIECES
        apart = (len(content) - size) / (PIECES - 1)
        pieces = [content[round(apart * at) :][:size].decode("utf-8", "ignore") for at in range(PIECES)]
        return round(sum(map(self._count, pieces)) * len(content) / MOST_COUNTED_BYTES)


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a file; `MissingError` where it, or the package that reads it, is not there."""
    if find_spec("tokenizers") is None:
        raise MissingError("this needs the package tokenizers; run: pip install 'wattshed[tokenizers]'")
    try:
        state = path.stat()
    except OSError as error:
        raise MissingError(f"{path}: no such file; give the model's tokenizer.json") from error
    return _opened(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def _opened(path: Path, _changed_ns: int, _size_bytes: int) -> Tokenizer:
    """Read once, since one of 128,000 words takes a quarter of a second, and a reload must not hold up streams."""
    import tokenizers

    try:
        read = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises bare `Exception`s, for whatever is wrong
        fix = "give the model's tokenizer.json"
        raise InputError(f"is no tokenizer ({str(error)[:200]})", path=path, fix=fix) from error
    read.no_truncation()
    read.no_padding()
    return Tokenizer(lambda text: len(read.encode(text, add_special_tokens=False)))


class _Part(msgspec.Struct):
    text: str | None = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None
    tool_calls: Raw = Raw()

    def texts(self) -> list[str]:
        """What it says, and which tools it calls."""
        said = [self.content] if isinstance(self.content, str) else [part.text or "" for part in self.content or []]
        calls = bytes(self.tool_calls)
        return [*said, calls.decode("utf-8", "replace")] if calls and calls != b"null" else said


class _Said(msgspec.Struct):
    """What holds prompts, on any route."""

    messages: list[_Message] | None = None
    prompt: str | list[str | int | list[int]] | None = None
    input: str | list[str | int | list[int]] | None = None
    tools: list[Raw] | None = None
    functions: list[Raw] | None = None


_BODY: Final = msgspec.json.Decoder(_Said)
