"""The fuzzing of `test_fuzz.py` for as long as there is time, and every request read by a second parser.

WATTSHED_FUZZ_S sets the seconds, of which each test takes its share; 60 if it is not set.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from time import monotonic

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.gateway import fuzz_rules
from tests.gateway.fuzz_texts import answers, requests, sound_requests
from tests.gateway.fuzzing import stage
from wattshed.gateway.wire.client import Upstream
from wattshed.gateway.wire.http import WireLimits, forwardable
from wattshed.gateway.wire.reading import RequestReader

FUZZ_S = float(os.environ.get("WATTSHED_FUZZ_S", "60"))
AT_ONCE = 200

pytestmark = [pytest.mark.slow, pytest.mark.timeout(FUZZ_S + 120)]


def fuzzed(rule: Callable[..., None], share: float, **drawn: st.SearchStrategy[object]) -> None:
    """Hold a rule for a share of the time, each round of examples with a seed of its own."""
    until_s = monotonic() + FUZZ_S * share
    for serial in count():
        if monotonic() > until_s:
            break
        settled = settings(max_examples=AT_ONCE, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        seed(serial)(settled(given(**drawn)(rule)))()


def test_no_request_breaks_the_gateway() -> None:
    """As in `test_fuzz.py`."""
    with stage(scripted=False) as play:

        def rule(sent: object) -> None:
            fuzz_rules.any_request(play, sent)  # type: ignore[arg-type]  # drawn below

        fuzzed(rule, 0.35, sent=requests())


def test_no_answer_breaks_the_gateway() -> None:
    """As in `test_fuzz.py`."""
    with stage(scripted=True) as play:

        def rule(sent: object, said: object) -> None:
            fuzz_rules.any_answer(play, sent, said)  # type: ignore[arg-type]  # drawn below

        fuzzed(rule, 0.4, sent=sound_requests(), said=answers())


def test_streams_do_not_depend_on_how_they_are_cut() -> None:
    """As in `test_fuzz.py`."""
    said = st.lists(fuzz_rules.EVENTS, max_size=8).map(b"".join)

    fuzzed(fuzz_rules.any_cut, 0.1, said=said, cuts=fuzz_rules.CUTS, wants_usage=st.booleans())


def test_a_second_parser_reads_the_same() -> None:
    """What we take for a request is the same to h11, as it came and as it goes out: whole, and nothing after it."""
    pytest.importorskip("h11", reason="needs pip install h11")
    engine = Upstream("http://engine")

    def rule(sent: object) -> None:
        pieces = sent.pieces  # type: ignore[attr-defined]  # drawn below
        reader = RequestReader(WireLimits(), "")
        ours = [one.request for piece in pieces for one in reader.feed(piece)]
        for one, other in zip(ours, _read(b"".join(pieces)), strict=False):
            assert (one.method.encode(), one.target.encode(), one.body) == other
        for one in ours:
            outgoing = engine._message("POST", "/v1/completions", forwardable(one.headers), one.body)
            assert _read(outgoing) == [(b"POST", b"/v1/completions", one.body)]

    fuzzed(rule, 0.15, sent=requests())


def _read(text: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Method, target and body of each request as h11 reads them, until the text ends or makes no sense to it."""
    import h11

    connection, found = h11.Connection(h11.SERVER), list[tuple[bytes, bytes, bytes]]()
    connection.receive_data(text)
    request, body = h11.Request(method="GET", target="/", headers=[("host", "x")]), b""
    with suppress(h11.RemoteProtocolError):  # it may refuse what we take, as long as it reads nothing else
        while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                found.append((request.method, request.target, body))
                connection.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    break
                connection.start_next_cycle()
    return found
