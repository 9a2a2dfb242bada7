"""Refusals: one envelope for every defect, and when to come back."""

import json

import pytest

from wattshed.errors import WattshedError
from wattshed.gateway.wire.refusals import Refusal, sse_error, whole_s


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_the_envelope_is_openais(status: int, kind: str) -> None:
    """Message, type, param and code, and nothing else."""
    refusal = Refusal(status, "invalid_type", 'no "x"\r\nhere', param="x")

    assert json.loads(refusal.as_json()) == {
        "error": {"message": 'no "x"\r\nhere', "type": kind, "param": "x", "code": "invalid_type"}
    }


@pytest.mark.parametrize(("wait_s", "whole"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2), (90, 90)])
def test_the_wait_is_in_whole_seconds(wait_s: float, whole: int) -> None:
    """Nobody is told to come back before it makes sense, nor at once."""
    assert whole_s(wait_s) == whole
    assert (b"retry-after", str(whole).encode()) in Refusal(429, "overloaded", "full", wait_s).headers


def test_a_refusal_without_a_wait_names_none() -> None:
    """A defect of the request does not pass with time."""
    refusal = Refusal(400, "invalid_json", "no JSON")

    assert refusal.headers == ((b"content-type", b"application/json"),)
    assert str(refusal) == "no JSON"
    assert isinstance(refusal, WattshedError)


def test_in_a_stream_it_is_an_event_without_a_name() -> None:
    """Clients raise at an object with `error`, and break at events that have a name."""
    event = sse_error(Refusal(502, "upstream_failed", "gone\n\ndata: x"))

    assert event.startswith(b'data: {"error":')
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
