"""The role of an engine: it answers a request with tokens and says how long that took.

An engine is one `System`: hardware, model and configuration are fixed when it is made. Failure is a result: an engine
raises `EngineError` with a reason (`out_of_memory`, `timed_out`, `engine_gone`, `refused`), and the campaign goes on.
"""

from dataclasses import dataclass
from typing import Protocol

from wattshed.domain.system import System


@dataclass(frozen=True, slots=True)
class Request:
    """`concurrency` queries of `input_tokens` each at once, each to be answered with exactly `output_tokens`.

    `serial` makes the prompts of two requests differ, so that no cache of prefixes answers for the engine.
    """

    input_tokens: int
    output_tokens: int
    concurrency: int = 1
    serial: int = 0

    def __post_init__(self) -> None:
        if min(self.input_tokens, self.output_tokens, self.concurrency) < 1:
            raise ValueError(f"a request has at least one query with one token each way, got {self}")


@dataclass(frozen=True, slots=True)
class Generation:
    """What one query got: tokens achieved (not requested), seconds to the first and to the last token.

    `cached_tokens` of the input were not computed again; `None` where the engine does not say.
    """

    input_tokens: int
    output_tokens: int
    runtime_s: float
    ttft_s: float | None = None
    cached_tokens: int | None = None


class Engine(Protocol):
    """Makes tokens."""

    @property
    def system(self) -> System:
        """What is being measured."""
        ...

    def load(self) -> None:
        """Bring the model into memory; a second call does nothing."""
        ...

    def generate(self, request: Request) -> tuple[Generation, ...]:
        """Answer a request: one `Generation` a query, when all are done and the device has caught up."""
        ...

    def close(self) -> None:
        """Let go of model and device; twice does no harm."""
        ...
