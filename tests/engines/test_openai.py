"""The HTTP engine against a real server that counts exactly, and misbehaves on request."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.engines.cases import KEY, SYSTEM, openai_engine
from tests.engines.fake_server import Behaviour, FakeServer
from wattshed.engines.client import Client
from wattshed.engines.engine import Request
from wattshed.engines.openai import OpenAIEngine, WordScale
from wattshed.errors import EngineError

Loaded = Callable[..., tuple[OpenAIEngine, FakeServer]]


@pytest.fixture
def loaded() -> Iterator[Loaded]:
    """A loaded engine before a sound server, whose behaviour then changes."""
    engines: list[OpenAIEngine] = []
    servers: list[FakeServer] = []

    def load(after: Behaviour, *, timeout_s: float = 20.0) -> tuple[OpenAIEngine, FakeServer]:
        servers.append(FakeServer().__enter__())
        engines.append(openai_engine(servers[-1], timeout_s=timeout_s))
        engines[-1].load()
        servers[-1].behaviour = after
        servers[-1].payloads.clear()
        return engines[-1], servers[-1]

    yield load
    for engine in engines:
        engine.close()
    for server in servers:
        server.stop()


def test_durations_come_from_a_clock_that_never_jumps(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock that is set back an hour during a request changes no duration."""
    hours = iter(range(10_000, 0, -1))
    engine, _ = loaded(Behaviour())
    monkeypatch.setattr(time, "time", lambda: next(hours) * 1e3)

    [generation] = engine.generate(Request(10, 7))

    assert generation.ttft_s is not None
    assert 0 < generation.ttft_s <= generation.runtime_s < 10


def test_asks_for_exact_lengths(loaded: Loaded) -> None:
    """The server is asked to ignore the end of text, to keep no prompt, and to count."""
    engine, server = loaded(Behaviour())

    engine.generate(Request(10, 7))

    asked = server.payloads[0]
    assert (asked["max_tokens"], asked["min_tokens"], asked["ignore_eos"]) == (7, 7, True)
    assert (asked["cache_prompt"], asked["stream_options"]) == (False, {"include_usage": True})


def test_a_short_answer_is_reported_as_it_is(loaded: Loaded) -> None:
    """Tokens are what the server made, not what it was asked for."""
    engine, _ = loaded(Behaviour(stops_after=3))

    (generation,) = engine.generate(Request(10, 7))

    assert (generation.input_tokens, generation.output_tokens) == (10, 3)


def test_cached_tokens_are_reported(loaded: Loaded) -> None:
    """What the server took from a cache is known, so that a cell it answered from memory can be told."""
    engine, _ = loaded(Behaviour(cached_tokens=4))

    assert engine.generate(Request(10, 2))[0].cached_tokens == 4


def test_no_word_on_caching_is_none(loaded: Loaded) -> None:
    """A server that says nothing of its cache has not said zero."""
    engine, _ = loaded(Behaviour())

    assert engine.generate(Request(10, 2))[0].cached_tokens is None


def test_queries_of_a_request_are_in_flight_together(loaded: Loaded) -> None:
    """A request of four queries is answered by a server that waits for four."""
    engine, _ = loaded(Behaviour(together=4))

    assert len(engine.generate(Request(10, 2, concurrency=4))) == 4


def test_sends_what_it_says_it_reads(loaded: Loaded) -> None:
    """The prompts of a request reach the server unchanged."""
    engine, server = loaded(Behaviour())
    request = Request(10, 2, concurrency=2, serial=7)

    engine.generate(request)

    assert sorted(server.prompts) == sorted(engine.run(engine.prompt(request, query)) for query in range(2))


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (Behaviour(breaks_after=3), "engine_gone"),
        (Behaviour(breaks_after=0), "engine_gone"),
        (Behaviour(fails_after=3), "refused"),
        (Behaviour(usage=False), "refused"),
        (Behaviour(refuses={"/v1/completions": 500}), "refused"),
        (Behaviour(refuses={"/v1/completions": 400}), "refused"),
    ],
    ids=str,
)
def test_every_fault_has_its_reason(loaded: Loaded, behaviour: Behaviour, reason: str) -> None:
    """A broken stream, an error in it, a missing count and a refusal are told apart."""
    engine, _ = loaded(behaviour)

    with pytest.raises(EngineError) as failed:
        engine.generate(Request(10, 7, concurrency=2))

    assert failed.value.reason == reason


def test_a_silent_server_is_timed_out(loaded: Loaded) -> None:
    """No wait is endless."""
    engine, _ = loaded(Behaviour(counts=False, stalls=True), timeout_s=0.3)

    with pytest.raises(EngineError) as failed:
        engine.generate(Request(10, 7))

    assert failed.value.reason == "timed_out"


def test_a_vanished_server_is_gone(loaded: Loaded) -> None:
    """A server that no longer listens is gone, and closing the engine still works."""
    engine, server = loaded(Behaviour())
    server.stop()

    with pytest.raises(EngineError) as failed:
        engine.generate(Request(10, 7))

    assert failed.value.reason == "engine_gone"


def test_a_kept_connection_that_died_is_replaced(loaded: Loaded) -> None:
    """A server that drops each connection at its second request loses none of ours."""
    engine, server = loaded(Behaviour(dies_when_reused=True))

    answers = [engine.generate(Request(10, 2, concurrency=3, serial=serial)) for serial in range(4)]

    assert sum(len(answer) for answer in answers) == len(server.payloads) == 12


def test_a_refusal_quotes_the_server_and_hides_the_key(loaded: Loaded) -> None:
    """The server's own words are passed on in one line, without the key that they quote."""
    engine, _ = loaded(Behaviour(refuses={"/v1/completions": 401}))

    with pytest.raises(EngineError, match=r"401: no, said Bearer \*\*\*") as failed:
        engine.generate(Request(10, 7))

    assert KEY not in str(failed.value)


def test_the_key_is_sent() -> None:
    """The key goes into the header of every request."""
    with FakeServer() as server:
        engine = openai_engine(server)
        engine.load()
        engine.close()

    assert {header["Authorization"] for header in server.headers} == {f"Bearer {KEY}"}


def test_a_server_that_takes_nothing_cannot_be_loaded() -> None:
    """Where no dialect is understood, loading fails with what the server said and leaves nothing open."""
    everything = {"/v1/completions": 404, "/v1/chat/completions": 403}
    with FakeServer(Behaviour(refuses=everything)) as server:
        engine = openai_engine(server)

        with pytest.raises(EngineError, match="403"):
            engine.load()


def test_small_packets_are_sent_at_once() -> None:
    """Connections do not wait to fill a packet: with delayed acknowledgements that costs 40 ms a request."""

    async def undelayed(server: FakeServer) -> int:
        client = Client(server.url, SYSTEM.model, api_key=None, timeout_s=20, now_s=lambda: 0.0)
        _, response = await client.post("/v1/completions", {"prompt": "a", "max_tokens": 100_000})
        assert response.connection is not None
        assert response.connection.transport is not None
        wire: socket.socket = response.connection.transport.get_extra_info("socket")
        option = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        response.close()
        await client.close()
        return option

    with FakeServer() as server:
        assert asyncio.run(undelayed(server)) != 0


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_base_urls_are_taken_as_people_write_them(suffix: str) -> None:
    """With `/v1` or without, it is the same server."""
    with FakeServer() as server:
        engine = OpenAIEngine(server.url + suffix, SYSTEM.model, system=SYSTEM)
        engine.load()
        engine.close()

    assert len(server.payloads) == 2


def test_words_scale_to_tokens() -> None:
    """Two probes give the tokens of the template and of a word."""
    scale = WordScale.through(8, 136)

    assert scale == WordScale(special=6, per_word=2)
    assert [scale.words(tokens) for tokens in (1, 8, 10, 106)] == [1, 1, 2, 50]


def test_a_web_page_is_no_model() -> None:
    """A server that answers with HTML is said to serve none, in one line, and its page is not quoted."""
    server = FakeServer()
    with server:
        server.behaviour = Behaviour(web_page=True)
        engine = openai_engine(server)

        with pytest.raises(EngineError) as refused:
            engine.load()

    assert "answered 501 with a web page, so no model is served there" in str(refused.value)
    assert "<" not in str(refused.value)
