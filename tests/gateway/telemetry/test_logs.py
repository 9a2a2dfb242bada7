"""Logs say what happened, a line a record, and never what was said or with which key."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from tests.gateway.scene import Scene, scene
from wattshed.errors import InputError
from wattshed.gateway.demo.faults import Fault
from wattshed.gateway.settings.settings import LogFormat, LogSettings, Secret
from wattshed.gateway.telemetry.logs import start_logs

PROMPT = "canary-prompt-7c1e"
KEYS = ("canary-key-of-a-client-91aa", "canary-admin-key-33bd")
FORMATS: tuple[LogFormat, ...] = ("text", "json")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The root logger as pytest has set it up, afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def written(settings: LogSettings) -> io.StringIO:
    """Where logs go from now on."""
    stream = io.StringIO()
    start_logs(settings, stream)
    return stream


def test_text_is_a_line_with_its_fields() -> None:
    """Level, logger, message and fields; a line break in a field cannot forge a record."""
    stream = written(LogSettings())

    logging.getLogger("wattshed.x").warning("it is so", extra={"system": "m1\nERROR wattshed: forged"})
    logging.getLogger("wattshed.x").debug("too much")

    (line,) = stream.getvalue().splitlines()
    assert line.endswith("WARNING wattshed.x: it is so system=m1\\nERROR wattshed: forged")


def test_json_is_an_object_a_line() -> None:
    """Programs find the instant, the level, the logger, the message and each field by its name."""
    stream = written(LogSettings("debug", "json"))

    logging.getLogger("wattshed.x").debug("it is so", extra={"rows": 3, "path": "a\nb"})

    record = json.loads(stream.getvalue())
    assert record.pop("at").endswith("+00:00")
    assert record == {
        "level": "debug",
        "logger": "wattshed.x",
        "message": "it is so",
        "fields": {"rows": 3, "path": "a\nb"},
    }


@pytest.mark.parametrize("form", FORMATS)
def test_only_errors_of_ours_are_quoted(form: LogFormat) -> None:
    """What a foreign error or message says may be a prompt: its class and its place are told, and no more."""
    stream = written(LogSettings(format=form))
    ours, log = InputError("is no ledger", fix="give another"), logging.getLogger("wattshed.x")

    for error in (KeyError(PROMPT), ours):
        try:
            raise error
        except (KeyError, InputError):
            log.exception("failed")
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: %r", KeyError(PROMPT))

    foreign, own, task = stream.getvalue().splitlines()
    assert PROMPT not in stream.getvalue()
    assert "KeyError (at test_logs.py:" in foreign
    assert "InputError: is no ledger; give another (at" in own
    assert "Task exception was never retrieved" in task


@pytest.mark.parametrize("form", FORMATS)
def test_no_prompt_and_no_key_is_logged(form: LogFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run at level debug with good, refused, failing and defective requests: canaries stand in no line."""
    stream = written(LogSettings("debug", form))
    bearer = {"authorization": f"Bearer {KEYS[0]}"}
    message = [{"role": "user", "content": PROMPT}]

    async def play() -> None:
        async with scene(admin_key=Secret(KEYS[1], source="test")) as at:
            await ask(at)

    async def ask(at: Scene) -> None:
        await at.ask(headers=bearer, messages=message)
        await at.ask(headers=bearer, messages=message, stream=True)
        await at.ask(headers=bearer, messages=message, model=f"no-{PROMPT}")
        await at.send("POST", "/v1/chat/completions", bearer, f"{{ {PROMPT}".encode())
        await at.send("POST", "/admin/reload", {"authorization": f"Bearer {KEYS[1]}"})
        for server in at.fleet.servers.values():
            server.fault = Fault("garbage")
        await at.ask(headers=bearer, messages=message)
        monkeypatch.setattr("wattshed.gateway.exchange.foresee", _defective)
        assert (await at.ask(headers=bearer, messages=message)).status == 500

    asyncio.run(play())

    assert "defect" in stream.getvalue()
    assert [canary for canary in (PROMPT, *KEYS) if canary in stream.getvalue()] == []


def _defective(*_: object) -> None:
    raise KeyError(PROMPT, *KEYS)
