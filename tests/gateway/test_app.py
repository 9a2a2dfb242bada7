"""The gateway from a client's side: every endpoint, on real sockets, in front of the demo fleet."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.scene import CHAT, Scene, played
from wattshed.errors import InputError
from wattshed.gateway.demo.faults import Fault
from wattshed.gateway.settings.keys_file import add_key
from wattshed.gateway.settings.settings import Secret
from wattshed.gateway.wire.http import Headers


def test_an_answer_comes_with_its_receipt() -> None:
    """Body, headers and row agree on the system, the tokens and the joules, and the baseline stands beside them."""

    async def play(at: Scene) -> None:
        said = await at.ask()

        receipt = said.json["energy"]
        [row] = at.rows
        assert said.status == 200
        assert isinstance(receipt, dict)
        assert receipt["system"] == said.header("x-routed-to") == row.system
        assert receipt["energy_joules"] == pytest.approx(row.hindsight_energy_j, rel=1e-5)
        assert float(said.header("x-energy-joules")) == pytest.approx(row.hindsight_energy_j, rel=1e-5)
        assert receipt["baseline"] == "a100"
        assert (row.outcome, row.output_tokens, row.attempts) == ("done", 8, 1)
        usage = said.json["usage"]
        assert isinstance(usage, dict)
        assert usage["completion_tokens"] == 8

    played(play)


def test_a_stream_passes_and_ends_with_its_receipt() -> None:
    """Every token is an event, `[DONE]` comes last, the receipt is a comment before it, and nobody sees our usage."""

    async def play(at: Scene) -> None:
        said = await at.ask(stream=True)

        assert said.header("content-type").startswith("text/event-stream")
        assert float(said.header("x-energy-estimated-joules")) > 0
        assert said.events[-1] == "[DONE]"
        assert not any('"usage"' in event for event in said.events)
        assert said.body.index(b": energy {") < said.body.index(b"data: [DONE]")
        [row] = at.rows
        assert (row.outcome, row.output_tokens, row.streamed) == ("done", 8, True)
        assert row.ttft_s is not None

    played(play)


def test_who_asks_for_usage_gets_it_with_the_receipt() -> None:
    """The last chunk has both."""

    async def play(at: Scene) -> None:
        said = await at.ask(stream=True, stream_options={"include_usage": True})

        last = json.loads(said.events[-2])
        assert last["choices"] == []
        assert last["usage"]["completion_tokens"] == 8
        assert last["energy"]["energy_joules"] > 0

    played(play)


def test_less_time_or_less_energy_by_suffix_header_and_wish() -> None:
    """`:fast` and lambda 0 go where it is quick, `:eco` where it is cheap, and a limit on time overrules energy."""

    async def play(at: Scene) -> None:
        fast = await at.ask(model="demo:fast")
        eco = await at.ask(model="demo:eco")
        by_header = await at.ask(headers={"x-wattshed-lambda": "0"})
        half_s = "0.00005"  # of the real machines, and the fleet is 10,000 times as fast
        in_time = await at.ask(headers={"x-wattshed-max-p95-seconds": half_s, "x-wattshed-output-tokens": "8"})

        routed = [said.header("x-routed-to") for said in (fast, eco, by_header, in_time)]
        assert routed == ["a100", "mac", "a100", "a100"]

    played(play)


def test_a_dry_run_says_where_and_why_and_sends_nothing() -> None:
    """Every candidate has its price with an interval."""

    async def play(at: Scene) -> None:
        said = await at.ask("/v1/route")

        candidates = said.json["candidates"]
        assert isinstance(candidates, list)
        assert {one["system"] for one in candidates} == {"mac", "a100"}
        assert all(one["lower_joules"] <= one["joules"] <= one["upper_joules"] for one in candidates)
        assert said.json["system"] in str(said.json["reason"])
        assert at.rows == []
        assert all(not server.answered for server in at.fleet.servers.values())

    played(play)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": "nobody"}, 404, "model_not_found"),
        ({"messages": []}, 400, "invalid_value"),
        ({"messages": [{"role": "user", "content": "word " * 5000}]}, 400, "context_length_exceeded"),
    ],
)
def test_a_bad_request_is_refused_in_openais_shape(fields: dict[str, object], status: int, code: str) -> None:
    """With the field that is wrong, and a row that says so; no engine is bothered."""

    async def play(at: Scene) -> None:
        said = await at.ask(**fields)

        error = said.json["error"]
        assert isinstance(error, dict)
        assert (said.status, error["code"]) == (status, code)
        assert [(row.outcome, row.failure) for row in at.rows] == [("refused", code)]

    played(play)


@pytest.mark.parametrize("header", ["x-wattshed-lambda", "x-wattshed-exchange-watts", "x-wattshed-max-joules"])
@pytest.mark.parametrize("value", ["nan", "-1", "much", "inf"])
def test_a_senseless_wish_is_refused(header: str, value: str) -> None:
    """400, and the header is named."""

    async def play(at: Scene) -> None:
        said = await at.ask(headers={header: value})

        assert said.status == 400
        assert header in said.body.decode()

    played(play)


def test_keys_open_and_limit(tmp_path: Path) -> None:
    """Without a key 401, with one 200 under its name, and beyond its allowance 429 with the seconds to wait."""
    keys = tmp_path / "keys.yaml"
    key = add_key(keys, "alice")
    keys.write_text(keys.read_text() + "  requests_per_minute: 2\n")

    async def play(at: Scene) -> None:
        bearer = {"authorization": f"Bearer {key}"}
        nobody = await at.ask()
        said = [await at.ask(headers=bearer) for _ in range(3)]

        assert nobody.status == 401
        assert [one.status for one in said] == [200, 200, 429]
        assert int(said[-1].header("retry-after")) == 30
        assert [row.key for row in at.rows] == [None, "alice", "alice", "alice"]

    played(play, keys_file=keys)


def test_a_clients_secrets_reach_no_engine_and_its_other_headers_do() -> None:
    """Authorization and cookies stay here, our own headers too; what the engine might want goes on."""

    async def play(at: Scene) -> None:
        seen = list[bytes]()
        core = at.gateway.core
        sending = core.upstreams[1].send

        async def spy(method: str, path: str, headers: Headers, body: bytes = b"", **more: Any) -> object:
            seen.extend(name for name, _ in headers)
            return await sending(method, path, headers, body, **more)

        core.upstreams[1].send = spy  # type: ignore[method-assign,assignment]  # listens at the last step
        secrets = {"authorization": "Bearer secret", "cookie": "a=b", "x-wattshed-lambda": "0", "x-mine": "yes"}
        await at.ask(headers=secrets)

        assert b"x-mine" in seen
        assert {b"authorization", b"cookie", b"x-wattshed-lambda"}.isdisjoint(seen)

    played(play)


@pytest.mark.parametrize("value", ["0", "1.5", "10000001", "1e12"])
def test_a_length_that_no_answer_has_is_refused(value: str) -> None:
    """What a client says of its answer's length is a count, and no more than any context holds."""

    async def play(at: Scene) -> None:
        assert (await at.ask(headers={"x-wattshed-output-tokens": value})).status == 400

    played(play)


def test_a_name_without_end_stays_out_of_the_ledger() -> None:
    """A request that its client calls too long a name gets ours, and the row has the beginning of it."""

    async def play(at: Scene) -> None:
        said = await at.ask(headers={"x-request-id": "n" * 5000})

        [row] = at.rows
        assert said.header("x-request-id") == row.request
        assert row.client_request == "n" * 128

    played(play)


def test_the_pages_of_whoever_runs_it() -> None:
    """Models, health, readiness and metrics, and 404 and 405 for the rest."""

    async def play(at: Scene) -> None:
        await at.ask()
        pages = {path: await at.send("GET", path) for path in ("/v1/models", "/health", "/ready", "/metrics", "/none")}
        wrong = await at.send("GET", CHAT)

        assert [said.status for said in pages.values()] == [200, 200, 200, 200, 404]
        assert "demo:eco" in pages["/v1/models"].body.decode()
        assert 'wattshed_requests_total{model="llama-2-7b"' in pages["/metrics"].body.decode()
        assert wrong.status == 405

    played(play)


def test_settings_are_read_again_with_the_admin_key_and_kept_when_they_are_wrong() -> None:
    """A reload needs its own key; what cannot be read changes nothing, and says why."""

    async def play(at: Scene) -> None:
        before = at.gateway.core
        nobody = await at.send("POST", "/admin/reload")
        refused = await at.send("POST", "/admin/reload", {"authorization": "Bearer client"})
        at.gateway._reread = _wrong
        failed = await at.send("POST", "/admin/reload", {"authorization": "Bearer admin"})
        assert at.gateway.core is before
        at.gateway._reread = lambda: replace(before.settings, suffixes={})
        done = await at.send("POST", "/admin/reload", {"authorization": "Bearer admin"})

        assert [nobody.status, refused.status, failed.status, done.status] == [401, 403, 422, 200]
        assert "no fleet" in failed.body.decode()
        assert (await at.ask(model="demo:eco")).status == 404
        assert (await at.ask()).status == 200

    played(play, admin_key=Secret("admin", source="the test"))


def _wrong() -> None:
    raise InputError("no fleet", path="gateway.yaml")


def test_the_dashboard_shows_what_was_served() -> None:
    """The page, its state once, and its state again and again."""

    async def play(at: Scene) -> None:
        await at.ask()
        page, state = await at.send("GET", "/dashboard"), await at.send("GET", "/dashboard/state")
        answer = await at.client.send("GET", "/dashboard/events", ())
        event = await anext(aiter(answer.chunks))
        answer.close()

        assert b"<html" in page.body
        assert {one["name"] for one in state.json["systems"]} == {"mac", "a100"}  # type: ignore[attr-defined]  # JSON
        assert state.json["totals"]["requests"] == 1  # type: ignore[index]  # JSON
        assert event.startswith(b"data: {")

    played(play)


def test_what_failed_before_is_waiting_and_not_service() -> None:
    """After a retry the row tells the seconds of its last attempt from those before, with their prediction."""

    async def play(at: Scene) -> None:
        await at.ask()

        (row,) = at.rows
        assert (row.attempts, row.system) == (2, "a100")
        assert 0.5 <= (row.wait_s or 0.0) < row.runtime_s
        bounds_s = (row.hindsight_runtime_lower_s, row.hindsight_runtime_s, row.hindsight_runtime_upper_s)
        assert None not in bounds_s
        assert sorted(bounds_s, key=float) == list(bounds_s)  # type: ignore[arg-type]  # none is None

    played(play, faults={"mac": Fault("hangs")})
