"""Our engines that need no model, under the contract suite."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.contracts.engine_suite import EngineSuite, Prompts
from tests.engines.cases import openai_engine
from tests.engines.fake_server import Behaviour, FakeServer
from wattshed.engines.engine import Engine, Request
from wattshed.engines.openai import OpenAIEngine
from wattshed.testing import Failures, Scatter, SyntheticEngine, VirtualClock

FITS = 10_000
SERVERS = {
    "counts tokens": Behaviour(),
    "counts no tokens": Behaviour(counts=False),
    "chat only": Behaviour(refuses={"/v1/completions": 404}),
    "lengths not exact": Behaviour(strict=True),
    "no DONE": Behaviour(says_done=False),
    "closes kept connections": Behaviour(dies_when_reused=True),
}


class TestSynthetic(EngineSuite):
    """The engine of known costs."""

    @pytest.fixture
    def engine(self) -> Engine:
        """One with noise."""
        clock = VirtualClock()
        noise = Scatter(0.1, np.random.default_rng(1))
        return SyntheticEngine(
            now_s=clock.now_s, sleep=clock.sleep, scatter=noise, failures=Failures(max_total_tokens=FITS)
        )

    @pytest.fixture
    def prompts(self, engine: Engine) -> Prompts:
        """It reads nothing."""
        return lambda _: []

    @pytest.fixture
    def impossible(self) -> Request:
        """Too long."""
        return Request(FITS, 1)


class TestOpenAI(EngineSuite):
    """The HTTP engine before servers of every kind."""

    @pytest.fixture(params=SERVERS.values(), ids=SERVERS.keys())
    def server(self, request: pytest.FixtureRequest) -> Iterator[FakeServer]:
        """A server with a quirk."""
        with FakeServer(request.param) as server:
            yield server

    @pytest.fixture
    def engine(self, server: FakeServer) -> Iterator[Engine]:
        """An engine that speaks to it."""
        engine = openai_engine(server)
        yield engine
        engine.close()

    @pytest.fixture
    def prompts(self, engine: OpenAIEngine) -> Prompts:
        """What it would send."""
        return lambda request: [engine.run(engine.prompt(request, query)) for query in range(request.concurrency)]

    @pytest.fixture
    def impossible(self) -> Request:
        """Longer than the server takes."""
        return Request(2 * FITS, 1)
