"""Whatever clients and engines say, however it is cut: a little of it here, more in `test_fuzz_slow.py`."""

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.gateway import fuzz_rules
from tests.gateway.fuzz_texts import Sent, answers, asking, requests, sound_requests
from tests.gateway.fuzzing import Play, stage

QUICK = settings(deadline=None, max_examples=50)
STREAMED = Sent((asking(b'{"model":"llama-2-7b","messages":[{"role":"user","content":"a"}],"stream":true}'),), True)


@pytest.fixture(scope="module")
def before_demo() -> Iterator[Play]:
    """A gateway in front of sound engines."""
    with stage(scripted=False) as play:
        yield play


@pytest.fixture(scope="module")
def before_any() -> Iterator[Play]:
    """A gateway in front of an engine that says anything."""
    with stage(scripted=True) as play:
        yield play


@QUICK
@given(sent=requests())
def test_no_request_breaks_the_gateway(before_demo: Play, sent: Sent) -> None:
    """Any bytes are answered in proper HTTP, or the connection closes; nothing is held and no defect is met."""
    fuzz_rules.any_request(before_demo, sent)


@QUICK
@given(sent=sound_requests(), said=answers())
@example(STREAMED, (b"HTTP/1.1 000 x\r\ncontent-length: 0\r\n\r\n",))
@example(STREAMED, (b"HTTP/1.1 200 OK\r\nX-Energy-Joules: 1\r\nSet-Cookie: a=b\r\ncontent-length: 2\r\n\r\n{}",))
@example(STREAMED, (b"HTTP/1.1 307 X\r\nlocation: http://elsewhere/\r\ncontent-length: 0\r\n\r\n",))
@example(STREAMED, (b'HTTP/1.1 400 X\r\ncontent-type: text/event-stream\r\ncontent-length: 12\r\n\r\n{"error": 1}',))
@example(STREAMED, (b'HTTP/1.1 200 OK\r\n\r\n{"usage":{"prompt_tokens":1' + b"0" * 30 + b"}}",))
def test_no_answer_breaks_the_gateway(before_any: Play, sent: Sent, said: tuple[bytes, ...]) -> None:
    """Whatever an engine says, the client hears one proper answer, and joules only where tokens were counted."""
    fuzz_rules.any_answer(before_any, sent, said)


@QUICK
@given(said=st.lists(fuzz_rules.EVENTS, max_size=8).map(b"".join), cuts=fuzz_rules.CUTS, wants_usage=st.booleans())
def test_streams_do_not_depend_on_how_they_are_cut(said: bytes, cuts: list[int], wants_usage: bool) -> None:
    """A client gets the same bytes of a stream, and the gateway learns the same of it, wherever the network cuts."""
    fuzz_rules.any_cut(said, cuts, wants_usage)
