"""Any OpenAI-compatible server as an engine: vLLM, llama.cpp, SGLang, Ollama, MLX, or a gateway before them.

The server is somebody else's, so nothing is taken on trust: what it understands is probed on loading, prompts are cut
to length by its own tokenizer (or by a line fitted through its own token counts), and every `Generation` says what the
server counted, not what was asked. Async inside, synchronous outside, so it must not be called from an event loop.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from wattshed.domain.system import System
from wattshed.engines.client import Client
from wattshed.engines.engine import Generation, Request
from wattshed.engines.prompts import synthetic_text
from wattshed.errors import EngineError

T = TypeVar("T")

TIMEOUT_S: Final = 600.0
"""Longest wait for one whole answer, unless the caller says otherwise."""

PROBE_WORDS: Final = (1, 65)
"""Lengths of the two prompts that calibrate tokens against words."""

MOST_FITTINGS: Final = 8
"""Rounds of counting and correcting a prompt; with one token a word the second round fits."""


@dataclass(frozen=True, slots=True)
class WordScale:
    """Tokens of a prompt of so many words: `special` (the template, a beginning-of-text token) + `per_word` each."""

    special: float = 0.0
    per_word: float = 1.0

    @classmethod
    def through(cls, first_tokens: int, second_tokens: int) -> "WordScale":
        """The line through the tokens of the two probes."""
        first, second = PROBE_WORDS
        per_word = max((second_tokens - first_tokens) / (second - first), 1.0)
        return cls(first_tokens - per_word * first, per_word)

    def words(self, tokens: int) -> int:
        """Words that make about so many tokens; at least one."""
        return max(round((tokens - self.special) / self.per_word), 1)


class OpenAIEngine:
    """An `Engine` over HTTP. `system` is the caller's word for what stands behind the URL."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        system: System,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.system = system
        self._client = Client(base_url, model, api_key=api_key, timeout_s=timeout_s, now_s=now_s)
        self._runner: asyncio.Runner | None = None
        self._scale = WordScale()
        self._counts = False

    def load(self) -> None:
        """Find out what the server understands; costs three tokens."""
        if self._runner is None:
            self._runner = asyncio.Runner()
            try:
                self.run(self._probe())
            except BaseException:
                self.close()
                raise

    def generate(self, request: Request) -> tuple[Generation, ...]:
        """Send all queries of a request at once and wait for the last; the first failure ends the others."""
        return self.run(self._generated(request))

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run something on the engine's event loop to its end; `EngineError` where the engine is not loaded."""
        if self._runner is None:
            work.close()
            raise EngineError("engine_gone", "the engine is not loaded; call load() first")
        return self._runner.run(work)

    async def ask(self, prompt: str, output_tokens: int) -> Generation:
        """One answer."""
        return (await self._client.complete(prompt, output_tokens)).generation

    async def prompt(self, request: Request, query: int = 0) -> str:
        """A prompt for the `query`-th query of a request: of exactly m tokens where the server lets us count."""
        words = self._scale.words(request.input_tokens)
        for _ in range(MOST_FITTINGS if self._counts else 0):
            tokens = await self._client.count(synthetic_text(request, words, query=query))
            missing = 0 if tokens is None else request.input_tokens - tokens
            better = max(words + round(missing / self._scale.per_word), 1)
            if better == words:
                break
            words = better
        return synthetic_text(request, words, query=query)

    def close(self) -> None:
        """Close every connection."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.run(self._client.close())
            runner.close()

    async def _probe(self) -> None:
        first, second = (synthetic_text(Request(words, 1), words) for words in PROBE_WORDS)
        tokens = (await self._client.probe(first)).input_tokens
        self._scale = WordScale.through(tokens, (await self._client.complete(second, 1)).input_tokens)
        # A tokenizer that does not see what the model will see (a chat template) is of no use.
        self._counts = await self._client.count(first) == tokens

    async def _generated(self, request: Request) -> tuple[Generation, ...]:
        prompts = await together([self.prompt(request, query) for query in range(request.concurrency)])
        return tuple(await together([self.ask(prompt, request.output_tokens) for prompt in prompts]))


async def together(work: Sequence[Coroutine[object, object, T]]) -> list[T]:
    """All results, in order; the first `EngineError` cancels the rest and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except ExceptionGroup as failures:
        ours, others = failures.split(EngineError)
        if ours is None or others is not None:
            raise
        raise ours.exceptions[0] from None
    return [task.result() for task in tasks]
