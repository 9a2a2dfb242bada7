"""The HTTP engine against llama.cpp's own server with a real model (SmolLM2, 135 million parameters), on loopback."""

from collections.abc import Iterator

import pytest

from tests.contracts.engine_suite import EngineSuite, Prompts
from tests.engines.llama_cpp import MODEL, Llama, listening
from wattshed.domain.query import Query
from wattshed.domain.system import System
from wattshed.engines.engine import Engine, Request
from wattshed.engines.open_loop import open_loop
from wattshed.engines.openai import OpenAIEngine

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SYSTEM = System("loopback", MODEL, "CPU", engine="llama.cpp")
QUERIES = 4
TOKENS_OF_A_QUERY = 1024


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the server listens."""
    with listening(Llama(QUERIES, TOKENS_OF_A_QUERY)) as url:
        yield url


@pytest.fixture
def engine(url: str) -> Iterator[OpenAIEngine]:
    """An engine that speaks to it."""
    engine = OpenAIEngine(url, SYSTEM.model, system=SYSTEM, timeout_s=120)
    yield engine
    engine.close()


class TestLlamaCpp(EngineSuite):
    """The contract, with real tokens."""

    @pytest.fixture
    def engine(self, url: str) -> Iterator[Engine]:
        """An engine of its own for every test."""
        engine = OpenAIEngine(url, SYSTEM.model, system=SYSTEM, timeout_s=120)
        yield engine
        engine.close()

    @pytest.fixture
    def prompts(self, engine: OpenAIEngine) -> Prompts:
        """What it would send."""
        return lambda request: [engine.run(engine.prompt(request, query)) for query in range(request.concurrency)]

    @pytest.fixture
    def impossible(self) -> Request:
        """More than a slot of the server holds."""
        return Request(TOKENS_OF_A_QUERY + 1, 1)


def test_nothing_is_answered_from_a_cache(engine: OpenAIEngine) -> None:
    """The same request twice is computed twice."""
    engine.load()
    request = Request(64, 2)

    cached = [engine.generate(request)[0].cached_tokens for _ in range(2)]

    assert cached == [0, 0]


def test_open_loop_serves_a_trace(engine: OpenAIEngine) -> None:
    """Queries that overlap are all answered in full."""
    engine.load()
    trace = [Query(32, 16, arrival_s) for arrival_s in (0.0, 0.05, 0.1, 0.15)]

    outcome = open_loop(engine, trace)

    answered = [one.generation.output_tokens for one in outcome if one.generation]
    assert answered == [16] * 4


def test_longer_answers_take_longer(engine: OpenAIEngine) -> None:
    """Thirty-two tokens take longer than two, and the first comes at about the same time."""
    engine.load()

    few, many = (engine.generate(Request(16, tokens))[0] for tokens in (2, 32))

    assert many.runtime_s > few.runtime_s
