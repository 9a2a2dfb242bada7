"""The demo's engines: exact tokens, seconds and joules of measured machines, and faults on demand."""

import asyncio
import base64
import json
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from wattshed.domain.prediction import Prediction
from wattshed.gateway.demo.demo import DEMO_MODEL, DEMO_SYSTEMS, DemoFleet, DemoServer, demo_fleet, demo_machines
from wattshed.gateway.demo.faults import Fault
from wattshed.gateway.settings.assembly import Overrides
from wattshed.gateway.wire.client import Upstream
from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.http import UpstreamTimeouts
from wattshed.policies.fixed import AllTo

CHAT = "/v1/chat/completions"
FAST = 10_000.0
"""The real M1 Pro would take 2 minutes a test."""

Told = tuple[int, bytes]
"""Status and body."""


def body(prompt: str = "one two three", **more: object) -> dict[str, object]:
    """The body of a chat request."""
    return {"model": DEMO_MODEL, "messages": [{"role": "user", "content": prompt}], **more}


async def told(upstream: Upstream, path: str, document: object = None) -> Told:
    """The whole answer of a request: GET without a document, POST with one."""
    content = b"" if document is None else json.dumps(document).encode()
    answer = await upstream.send("GET" if document is None else "POST", path, (), content)
    try:
        return answer.status, b"".join([chunk async for chunk in answer.chunks])
    finally:
        answer.close()


def on_mac(
    use: Callable[[DemoServer, Upstream], Awaitable[Any]], *, speed_up: float = FAST, fault: Fault | None = None
) -> Any:
    """What `use` comes to, given a running M1 Pro and a client of it."""

    async def run() -> Any:
        server = DemoServer(demo_machines(speed_up)["mac"], fault=fault)
        upstream = Upstream(
            f"http://127.0.0.1:{await server.start()}", UpstreamTimeouts(first_byte_s=0.3, silence_s=0.3)
        )
        try:
            return await use(server, upstream)
        finally:
            upstream.close()
            await server.stop()

    return asyncio.run(run())


def asking(path: str, document: object) -> Callable[[DemoServer, Upstream], Awaitable[Told]]:
    """One request, as `on_mac` takes it."""
    return lambda _, upstream: told(upstream, path, document)


def answer(path: str, document: object) -> Any:
    """The JSON of one answer."""
    status, content = on_mac(asking(path, document))
    assert status == 200, content
    return json.loads(content)


def events(content: bytes) -> list[Any]:
    """The JSON of a stream's events; the end mark has to be there, at the end."""
    *said, last, rest = content.decode().split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in said]


def test_tokens_are_words() -> None:
    """Every word of the prompt is an input token, and every word of the answer an output token."""
    said = answer(CHAT, body("one two three", demo={"output_tokens": 7}))

    assert said["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 7,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    (choice,) = said["choices"]
    assert len(choice["message"]["content"].split()) == 7
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("cap", ["max_tokens", "max_completion_tokens"])
def test_the_cap_of_the_client_holds(cap: str) -> None:
    """No more tokens come than the client allows, and the answer says that it was cut."""
    said = answer(CHAT, body(demo={"output_tokens": 50}) | {cap: 4})

    assert said["usage"]["completion_tokens"] == 4
    assert said["choices"][0]["finish_reason"] == "length"


def test_the_same_prompt_has_the_same_length() -> None:
    """Without a wish the length of an answer hangs on the prompt alone."""
    lengths = [answer(CHAT, body(prompt))["usage"]["completion_tokens"] for prompt in ("a b", "a b", "a c")]

    assert lengths[0] == lengths[1] != lengths[2]


def test_a_stream_has_a_token_an_event_and_the_usage_that_was_asked_for() -> None:
    """Words come one by one with the role first and the reason last; usage comes if it was asked for."""
    document = body(stream=True, demo={"output_tokens": 3})

    plain = events(on_mac(asking(CHAT, document))[1])
    counted = events(on_mac(asking(CHAT, document | {"stream_options": {"include_usage": True}}))[1])

    deltas = [event["choices"][0]["delta"] for event in plain]
    assert deltas == [{"role": "assistant", "content": "lorem"}, {"content": " ipsum"}, {"content": " dolor"}]
    assert [event["choices"][0]["finish_reason"] for event in plain] == [None, None, "stop"]
    assert len(counted) == 4
    assert (counted[3]["choices"], counted[3]["usage"]["completion_tokens"]) == ([], 3)


def test_completions_and_embeddings_are_served() -> None:
    """The other two routes count alike; embeddings make no output, and come as floats or in base64."""
    text = answer("/v1/completions", {"model": "m", "prompt": "a b c d", "max_tokens": 2})
    plain = answer("/v1/embeddings", {"model": "m", "input": ["a b", "c"]})
    packed = answer("/v1/embeddings", {"model": "m", "input": ["a b", "c"], "encoding_format": "base64"})

    assert (text["object"], text["choices"][0]["text"]) == ("text_completion", "lorem ipsum")
    assert plain["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    vectors = [struct.unpack("<8f", base64.b64decode(one["embedding"])) for one in packed["data"]]
    assert np.allclose(vectors, [one["embedding"] for one in plain["data"]])


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_is_called_where_one_must_be(stream: bool) -> None:
    """With a required tool the answer is a call of it, whose arguments are JSON."""
    document = body(tools=[{"type": "function", "function": {"name": "say"}}], tool_choice="required", stream=stream)

    content = on_mac(asking(CHAT, document))[1]

    if stream:
        calls = [event["choices"][0]["delta"]["tool_calls"][0]["function"] for event in events(content)]
        call = {"name": calls[0]["name"], "arguments": "".join(call["arguments"] for call in calls)}
    else:
        (given,) = json.loads(content)["choices"][0]["message"]["tool_calls"]
        call = given["function"]
    assert call["name"] == "say"
    assert json.loads(call["arguments"])["words"].startswith("lorem ipsum")


@pytest.mark.parametrize("name", DEMO_SYSTEMS)
def test_pace_is_that_of_the_predictor(name: str) -> None:
    """The last of n tokens is there after R(m, n), the first after R(m, 1), and E(m, n) is spent by then."""
    machine = demo_machines()[name]

    pace = machine.pace(32, 64)

    expected = machine.predictor.expect(np.array([32, 32]), np.array([1, 64]))
    assert pace.after_s[[0, 1, 64]] == pytest.approx([0, *expected.runtime_s])
    assert pace.energy_j[[1, 64]] == pytest.approx(expected.energy_j)
    assert np.all(np.diff(pace.after_s) >= 0)
    assert pace.spent_j(1e9) == pytest.approx(expected.energy_j[1])


def test_long_answers_keep_the_pace() -> None:
    """Of a long answer the last token is exact, and none between is off by a thousandth of the whole."""
    machine = demo_machines()["a100"]
    n = np.arange(1, 3001)

    pace = machine.pace(32, 3000)

    exact = machine.predictor.expect(np.full_like(n, 32), n)
    assert pace.after_s[-1] == pytest.approx(exact.runtime_s[-1], rel=1e-12)
    assert np.abs(pace.after_s[1:] - exact.runtime_s).max() < exact.runtime_s[-1] / 1000


def test_speed_up_divides_seconds_and_leaves_joules() -> None:
    """A demo at ten times the speed draws ten times the power."""
    slow, fast = (demo_machines(factor)["a100"].pace(8, 8) for factor in (1, 10))

    assert fast.after_s == pytest.approx(slow.after_s / 10)
    assert fast.energy_j == pytest.approx(slow.energy_j)


def test_seconds_and_joules_are_what_they_should_be() -> None:
    """A request takes as long as its pace says, and the machine has spent exactly its joules."""

    async def use(server: DemoServer, upstream: Upstream) -> tuple[float, DemoServer]:
        started_at_s = asyncio.get_running_loop().time()
        await told(upstream, CHAT, body("word " * 32, demo={"output_tokens": 32}))
        return asyncio.get_running_loop().time() - started_at_s, server

    taken_s, server = on_mac(use, speed_up=80)

    pace = server.machine.pace(32, 32)
    assert pace.after_s[-1] <= taken_s < pace.after_s[-1] + 1
    (past,) = server.answered
    assert (past.input_tokens, past.output_tokens, past.complete) == (32, 32, True)
    assert past.energy_j == server.occupancy.energy_j == pytest.approx(pace.energy_j[-1])


def test_requests_take_turns() -> None:
    """Two requests on one slot follow one another, as one at a time was measured, and their joules add up."""

    async def use(server: DemoServer, upstream: Upstream) -> float:
        document = body(demo={"output_tokens": 20})
        started_at_s = asyncio.get_running_loop().time()
        await asyncio.gather(told(upstream, CHAT, document), told(upstream, CHAT, document))
        taken_s = asyncio.get_running_loop().time() - started_at_s
        one = server.machine.pace(3, 20)
        assert server.occupancy.energy_j == pytest.approx(2 * one.energy_j[-1])
        assert not server.occupancy.running
        return taken_s / float(one.after_s[-1])

    assert on_mac(use, speed_up=40) >= 2


def test_who_leaves_early_frees_the_slot_and_has_cost_less() -> None:
    """A client that goes away ends its run at once; its joules so far stay spent."""

    async def use(server: DemoServer, upstream: Upstream) -> None:
        given = await upstream.send(
            "POST", CHAT, (), json.dumps(body(stream=True, demo={"output_tokens": 400})).encode()
        )
        async with aclosing(as_generator(given.chunks)) as chunks:
            await anext(chunks)
        given.close()
        async with asyncio.timeout(2):
            while server.occupancy.running:
                await asyncio.sleep(0.001)
        (past,) = server.answered
        assert not past.complete
        assert 0 < past.energy_j < float(server.machine.pace(3, 400).energy_j[-1])
        assert past.energy_j == pytest.approx(server.occupancy.energy_j)

    on_mac(use, speed_up=100)


async def as_generator(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks, in something that can be closed."""
    async for chunk in chunks:
        yield chunk


REFUSED: Mapping[str, tuple[str, object, int, str]] = {
    "no JSON": (CHAT, "{", 400, "invalid_json"),
    "two choices": (CHAT, body(n=2), 400, "invalid_value"),
    "no tokens": (CHAT, body(demo={"output_tokens": 0}), 400, "invalid_value"),
    "too long": (CHAT, body("w " * 2048), 400, "context_length_exceeded"),
    "no such path": ("/v1/audio", {}, 404, "not_found"),
    "no such fault": ("/demo/fault", {"kind": "gremlins"}, 400, "invalid_json"),
    "fault of no time": ("/demo/fault", {"kind": "slow", "delay_s": -1}, 400, "invalid_json"),
}


@pytest.mark.parametrize(("path", "document", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(path: str, document: object, status: int, code: str) -> None:
    """Requests that no engine could serve get OpenAI's envelope."""
    found, content = on_mac(asking(path, document))

    assert (found, json.loads(content)["error"]["code"]) == (status, code)


def test_models_health_and_state_are_told() -> None:
    """An engine lists its model, says that it lives, and what it has spent."""

    async def use(_: DemoServer, upstream: Upstream) -> list[Any]:
        return [json.loads((await told(upstream, path))[1]) for path in ("/v1/models", "/health", "/demo/state")]

    models, health, state = on_mac(use)

    assert [model["id"] for model in models["data"]] == [DEMO_MODEL]
    assert health == {"status": "ok"}
    assert state == {"machine": "M1-Pro", "energy_j": 0.0, "running": 0, "waiting": 0, "answered": []}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("kind", "status"), [("status_500", 500), ("status_429", 429)])
def test_errors_on_demand(kind: Any, status: int, stream: bool) -> None:
    """An engine that fails says so before any event, in OpenAI's envelope."""
    found, content = on_mac(asking(CHAT, body(stream=stream)), fault=Fault(kind))

    assert found == status
    assert "error" in json.loads(content)


BREAKS = {
    "before any byte": (None, "dies", "gone_before_answer"),
    "after the head": (0, "dies", "broken_midway"),
    "after some tokens": (2, "dies", "broken_midway"),
    "silence before any byte": (None, "hangs", "timed_out"),
    "silence after the head": (0, "hangs", "timed_out"),
    "silence after some tokens": (2, "hangs", "timed_out"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("after_tokens", "kind", "reason"), BREAKS.values(), ids=BREAKS)
def test_engines_die_and_hang_when_told(after_tokens: int | None, kind: Any, reason: str, stream: bool) -> None:
    """Death and silence come before, at and after the first byte, and the next request is served."""

    async def use(server: DemoServer, upstream: Upstream) -> str:
        with pytest.raises(UpstreamError) as caught:
            await told(upstream, CHAT, body(stream=stream, demo={"output_tokens": 5}))
        assert (await told(upstream, CHAT, body()))[0] == 200
        assert not server.occupancy.running
        return caught.value.reason

    assert on_mac(use, fault=Fault(kind, 1, after_tokens=after_tokens)) == reason


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["garbage", "half_event"])
def test_broken_answers_end_like_whole_ones(kind: Any, stream: bool) -> None:
    """Garbage and halves are well-formed HTTP: only who reads the JSON can tell."""
    status, content = on_mac(asking(CHAT, body(stream=stream)), fault=Fault(kind, after_tokens=1))

    assert status == 200
    with pytest.raises((ValueError, AssertionError)):
        events(content) if stream else json.loads(content)


def test_slow_and_dripping_answers_are_whole() -> None:
    """Delays change when an answer comes and nothing else."""
    document = body(stream=True, demo={"output_tokens": 2})

    answers = [
        on_mac(asking(CHAT, document), fault=fault)[1]
        for fault in (None, Fault("slow", delay_s=0.05), Fault("drips", delay_s=0.0001))
    ]

    assert len(set(answers)) == 1


def test_faults_are_set_by_a_path_and_wear_off() -> None:
    """A fault for one request spoils one; an empty wish takes a lasting one away."""

    async def use(_: DemoServer, upstream: Upstream) -> list[int]:
        statuses = []
        for wish in ({"kind": "status_500", "requests": 1}, None, {"kind": "status_429"}, None, {}):
            if wish is not None:
                await told(upstream, "/demo/fault", wish)
            statuses.append((await told(upstream, CHAT, body()))[0])
        return statuses

    assert on_mac(use) == [500, 200, 429, 429, 200]


def test_the_fleet_comes_with_settings() -> None:
    """Two engines of one model, priced by what they cost, saved against the A100 alone."""

    async def use() -> tuple[DemoFleet, list[int]]:
        async with demo_fleet(speed_up=FAST) as fleet:
            settings = fleet.settings(Overrides(port=0))
            assert [system.url for system in settings.systems] == list(fleet.urls.values())
            assert settings.baseline == AllTo(1, "a100")
            upstreams = [Upstream(url) for url in fleet.urls.values()]
            statuses = [(await told(upstream, CHAT, body()))[0] for upstream in upstreams]
            for upstream in upstreams:
                upstream.close()
            return fleet, statuses

    fleet, statuses = asyncio.run(use())

    assert statuses == [200, 200]
    assert fleet.energy_j == sum(server.answered[-1].energy_j for server in fleet.servers.values()) > 0


def test_a_quick_fleet_is_predicted_to_be_quick() -> None:
    """The gateway's predictors know the speed-up: seconds and their uncertainty are divided, and joules are not."""

    async def settings_at(speed_up: float) -> Prediction:
        async with demo_fleet(speed_up=speed_up) as fleet:
            return fleet.settings().systems[0].serves[0].measured.predictor.predict(np.array([8]), np.array([64]))

    slow, quick = (asyncio.run(settings_at(speed_up)) for speed_up in (1, 50))

    assert quick.runtime_s == pytest.approx(slow.runtime_s / 50)
    assert quick.runtime_sd_s == pytest.approx(slow.runtime_sd_s / 50)
    assert quick.energy_j == pytest.approx(slow.energy_j)


def test_small_requests_are_cheaper_on_the_mac() -> None:
    """The fleet has something to decide: few tokens cost less on the M1 Pro, many on the A100."""
    machines = demo_machines()

    few, many = ([machines[name].pace(m, n).energy_j[-1] for name in ("mac", "a100")] for m, n in ((8, 16), (512, 256)))

    assert few[0] < few[1]
    assert many[0] > many[1]


def test_the_demo_loads_nothing_heavy() -> None:
    """The fleet starts without tables, solvers and plots."""
    program = (
        "import sys; from wattshed.gateway.demo.demo import demo_machines; demo_machines()\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert {"polars", "scipy", "matplotlib", "numba", "torch", "pandas"} & set(ran.stdout.split()) == set()
