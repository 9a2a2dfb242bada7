"""Input tokens from bytes, or from a tokenizer's count of the text: calibrated by what the engines count.

    tokens = fixed + rate * bytes                    per model, without a tokenizer
    tokens = counted + fixed + rate * parts          per model and template, with one (`tokenizer.py`)

`fixed` is what a chat template adds, `rate` what the tokenizer makes of this traffic, or what the template adds to each
message. Each answer's `usage` tells the truth about one prompt, and the line follows by least squares, older prompts
counting less. A prompt weighs 1 / bytes (or parts), since the scatter of tokens grows like them. Two imagined prompts
stand for the line before any was seen, and keep it defined while all prompts have one length.
"""

from collections.abc import Mapping
from operator import add
from typing import Final, NamedTuple, TypeAlias

from wattshed.gateway.placing.tokenizer import Counted

_TOKENS_PER_BYTE: Final = 0.28
"""Of SmolLM2's tokenizer on the pages (0.282) and the code (0.285) of this package, 49,152 words."""

_TEMPLATE_TOKENS: Final = 30.0
"""Added to a message of one token by the chat template of SmolLM2-135M-Instruct, `usage` of llama.cpp."""

_MESSAGE_TOKENS: Final = 5.0
"""Of them, those that it adds to every further message: `<|im_start|>user`, `<|im_end|>` and two line ends."""

_IMAGINED_BYTES: Final = (128.0, 4096.0)
"""Lengths of the two imagined prompts: a question and a page."""

_IMAGINED_PARTS: Final = (1.0, 8.0)
"""The same in messages: a question, and a talk."""

_MEMORY: Final = 0.99
"""Weight that everything seen keeps when one more prompt is seen: a memory of about a hundred prompts."""

_MOST_RISE: Final = 4.0
"""Times its estimate that one prompt may count for: an image is tokens without bytes, and is rare or soon believed."""

_Sums: TypeAlias = tuple[float, float, float, float, float]


class _Prior(NamedTuple):
    """A line that nothing has been seen of, and the lengths of its imagined prompts."""

    fixed: float
    rate: float
    lengths: tuple[float, float]


_CHAT: Final = _Prior(_TEMPLATE_TOKENS - _MESSAGE_TOKENS, _MESSAGE_TOKENS, _IMAGINED_PARTS)
_PLAIN: Final = _Prior(0.0, 1.0, _IMAGINED_PARTS)
"""A prompt without a template begins with one token of its own (`<s>` of Llama 2), if with any."""


class TokenEstimate:
    """Tokens of prompts whose bytes are known. Memory grows with the models observed, which the settings name."""

    def __init__(self, tokens_per_byte: Mapping[str, float] | None = None) -> None:
        self._begun = dict(tokens_per_byte or {})
        self._lines: dict[str, _Line] = {}
        self._added: dict[tuple[str, str], _Line] = {}

    def estimate(self, model: str, prompt_bytes: int, *, counted: Counted | None = None) -> int:
        """Input tokens of a prompt, at least 1; `counted` is what the model's tokenizer makes of its text."""
        if counted is not None:
            return max(1, counted.tokens + round(self._adding(model, counted).tokens(counted.parts)))
        line = self._lines.get(model) or self._new(model)
        return max(1, round(line.tokens(prompt_bytes)))

    def observe(self, model: str, prompt_bytes: int, input_tokens: int, *, counted: Counted | None = None) -> None:
        """Learn what an engine counted for a prompt of so many bytes; less than 1 of either teaches nothing."""
        if prompt_bytes >= 1 and input_tokens >= 1:
            line = self._lines[model] = self._lines.get(model) or self._new(model)
            line.learn(prompt_bytes, input_tokens)
        if counted is not None and input_tokens >= 1:
            added = self._added[model, counted.template] = self._adding(model, counted)
            added.learn(counted.parts, max(input_tokens - counted.tokens, 0))

    def _new(self, model: str) -> "_Line":
        return _Line(_Prior(_TEMPLATE_TOKENS, self._begun.get(model, _TOKENS_PER_BYTE), _IMAGINED_BYTES))

    def _adding(self, model: str, counted: Counted) -> "_Line":
        """What the template adds to prompts of this kind."""
        line = self._added.get((model, counted.template))
        return line or _Line(_PLAIN if counted.template == "plain" else _CHAT)


class _Line:
    """Weighted least squares of tokens on bytes, or parts, kept as five sums: of 1/b, 1, b, t/b and t."""

    __slots__ = ("_fixed", "_imagined", "_rate", "_seen")

    def __init__(self, prior: _Prior) -> None:
        self._fixed, self._rate = prior.fixed, prior.rate
        self._imagined: _Sums = (0.0, 0.0, 0.0, 0.0, 0.0)
        self._seen = self._imagined
        for length in prior.lengths:
            self._imagined = self._with(self._imagined, length, self.tokens(length))

    def tokens(self, length: float) -> float:
        """The line at so many bytes, or parts."""
        return self._fixed + self._rate * length

    def learn(self, length: int, input_tokens: int) -> None:
        """Draw the line anew with one more prompt; neither part falls below 0."""
        believed = min(input_tokens, max(_MOST_RISE * self.tokens(length), 1.0))
        self._seen = self._with(self._seen, length, believed)
        inverse, weight, lengths, share, tokens = map(add, self._imagined, self._seen)
        spread = inverse * lengths - weight * weight  # above 0 by Cauchy-Schwarz: the imagined lengths differ
        self._rate = min(max((inverse * tokens - weight * share) / spread, 0.0), tokens / lengths)
        self._fixed = max((share - weight * self._rate) / inverse, 0.0)

    @staticmethod
    def _with(sums: _Sums, length: float, tokens: float) -> _Sums:
        inverse, weight, lengths, share, total = sums
        return (
            _MEMORY * inverse + 1 / length,
            _MEMORY * weight + 1,
            _MEMORY * lengths + length,
            _MEMORY * share + tokens / length,
            _MEMORY * total + tokens,
        )
