"""OpenAI's Python client, through a gateway process, on real engines that were profiled and fitted first."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.engines.llama_cpp import MODEL
from tests.gateway.real_fleet import Fleet

openai = pytest.importorskip("openai", reason="needs pip install openai")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

HELLO = [{"role": "user", "content": "Say hello."}]
ON = {"extra_body": {"ignore_eos": True}}
"""Makes llama.cpp write as many tokens as it may, and shows that unknown fields reach it."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SMOLLM2_WIDTH = 576
"""Numbers of an embedding. Source: hidden_size in the model's config.json."""


@pytest.fixture
def client(fleet: Fleet) -> Iterator["openai.OpenAI"]:
    """The client as anyone would make it."""
    with openai.OpenAI(base_url=fleet.url, api_key=fleet.keys["alice"]) as client:
        yield client


def test_the_answer_is_the_engines_and_bears_a_receipt(fleet: Fleet, client: "openai.OpenAI") -> None:
    """Through the gateway and directly, greedy decoding says the same; joules are predicted, with an interval."""
    asked = {"messages": HELLO, "max_tokens": 8, "temperature": 0, **ON}

    said = client.chat.completions.with_raw_response.create(model="smollm2", **asked)

    answer, system = said.parse(), said.headers["x-routed-to"]
    with openai.OpenAI(base_url=f"{fleet.engines[system]}/v1", api_key="none") as directly:
        same = directly.chat.completions.create(model=MODEL, **asked)
    energy = answer.model_extra["energy"]
    assert answer.choices[0].message.content == same.choices[0].message.content
    assert answer.usage.completion_tokens == same.usage.completion_tokens == 8
    assert (energy["system"], energy["model"], energy["attribution_method"]) == (system, MODEL, "predicted")
    assert energy["lower_joules"] <= energy["energy_joules"] <= energy["upper_joules"]
    assert float(said.headers["x-energy-joules"]) == energy["energy_joules"]


def test_suffixes_choose_between_joules_and_seconds(client: "openai.OpenAI") -> None:
    """`:eco` goes to the little engine, `:fast` to the big one, as both were measured."""
    create = client.chat.completions.with_raw_response.create

    routed = {
        suffix: create(model=f"smollm2:{suffix}", messages=HELLO, max_tokens=4).headers["x-routed-to"]
        for suffix in ("eco", "fast")
    }

    assert routed == {"eco": "little", "fast": "big"}


def test_streams_come_in_pieces_with_usage_for_who_asks(client: "openai.OpenAI") -> None:
    """The last chunk has usage and receipt; without the option nobody sees a chunk without choices."""
    asked = {"model": "small", "messages": HELLO, "max_tokens": 8, "stream": True, **ON}

    counted = list(client.chat.completions.create(**asked, stream_options={"include_usage": True}))
    plain = list(client.chat.completions.create(**asked))

    assert counted[-1].usage.completion_tokens == 8
    assert counted[-1].model_extra["energy"]["energy_joules"] > 0
    assert len([chunk for chunk in counted if chunk.choices and chunk.choices[0].delta.content]) > 1
    assert all(chunk.choices and chunk.usage is None for chunk in plain)
    assert plain[-1].choices[0].finish_reason == "length"


def test_many_at_once_are_all_answered(fleet: Fleet) -> None:
    """The async client's requests, streamed and not, wait for slots and overtake nobody's answer."""

    async def ask(client: "openai.AsyncOpenAI", number: int) -> int:
        asked = {"model": "smollm2", "messages": HELLO, "max_tokens": 4 + number, **ON}
        if number % 2:
            options = {"stream": True, "stream_options": {"include_usage": True}}
            chunks = [chunk async for chunk in await client.chat.completions.create(**asked, **options)]
            return chunks[-1].usage.completion_tokens
        return (await client.chat.completions.create(**asked)).usage.completion_tokens

    async def run() -> list[int]:
        async with openai.AsyncOpenAI(base_url=fleet.url, api_key=fleet.keys["alice"]) as client:
            return await asyncio.gather(*[ask(client, number) for number in range(8)])

    assert asyncio.run(run()) == [4 + number for number in range(8)]


def test_completions_and_structured_answers(client: "openai.OpenAI") -> None:
    """The older route works, and a JSON schema reaches the engine, whose grammar obeys it."""
    schema = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}

    plain = client.completions.create(model="smollm2", prompt="The capital of France is", max_tokens=3, **ON)
    shaped = client.chat.completions.create(
        model="smollm2:fast", messages=HELLO, max_tokens=60, response_format=wanted, temperature=0
    )

    assert plain.usage.completion_tokens == 3
    assert json.loads(shaped.choices[0].message.content)["city"] in {"Paris", "Rome"}


def test_embeddings_in_both_encodings(client: "openai.OpenAI") -> None:
    """Base64, which the client asks for unasked, and floats are the same vectors."""
    texts = ["a cat", "the price of copper"]

    packed = client.embeddings.create(model="smollm2:fast", input=texts)
    plain = client.embeddings.create(model="smollm2:fast", input=texts, encoding_format="float")

    assert [len(one.embedding) for one in packed.data] == [SMOLLM2_WIDTH] * 2
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-2)
    assert packed.usage.prompt_tokens > 0


def test_tools_reach_a_real_engine(fleet: Fleet, client: "openai.OpenAI") -> None:
    """Tools and the results of calls are read as they are read directly: the engine counts as many tokens."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    turns = [*HELLO, {"role": "assistant", "content": "", "tool_calls": [call]}]
    asked = {"messages": [*turns, {"role": "tool", "tool_call_id": "call_1", "content": "rain"}], "tools": [WEATHER]}

    said = client.chat.completions.create(model="smollm2", max_tokens=2, **asked)

    with openai.OpenAI(base_url=f"{fleet.engines['big']}/v1", api_key="none") as directly:
        same = directly.chat.completions.create(model=MODEL, max_tokens=2, **asked)
    assert said.usage.prompt_tokens == same.usage.prompt_tokens > 100


@pytest.mark.parametrize("stream", [False, True])
def test_calls_of_tools_come_back_whole(client: "openai.OpenAI", stream: bool) -> None:
    """The scripted engine's call arrives with its arguments, in one piece or put together from a stream."""
    asked = {"model": "tool-caller", "messages": HELLO, "tools": [WEATHER]}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            answer = events.get_final_completion()
    else:
        answer = client.chat.completions.create(**asked)

    [call] = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Oslo"})
    assert answer.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("error", "code", "asked"),
    [
        ("NotFoundError", "model_not_found", {"model": "nobody"}),
        ("BadRequestError", "invalid_value", {"messages": []}),
        ("BadRequestError", "context_length_exceeded", {"messages": [{"role": "user", "content": "word " * 2000}]}),
        ("AuthenticationError", "invalid_api_key", {"extra_headers": {"authorization": "Bearer wrong"}}),
    ],
)
def test_refusals_are_the_clients_own_exceptions(client: "openai.OpenAI", error: str, code: str, asked: dict) -> None:
    """Each status becomes the exception that its users catch, with the code."""
    with pytest.raises(getattr(openai, error)) as caught:
        client.chat.completions.create(**({"model": "smollm2", "messages": HELLO} | asked))

    assert caught.value.code == code


def test_who_asks_too_often_is_told_when_to_come_back(fleet: Fleet) -> None:
    """The second request in a minute is a RateLimitError with `Retry-After`."""
    with openai.OpenAI(base_url=fleet.url, api_key=fleet.keys["bob"], max_retries=0) as client:
        client.chat.completions.create(model="tool-caller", messages=HELLO)
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model="tool-caller", messages=HELLO)

    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60


def test_the_client_retries_what_an_engine_failed(fleet: Fleet, client: "openai.OpenAI") -> None:
    """Where no other system serves the model the engine's 500 passes, and the client's second request is answered."""
    before, fleet.caller.failures = len(fleet.caller.bodies), 1

    answer = client.chat.completions.create(model="tool-caller", messages=HELLO)

    assert answer.choices[0].message.tool_calls
    assert len(fleet.caller.bodies) - before == 2


def test_an_abandoned_stream_ends_at_the_engine_too(fleet: Fleet, client: "openai.OpenAI") -> None:
    """Its row says that the client has gone, long before the answer would have ended."""
    name = {"x-request-id": "abandoned"}
    stream = client.chat.completions.create(
        model="smollm2:eco", messages=HELLO, max_tokens=400, stream=True, extra_headers=name, **ON
    )
    next(iter(stream))
    stream.close()

    assert _eventually(lambda: _column(fleet, "outcome", "abandoned")) == "client_gone"


def test_attributed_joules_follow_an_answer(fleet: Fleet, client: "openai.OpenAI") -> None:
    """The node's agent counts, and seconds later the row has the request's part of it."""
    name = {"x-request-id": "metered"}

    client.chat.completions.create(model="smollm2", messages=HELLO, max_tokens=16, extra_headers=name)

    joules = _eventually(lambda: _column(fleet, "attributed_energy_j", "metered"))
    assert isinstance(joules, float)
    assert 0 < joules < 100


def test_models_are_listed_with_aliases_and_suffixes(client: "openai.OpenAI") -> None:
    """Whatever is listed may be asked for."""
    assert {"smollm2", "small", "smollm2:eco", "small:fast", "tool-caller"} <= {one.id for one in client.models.list()}


def _column(fleet: Fleet, column: str, request: str) -> object:
    """A column of the row of the request that its client called so; `None` where there is none yet."""
    with closing(sqlite3.connect(fleet.ledger)) as ledger:
        query = f"SELECT {column} FROM wattshed_requests WHERE client_request = ?"
        return next((value for (value,) in ledger.execute(query, (request,))), None)


def _eventually(look: Callable[[], object], within_s: float = 30.0) -> object:
    """The first thing there is to see."""
    until_s = time.monotonic() + within_s
    while (seen := look()) is None and time.monotonic() < until_s:
        time.sleep(0.1)
    return seen
