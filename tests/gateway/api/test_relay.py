"""Streams on their way through: nothing is held that could go on, and the receipt comes last."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.gateway.api.receipt import Receipt
from wattshed.gateway.api.relay import Relay
from wattshed.gateway.api.usage import Usage
from wattshed.gateway.wire.failures import UpstreamError

TEXT = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
RECEIPT = Receipt(system="mac", model="m", choice="argmin", energy_j=3.5, method="predicted")


@settings(deadline=None, max_examples=50)
@given(cuts=st.lists(st.integers(0, 400), max_size=30), wants_usage=st.booleans(), crlf=st.booleans())
def test_the_client_gets_the_engines_bytes(cuts: list[int], wants_usage: bool, crlf: bool) -> None:
    """However a stream is cut, text passes byte for byte, usage is noted, and the rest waits for the end."""
    text = (TEXT * 3 + b": ping\n\n" + TEXT).replace(b"\n", b"\r\n" if crlf else b"\n")
    stream = text + USAGE + DONE
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    relay = Relay(wants_usage=wants_usage)

    sent = b"".join(relay.take(stream[start:stop]) for start, stop in pairwise(edges))

    assert sent == text
    assert relay.ending(None) == (USAGE if wants_usage else b"") + DONE
    assert (relay.usage, relay.done, relay.failed, relay.torn) == (Usage(7, 2), True, False, False)


@pytest.mark.parametrize("wants_usage", [True, False])
def test_the_receipt_comes_before_done(wants_usage: bool) -> None:
    """It stands in the last chunk, if the client gets that, and in a comment, if it does not."""
    relay = Relay(wants_usage=wants_usage)
    relay.take(TEXT + USAGE + DONE)

    *chunk, comment, done, rest = relay.ending(RECEIPT).split(b"\n\n")

    assert (done, rest) == (b"data: [DONE]", b"")
    assert json.loads(comment.removeprefix(b": energy "))["energy_joules"] == 3.5
    assert [json.loads(one.removeprefix(b"data: "))["energy"]["system"] for one in chunk] == ["mac"] * wants_usage


def test_a_chunk_goes_on_at_once() -> None:
    """What came whole leaves whole, before the next comes, and text that looks like more is text."""
    relay = Relay(wants_usage=False)
    tricky = b'data: {"choices":[{"delta":{"content":"\\"usage\\" [DONE] \\"error\\""}}]}\n\n'

    assert [relay.take(one) for one in (TEXT, tricky, TEXT + TEXT)] == [TEXT, tricky, TEXT + TEXT]
    assert (relay.done, relay.failed) == (False, False)


@settings(deadline=None, max_examples=50)
@given(
    said=st.lists(
        st.sampled_from(
            ["Hi", "", " there", '"usage"', "[DONE]", '"', "\\", 'x"},"error":{', "finish_reason", "\n\n", "é"]
        ),
        min_size=1,
        max_size=8,
    ),
    last=st.sampled_from([b"", b',"usage":{"prompt_tokens":7,"completion_tokens":2}', b',"error":{"message":"m"}']),
    reason=st.booleans(),
)
def test_events_that_are_alike_hide_nothing(said: list[str], last: bytes, reason: bool) -> None:
    """However much an event looks like those before, what it says beside its text is heard."""
    relay = Relay(wants_usage=False)
    events = [b'data: {"choices":[{"delta":{"content":%b}}]}\n\n' % json.dumps(text).encode() for text in said]
    ending = b'"finish_reason":"stop"' if reason else b'"finish_reason":null'
    events.append(b'data: {"choices":[{"delta":{"content":"Hi"},%b}]%b}\n\n' % (ending, last))

    sent = [relay.take(event) for event in events]

    assert sent == events
    assert (relay.usage is not None, relay.failed) == (b'"usage"' in last, b'"error"' in last)
    assert relay.complete == (reason or bool(last))


def test_usage_beside_text_goes_on() -> None:
    """Some engines count in their last chunk of text: that is the client's."""
    relay = Relay(wants_usage=False)
    last = b'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'

    assert relay.take(last) == last
    assert relay.usage == Usage(7, 2)


@pytest.mark.parametrize("more", [b"", USAGE])
def test_usage_beside_the_last_text_gets_the_receipt(more: bytes) -> None:
    """Who asked for usage gets the receipt beside it, also where the last text has it, as `transformers serve` does."""
    relay = Relay(wants_usage=True)
    last = (
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
    )

    assert relay.take(TEXT + last + more) == TEXT

    *chunks, _, _ = relay.ending(RECEIPT).split(b"\n\n")
    said = [json.loads(chunk.removeprefix(b"data: ")) for chunk in chunks]
    assert ["energy" in chunk for chunk in said] == [False] * bool(more) + [True]
    assert said[0]["choices"][0]["finish_reason"] == "stop"


def test_half_an_event_is_never_sent() -> None:
    """A stream that breaks off is torn, and its last bytes stay here."""
    relay = Relay(wants_usage=False)

    assert relay.take(TEXT + TEXT[:20]) == TEXT
    assert relay.torn
    assert relay.ending(None) == b""


def test_an_error_in_the_stream_is_noted_and_passed_on() -> None:
    """The client sees what the engine said, and the gateway knows that it failed."""
    relay = Relay(wants_usage=False)
    error = b'data: {"error":{"message":"out of memory"}}\n\n'

    assert relay.take(error) == error
    assert relay.failed


@pytest.mark.parametrize(
    "end", [DONE, USAGE, TEXT.replace(b"}]}", b',"finish_reason":"stop"}]}')], ids=["done", "usage", "reason"]
)
@pytest.mark.parametrize("cut", [0, 1])
def test_a_stream_is_complete_when_the_engine_says_so(end: bytes, cut: int) -> None:
    """By its end mark, its count of tokens or its reason, however it is cut; text alone may always go on."""
    relay = Relay(wants_usage=False)
    relay.take(TEXT + TEXT.replace(b"Hi", b'\\"finish_reason\\":\\"stop\\"'))
    assert not relay.complete

    relay.take(end[:cut])
    relay.take(end[cut:])

    assert relay.complete


@pytest.mark.parametrize("said", [b"data: {oops\n\n", b"data: oops\r\n\r\n", TEXT + b"data: <html>\n\n"])
def test_an_event_that_is_no_object_is_an_error(said: bytes) -> None:
    """An official client would stumble over it; empty events are harmless."""
    relay = Relay(wants_usage=False)
    assert relay.take(b"data:\n\n") == b"data:\n\n"

    with pytest.raises(UpstreamError, match="no JSON object") as caught:
        relay.take(said)

    assert caught.value.reason == "malformed"
