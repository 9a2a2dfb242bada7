"""An answer that is poured: every byte once and in order, at once where there is room."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.gateway.wire.answer import HIGH_WATER_BYTES, Answer
from wattshed.gateway.wire.failures import ClientGone, UpstreamError

BROKEN = UpstreamError("broken_midway", "closed the connection in the middle of an answer")


class Line:
    """A connection that counts what is asked of it."""

    def __init__(self) -> None:
        self.resumed = self.aborted = 0

    def resume(self) -> None:
        """There is room again."""
        self.resumed += 1

    def abort(self) -> None:
        """Close at once."""
        self.aborted += 1


class Client:
    """Takes pieces, `room` of them before it has to be waited for; a turn of the loop clears it."""

    def __init__(self, room: int) -> None:
        self.got: list[bytes] = []
        self.waits = 0
        self._room = self._left = room

    def sink(self, piece: bytes) -> bool:
        """Take a piece."""
        assert self._left > 0, "nothing may come while there is no room"
        self.got.append(piece)
        self._left -= 1
        return self._left > 0

    async def cleared(self) -> None:
        """Make room."""
        await asyncio.sleep(0)
        self.waits += 1
        self._left = self._room


def poured(
    client: Client, feed: Callable[[Answer], Awaitable[None]], sink: Callable[[bytes], bool] | None = None
) -> None:
    """Pour an answer that `feed` brings in into the client."""

    async def test() -> None:
        answer = Answer(Line())
        async with asyncio.timeout(5):
            feeding = asyncio.ensure_future(feed(answer))
            try:
                await answer.pour(sink or client.sink, client.cleared)
            finally:
                await feeding

    asyncio.run(test())


def test_a_piece_is_passed_on_within_the_read_that_brings_it() -> None:
    """Where there is room nobody waits for a turn of the loop."""
    client, seen = Client(room=9), list[bytes]()

    async def feed(answer: Answer) -> None:
        await asyncio.sleep(0)
        for piece in (b"a", b"b"):
            assert answer.piece_came(piece)
            seen.append(b"".join(client.got))
        answer.ended()

    poured(client, feed)

    assert seen == [b"a", b"ab"]


@settings(deadline=None, max_examples=50, derandomize=True)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=3), max_size=20),
    turns=st.lists(st.integers(0, 2), min_size=20, max_size=20),
    room=st.integers(1, 4),
)
def test_every_byte_comes_once_and_in_order(pieces: list[bytes], turns: list[int], room: int) -> None:
    """However slowly the client reads, and however the pieces come."""
    client = Client(room)

    async def feed(answer: Answer) -> None:
        for piece, pause in zip(pieces, turns, strict=False):
            answer.piece_came(piece)
            for _ in range(pause):
                await asyncio.sleep(0)
        answer.ended()

    poured(client, feed)

    assert b"".join(client.got) == b"".join(pieces)


def test_a_client_without_room_slows_the_engine_down() -> None:
    """What is held while nobody reads fills up, and then the socket is left alone."""
    client, rooms = Client(room=1), list[bool]()

    async def feed(answer: Answer) -> None:
        await asyncio.sleep(0)
        rooms.extend(answer.piece_came(bytes(HIGH_WATER_BYTES)) for _ in range(2))
        answer.ended()

    poured(client, feed)

    assert rooms == [True, False]
    assert client.waits == 2


def test_what_came_before_a_failure_is_passed_on() -> None:
    """The client gets all there was, and then it is told."""
    client = Client(room=9)

    async def feed(answer: Answer) -> None:
        answer.piece_came(b"a")
        answer.ended(BROKEN)
        await asyncio.sleep(0)

    with pytest.raises(UpstreamError) as caught:
        poured(client, feed)

    assert caught.value.reason == "broken_midway"
    assert client.got == [b"a"]


@pytest.mark.parametrize("error", [ClientGone("left"), BROKEN, RuntimeError("a defect")])
def test_what_the_sink_raises_comes_out_where_it_is_poured(error: Exception) -> None:
    """Never in the read, where it would be taken for the engine's; and nothing more is given to the sink."""
    calls = []

    def sink(piece: bytes) -> bool:
        calls.append(piece)
        raise error

    async def feed(answer: Answer) -> None:
        await asyncio.sleep(0)
        answer.piece_came(b"a")
        answer.piece_came(b"b")
        answer.ended()

    with pytest.raises(type(error)):
        poured(Client(room=9), feed, sink)

    assert calls == [b"a"]


def test_who_stops_pouring_closes_the_connection() -> None:
    """Cancelled in the middle, the engine hears of it at once."""

    async def test() -> int:
        line = Line()
        answer = Answer(line)
        task = asyncio.create_task(answer.pour(lambda _: True, Client(room=9).cleared))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return line.aborted

    assert asyncio.run(test()) == 1
