"""OpenAI's client through a gateway on vLLM and on `transformers serve`: what they share, and what is odd of each."""

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.request import urlopen

import pytest

from tests.gateway.real_servers import MODEL, Servers, real_servers
from wattshed.gateway.demo.cpu_share import cpu_s

openai = pytest.importorskip("openai", reason="needs pip install openai")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

BOTH = ("on-vllm", "on-transformers")
HELLO = [{"role": "user", "content": "Say hello."}]
STORY = [{"role": "user", "content": "Tell me a long story about the sea."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Both engines behind a gateway; half a minute goes into starting them."""
    with real_servers(tmp_path_factory.mktemp("servers")) as servers:
        yield servers


@pytest.fixture
def client(servers: Servers) -> Iterator["openai.OpenAI"]:
    """The client as anyone would make it."""
    with openai.OpenAI(base_url=servers.url, api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", BOTH)
def test_an_answer_is_the_engines_with_a_receipt(servers: Servers, client: "openai.OpenAI", model: str) -> None:
    """Text and tokens are those that the engine gives directly, and the receipt names the engine."""
    asked = {"messages": HELLO, "max_tokens": 8, "temperature": 0}

    said = client.chat.completions.create(model=model, **asked)

    with openai.OpenAI(base_url=f"{servers.engines[model]}/v1", api_key="none") as directly:
        same = directly.chat.completions.create(model=MODEL, **asked)
    energy = said.model_extra["energy"]
    assert said.choices[0].message.content == same.choices[0].message.content
    assert _tokens(said) == _tokens(same)
    assert (energy["system"], energy["model"], energy["attribution_method"]) == (model, MODEL, "predicted")
    assert energy["lower_joules"] <= energy["energy_joules"] <= energy["upper_joules"]


@pytest.mark.parametrize("model", BOTH)
def test_a_stream_says_the_same_in_pieces(client: "openai.OpenAI", model: str) -> None:
    """Its pieces make the whole answer, and its last chunk has the same usage, and a receipt."""
    asked = {"model": model, "messages": HELLO, "max_tokens": 8, "temperature": 0}
    whole = client.chat.completions.create(**asked)

    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))

    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert len([piece for piece in pieces if piece]) > 4
    assert _tokens(chunks[-1]) == _tokens(whole)
    assert chunks[-1].model_extra["energy"]["system"] == model


@pytest.mark.parametrize("model", BOTH)
def test_who_asks_for_no_usage_sees_no_chunk_of_it(client: "openai.OpenAI", model: str) -> None:
    """The chunk that the gateway asks the engine for is not passed on: every chunk has a choice."""
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, max_tokens=4, stream=True))

    assert all(chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize("model", BOTH)
def test_the_ledger_has_the_engines_tokens(servers: Servers, client: "openai.OpenAI", model: str) -> None:
    """A stream's row is whole, with the tokens that the engine counted, though `transformers serve` sends no [DONE]."""
    name = f"counted-{model}"
    asked = {"model": model, "messages": HELLO, "max_tokens": 5, "stream": True}

    list(client.chat.completions.create(**asked, extra_headers={"x-request-id": name}))

    assert _eventually(lambda: _row(servers, name)) == ("done", 5)


@pytest.mark.parametrize("stream", [True, False])
def test_vllm_stops_for_clients_that_leave(servers: Servers, client: "openai.OpenAI", stream: bool) -> None:
    """Its own count of running requests goes back to none, long before the answer would have ended."""
    _leave(client, "on-vllm", stream=stream)

    assert _eventually(lambda: _running(servers) == 0)


def test_transformers_stop_for_streams_that_are_left(servers: Servers, client: "openai.OpenAI") -> None:
    """Its processor rests soon, long before 1,000 tokens would have been written."""
    _leave(client, "on-transformers", stream=True)

    assert _eventually(lambda: _idle(servers.pids["on-transformers"]))


@pytest.mark.parametrize("stream", [False, True])
def test_vllm_calls_tools(client: "openai.OpenAI", stream: bool) -> None:
    """A call that SmolLM2 wrote and vLLM read arrives whole, in one piece or put together from a stream."""
    asked = {"model": "on-vllm", "messages": HELLO, "tools": [WEATHER], "max_tokens": 80, "temperature": 0}
    asked["tool_choice"] = {"type": "function", "function": {"name": "weather"}}

    if stream:
        with client.chat.completions.stream(**asked) as events:
            answer = events.get_final_completion()
    else:
        answer = client.chat.completions.create(**asked)

    [call] = answer.choices[0].message.tool_calls
    assert call.function.name == "weather"
    assert "city" in json.loads(call.function.arguments)


def test_fields_of_other_engines_are_refused_by_the_engine(client: "openai.OpenAI") -> None:
    """Unknown fields reach the engines: vLLM knows `ignore_eos`, and `transformers serve` says that it does not."""
    asked = {"messages": HELLO, "max_tokens": 3, "extra_body": {"ignore_eos": True}}

    assert client.chat.completions.create(model="on-vllm", **asked).usage.completion_tokens == 3
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.chat.completions.create(model="on-transformers", **asked)
    assert "ignore_eos" in caught.value.response.text


@pytest.mark.parametrize(("model", "status"), [("on-vllm", 404), ("on-transformers", 404)])
def test_what_an_engine_lacks_is_said_as_it_says_it(client: "openai.OpenAI", model: str, status: int) -> None:
    """Neither makes embeddings of this model; the refusal passes with its status."""
    with pytest.raises(openai.APIStatusError) as caught:
        client.embeddings.create(model=model, input="a cat")

    assert caught.value.status_code == status


def _tokens(answer: object) -> tuple[int, int]:
    usage = answer.usage
    return usage.prompt_tokens, usage.completion_tokens


def _leave(client: "openai.OpenAI", model: str, *, stream: bool) -> None:
    """Begin a long answer, and go."""
    asked = {"model": model, "messages": STORY, "max_tokens": 1000}
    if stream:
        answer = client.chat.completions.create(**asked, stream=True)
        next(iter(answer))
        answer.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=1.5).chat.completions.create(**asked)


def _running(servers: Servers) -> int:
    """Requests that vLLM runs."""
    page = urlopen(f"{servers.engines['on-vllm']}/metrics", timeout=5).read().decode()
    said = re.search(r"^vllm:num_requests_running\{.*\} (\S+)", page, re.MULTILINE)
    assert said is not None
    return int(float(said[1]))


def _idle(pid: int) -> bool:
    """Whether a process used less than a tenth of a core for a while."""
    before_s = cpu_s(pid)
    time.sleep(0.5)
    return cpu_s(pid) - before_s < 0.05


def _row(servers: Servers, name: str) -> tuple[str, int] | None:
    with closing(sqlite3.connect(servers.ledger)) as ledger:
        query = "SELECT outcome, output_tokens FROM wattshed_requests WHERE client_request = ?"
        return next(iter(ledger.execute(query, (name,))), None)


def _eventually(look: Callable[[], object], within_s: float = 15.0) -> object:
    """The first thing that is seen."""
    until_s = time.monotonic() + within_s
    while not (seen := look()) and time.monotonic() < until_s:
        time.sleep(0.1)
    return seen
