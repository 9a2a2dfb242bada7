"""What one request costs inside the gateway: all of its own Python, with everything switched on, and no socket.

Both ends of the wire are memory. A client's bytes go into a real `Connection`, an engine's into a real `Outgoing`, and
what either writes is only looked at; between them lies all that `wattshed serve` does: keys, placing, receipts, rows,
metrics, and a ledger in SQLite whose thread counts too. What the kernel and the event loop's polling cost is left out,
so that two versions of the code can be held against each other on a busy machine: each figure is the least of some
passes. `--profile` prints where the time goes instead, for one pass.

    ms/request, /stream   CPU of the whole process; a stream has 64 chunks, each in a read of its own
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from gateway_wire import ANSWERED, ASKED, CHUNKS, DONE, EVENT, USAGE

from gateway import documents
from wattshed.gateway.app import Gateway
from wattshed.gateway.client import Upstream
from wattshed.gateway.connection import Connection
from wattshed.gateway.keys_file import add_key
from wattshed.gateway.ledger import Ledger
from wattshed.gateway.ledger_store import open_store
from wattshed.gateway.outgoing import Outgoing
from wattshed.gateway.server import Server
from wattshed.gateway.settings_file import read_settings
from wattshed.gateway.wire import loop_factory

REQUESTS, STREAMS, PASSES, AT_ONCE = 1000, 50, 5, 16
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n"
EVENTS: Final = (*[EVENT] * CHUNKS, USAGE + DONE)
ANSWERED_WHOLE: Final = (HEAD % b"application/json" + b"content-length: %d\r\n\r\n" % len(ANSWERED) + ANSWERED,)
STREAMED: Final = (
    HEAD % b"text/event-stream" + b"transfer-encoding: chunked\r\n\r\n",
    *(b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS),
    b"0\r\n\r\n",
)
"""What an engine sends, read by read."""


class Socket:
    """Takes every option."""

    def setsockopt(self, *_: int) -> None:
        """Nothing to set."""


class Memory(asyncio.Transport):
    """A transport to nowhere: `written` hears what is sent."""

    def __init__(self, written: Callable[[bytes], None]) -> None:
        super().__init__({"socket": Socket(), "peername": ("127.0.0.1", 1)})
        self.write = written  # type: ignore[assignment,method-assign]  # one call less, as in uvloop

    def is_closing(self) -> bool:
        """Never."""
        return False

    def abort(self) -> None:
        """Nothing is open."""


class Engine(Upstream):
    """An engine in memory, which answers as soon as it is asked, a stream chunk by chunk."""

    async def _connect(self) -> Outgoing:
        connection, loop = Outgoing(self), asyncio.get_running_loop()

        def answer(message: bytes) -> None:
            send(iter(STREAMED if b'"stream": true' in message else ANSWERED_WHOLE))

        def send(pieces: Iterator[bytes]) -> None:
            """One read a turn of the loop."""
            piece = next(pieces, None)
            if piece is not None:
                connection.data_received(piece)
                loop.call_soon(send, pieces)

        connection.connection_made(Memory(answer))
        self._connections.add(connection)
        return connection


def message(key: str, streamed: bytes) -> bytes:
    """What a client sends."""
    body = ASKED % streamed
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
    return head + b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n" % (key.encode(), len(body)) + body


async def asked(server: Server, sent: bytes, count: int) -> None:
    """So many exchanges, of which some run at once; each connection asks again when its answer has ended."""
    left, ended = count, asyncio.Event()

    def client() -> Connection:
        connection = Connection(server)

        def heard(written: bytes) -> None:
            nonlocal left
            if written.endswith((b"}", b"\r\n0\r\n\r\n", b"0\r\n\r\n")):
                left -= 1
                if left >= AT_ONCE:
                    asyncio.get_running_loop().call_soon(connection.data_received, sent)
                elif left == 0:
                    ended.set()

        connection.connection_made(Memory(heard))
        return connection

    for _ in range(AT_ONCE):
        client().data_received(sent)
    await ended.wait()


async def measured(systems: int, folder: Path, *, profile: bool) -> None:
    """Print the figures of one fleet."""
    key = add_key(folder / "keys.yaml", f"bench-{systems}")
    settings = read_settings(folder / f"ours-{systems}.yaml", os.environ)
    ledger = Ledger(open_store(str(folder / f"{systems}.sqlite")))
    gateway = Gateway(settings, ledger=ledger)
    gateway.core.upstreams = tuple(Engine(one.url, settings.upstream) for one in settings.systems)
    server = Server(gateway.answer, settings.wire)
    for name, streamed, count in (("request", b"false", REQUESTS), ("stream", b"true", STREAMS)):
        sent = message(key, streamed)
        await asked(server, sent, count)
        if profile:
            with cProfile.Profile() as profiler:
                await asked(server, sent, count)
            pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
            continue
        spent_s = []
        for _ in range(PASSES):
            began_s = time.process_time()
            await asked(server, sent, count)
            while ledger.state().waiting:
                await asyncio.sleep(0.01)
            spent_s.append((time.process_time() - began_s) / count)
        print(f"{systems:3} systems, CPU ms a {name:8}{min(spent_s) * 1e3:8.3f}")
    ledger.close()
    gateway.close()


def main() -> None:
    """Measure 2 and 10 systems."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true", help="say where the time goes instead")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, asyncio.Runner(loop_factory=loop_factory()) as runner:
        documents(Path(place), "http://127.0.0.1:9")
        for systems in (2, 10)[: 1 if chosen.profile else 2]:
            runner.run(measured(systems, Path(place), profile=chosen.profile))


if __name__ == "__main__":
    main()
