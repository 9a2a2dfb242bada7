"""The completions of OpenAI-compatible servers as values: what to ask, and what a stream says. No input or output.

    /v1/completions, /v1/chat/completions    each exact (ignore_eos, min_tokens: n is what was asked) or plain
    stream of lines -> Transcript -> Answer  an instant for every piece that came

Tokens are what the server counts (`usage`), never pieces of the stream: a piece may hold several tokens or none. A
stream may end without `[DONE]`, and an error may come in the middle of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from wattshed.engines.engine import Generation
from wattshed.errors import EngineError


@dataclass(frozen=True, slots=True)
class Answer:
    """One completion: instants of the client's clock, and tokens as the server counted them."""

    sent_at_s: float
    piece_at_s: tuple[float, ...]
    done_at_s: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int | None

    @property
    def generation(self) -> Generation:
        """The answer as engines report it; no first token where no piece bore text."""
        ttft_s = self.piece_at_s[0] - self.sent_at_s if self.piece_at_s else None
        runtime_s = self.done_at_s - self.sent_at_s
        return Generation(self.input_tokens, self.output_tokens, runtime_s, ttft_s, self.cached_tokens)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server understands: text or chat, and whether it takes the fields that make lengths exact."""

    chat: bool
    exact: bool

    @property
    def path(self) -> str:
        """Where it takes requests."""
        return "/v1/chat/completions" if self.chat else "/v1/completions"

    def payload(self, model: str, prompt: str, output_tokens: int) -> dict[str, object]:
        """The request: greedy, streamed, with usage at the end."""
        asked: dict[str, object] = (
            {"messages": [{"role": "user", "content": prompt}]} if self.chat else {"prompt": prompt}
        )
        asked |= {"model": model, "max_tokens": output_tokens, "temperature": 0}
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
        # The last is llama.cpp's: without it a slot answers from the prompt before.
        exact = {"ignore_eos": True, "min_tokens": output_tokens, "cache_prompt": False}
        return asked | exact if self.exact else asked


DIALECTS: Final = tuple(Dialect(chat, exact) for chat in (False, True) for exact in (True, False))
"""In order of preference."""


@dataclass(slots=True)
class Transcript:
    """What a stream has said so far; lines go in, an `Answer` comes out. Does no input or output."""

    sent_at_s: float
    done_at_s: float | None = None
    _finished: bool = False
    _piece_at_s: list[float] = field(default_factory=list)
    _usage: Mapping[str, object] = field(default_factory=dict)
    _cached_tokens: int | None = None

    def take(self, line: bytes, at_s: float) -> None:
        """One line of the stream and the instant it came; raises `EngineError` where the server reports an error."""
        text = line.strip()
        if not text.startswith(b"data:"):
            return
        if text.endswith(b"[DONE]"):
            self._finished = True
            return
        event = json_object(json.loads(text.removeprefix(b"data:")))
        if "error" in event:
            raise EngineError("refused", f"the server broke off: {complaint(event)}")
        self._usage = json_object(event.get("usage")) or self._usage
        self._cached_tokens = _cached_tokens(event, self._cached_tokens)
        choice = _choice(event)
        if choice:
            self.done_at_s = at_s
            self._finished |= choice.get("finish_reason") is not None
        if _text(choice):
            self._piece_at_s.append(at_s)

    def answer(self) -> Answer:
        """The whole; `EngineError` where the stream broke off, or the server did not count its tokens."""
        if not self._finished or self.done_at_s is None:
            raise EngineError("engine_gone", "the server's stream broke off in the middle")
        input_tokens, output_tokens = self._usage.get("prompt_tokens"), self._usage.get("completion_tokens")
        if not isinstance(input_tokens, int) or not isinstance(output_tokens, int):
            raise EngineError(
                "refused", "the server's stream reports no usage, so tokens cannot be counted; update the server"
            )
        pieces = tuple(self._piece_at_s)
        return Answer(self.sent_at_s, pieces, self.done_at_s, input_tokens, output_tokens, self._cached_tokens)


def complaint(event: Mapping[str, object]) -> str:
    """What an error object of a server says, wherever it says it; "" where it says nothing."""
    error = event.get("error")
    return str(json_object(error).get("message") or error or event.get("message") or event.get("detail") or "")


def json_object(value: object) -> Mapping[str, object]:
    """A JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def _choice(event: Mapping[str, object]) -> Mapping[str, object]:
    choices = event.get("choices")
    return json_object(choices[0]) if isinstance(choices, list) and choices else {}


def _text(choice: Mapping[str, object]) -> str:
    """The text that a choice adds, in either dialect; "" where it adds none."""
    delta = json_object(choice.get("delta"))
    # Reasoning models stream their thoughts in a field of their own: tokens all the same.
    return str(choice.get("text") or delta.get("content") or delta.get("reasoning_content") or "")


def _cached_tokens(event: Mapping[str, object], before: int | None) -> int | None:
    """Prompt tokens from a cache: in `usage` by OpenAI's name, or in llama.cpp's `timings`."""
    details = json_object(json_object(event.get("usage")).get("prompt_tokens_details"))
    found = details.get("cached_tokens", json_object(event.get("timings")).get("cache_n", before))
    return found if isinstance(found, int) else before
