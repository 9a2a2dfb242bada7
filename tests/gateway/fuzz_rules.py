"""The rules that the fuzzing holds, for as many examples as whoever calls them has time."""

import json
import re

from hypothesis import strategies as st

from tests.gateway.fuzz_texts import TEXTS, Sent, cut
from tests.gateway.fuzzing import Heard, Play
from wattshed.domain.schema import RECEIPT_HEADERS
from wattshed.gateway.api.relay import Relay

EVENTS = st.sampled_from([*TEXTS, TEXTS[0].replace(b"\n", b"\r\n"), TEXTS[0].replace(b"\n", b"\r")])
CUTS = st.lists(st.integers(0, 600), max_size=12)

OURS = [one.name.lower().encode() for one in RECEIPT_HEADERS] + [b"x-request-id", b"content-type"]
_JOULES = re.compile(rb'"energy_joules":[0-9-]')
_OUTCOMES = {"done", "failed", "broken"}


def any_request(play: Play, sent: Sent) -> None:
    """Answers are proper HTTP/1.1, as many as there were requests at most; refusals have OpenAI's envelope."""
    played = play(sent, ())

    final = [one for one in played.heard if one.status >= 200]
    assert len(final) <= b"".join(sent.pieces).count(b"HTTP/1.1") + 1
    assert all(_has_envelope(one) for one in final if one.status >= 400)


def any_answer(play: Play, sent: Sent, said: tuple[bytes, ...]) -> None:
    """One answer, one row, each header once; joules are there only for tokens that were counted."""
    played = play(sent, said)

    [heard], [row] = played.heard, played.rows
    assert row.outcome in _OUTCOMES
    assert not heard.torn
    assert heard.status not in range(300, 400)
    assert b"set-cookie" not in dict(heard.fields)
    assert all(len(heard.values(name)) <= 1 for name in OURS)
    assert row.output_tokens is not None or not _JOULES.search(heard.body)
    if sent.streams and heard.values(b"content-type") == [b"text/event-stream"] and heard.status == 200:
        assert heard.body.endswith((b"\n\n", b"\r\r", b"\r\n\r\n", b"\n", b"\r")) or not heard.body
        assert row.outcome == "done" or b'"error"' in heard.body


def any_cut(said: bytes, cuts: list[int], wants_usage: bool) -> None:
    """Cut or not, the same."""
    whole, parts = Relay(wants_usage=wants_usage), Relay(wants_usage=wants_usage)

    at_once = whole.take(said)
    bit_by_bit = b"".join([parts.take(piece) for piece in cut(said, cuts)])

    assert bit_by_bit + parts.ending(None) == at_once + whole.ending(None)
    assert (parts.usage, parts.done, parts.failed, parts.complete, parts.torn) == (
        *(whole.usage, whole.done, whole.failed, whole.complete, whole.torn),
    )


def _has_envelope(heard: Heard) -> bool:
    if not heard.body:
        return True  # HEAD
    error = json.loads(heard.body)["error"]
    return {"message", "type", "param", "code"} <= set(error)
