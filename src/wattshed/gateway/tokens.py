"""Input tokens from bytes: no tokenizer on the hot path, and calibrated by what the engines count.

    tokens = fixed + rate * bytes        per model

`fixed` is what a chat template adds, `rate` what the tokenizer makes of this traffic. Each answer's `usage` tells the
truth about one prompt, and the line follows by least squares, older prompts counting less. A prompt weighs 1 / bytes,
since the scatter of tokens grows like the bytes. Two imagined prompts stand for the line before any was seen, and keep
it defined while all prompts have one length.

A tokenizer would be exact and cost 0.4-0.9 microseconds a token, a millisecond for a long prompt; where one is at hand,
let it say `tokens_per_byte` to begin with.
"""

from collections.abc import Mapping
from operator import add
from typing import Final, TypeAlias

_TOKENS_PER_BYTE: Final = 0.28
"""Of SmolLM2's tokenizer on the pages (0.282) and the code (0.285) of this package, 49,152 words."""

_TEMPLATE_TOKENS: Final = 30.0
"""Added to a message of one token by the chat template of SmolLM2-135M-Instruct, `usage` of llama.cpp."""

_IMAGINED_BYTES: Final = (128.0, 4096.0)
"""Lengths of the two imagined prompts: a question and a page."""

_MEMORY: Final = 0.99
"""Weight that everything seen keeps when one more prompt is seen: a memory of about a hundred prompts."""

_MOST_RISE: Final = 4.0
"""Times its estimate that one prompt may count for: an image is tokens without bytes, and is rare or soon believed."""

_Sums: TypeAlias = tuple[float, float, float, float, float]


class TokenEstimate:
    """Tokens of prompts whose bytes are known. Memory grows with the models observed, which the settings name."""

    def __init__(self, tokens_per_byte: Mapping[str, float] | None = None) -> None:
        self._begun = dict(tokens_per_byte or {})
        self._lines: dict[str, _Line] = {}

    def estimate(self, model: str, prompt_bytes: int) -> int:
        """Input tokens of a prompt, at least 1."""
        line = self._lines.get(model) or self._new(model)
        return max(1, round(line.tokens(prompt_bytes)))

    def observe(self, model: str, prompt_bytes: int, input_tokens: int) -> None:
        """Learn what an engine counted for a prompt of so many bytes; less than 1 of either teaches nothing."""
        if prompt_bytes >= 1 and input_tokens >= 1:
            line = self._lines[model] = self._lines.get(model) or self._new(model)
            line.learn(prompt_bytes, input_tokens)

    def _new(self, model: str) -> "_Line":
        return _Line(self._begun[model]) if model in self._begun else _Line(_TOKENS_PER_BYTE)


class _Line:
    """Weighted least squares of tokens on bytes, kept as five sums over prompts: of 1/b, 1, b, t/b and t."""

    __slots__ = ("_fixed", "_imagined", "_rate", "_seen")

    def __init__(self, rate: float) -> None:
        self._fixed, self._rate = _TEMPLATE_TOKENS, rate
        self._imagined: _Sums = (0.0, 0.0, 0.0, 0.0, 0.0)
        self._seen = self._imagined
        for length in _IMAGINED_BYTES:
            self._imagined = self._with(self._imagined, length, self.tokens(length))

    def tokens(self, prompt_bytes: float) -> float:
        """The line at so many bytes."""
        return self._fixed + self._rate * prompt_bytes

    def learn(self, prompt_bytes: int, input_tokens: int) -> None:
        """Draw the line anew with one more prompt; neither part falls below 0."""
        believed = min(input_tokens, _MOST_RISE * self.tokens(prompt_bytes))
        self._seen = self._with(self._seen, prompt_bytes, believed)
        inverse, weight, length, share, tokens = map(add, self._imagined, self._seen)
        spread = inverse * length - weight * weight  # above 0 by Cauchy-Schwarz: the imagined lengths differ
        self._rate = min(max((inverse * tokens - weight * share) / spread, 0.0), tokens / length)
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
