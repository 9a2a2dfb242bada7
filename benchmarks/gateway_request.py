"""What one request costs inside the gateway: all of its own Python, with everything switched on, and no socket.

Both ends of the wire are memory. A client's bytes go into a real `Connection`, an engine's into a real `Outgoing`, and
what either writes is only looked at; between them lies all that `wattshed serve` does: keys, placing, receipts, rows,
metrics, and a ledger in SQLite whose thread counts too. What the kernel and the event loop's polling cost is left out.
Each figure is the least of some passes. `--profile` prints where the time goes instead, for one pass.

    ms/request, /stream   CPU of the whole process; a stream has 64 chunks, each in a read of its own

`--against SRC` holds this version of the code against another one's `src`, in a checkout of its own, whose copy of this
script is run: two processes take turns in slices of some 60 ms, so that a machine which is now quick and now slow is so
for both. It prints the medians and that of the ratios.
"""

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `wattshed serve` does, before NumPy loads

from gateway_wire import ANSWERED, ASKED, CHUNKS, DONE, EVENT, USAGE

from gateway import documents
from wattshed.gateway.app import YOUNG_OBJECTS, Gateway
from wattshed.gateway.ledger.ledger import Ledger
from wattshed.gateway.ledger.store import open_store
from wattshed.gateway.settings.file import read_settings
from wattshed.gateway.settings.keys_file import add_key
from wattshed.gateway.wire.client import Upstream
from wattshed.gateway.wire.connection import Connection
from wattshed.gateway.wire.http import loop_factory
from wattshed.gateway.wire.outgoing import Outgoing
from wattshed.gateway.wire.server import Server

REQUESTS, STREAMS, PASSES, AT_ONCE = 1000, 50, 5, 16
SLICES, SLICE_REQUESTS, SLICE_STREAMS = 40, 120, 40
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
    """A transport of `end` to nowhere: `written` hears what is sent."""

    def __init__(self, end: asyncio.Protocol, written: Callable[[bytes], None]) -> None:
        super().__init__({"socket": Socket(), "peername": ("127.0.0.1", 1)})
        self._end = end
        self.write = written  # type: ignore[assignment,method-assign]  # one call less, as in uvloop

    def is_closing(self) -> bool:
        """Never."""
        return False

    def abort(self) -> None:
        """It is closed at once."""
        asyncio.get_running_loop().call_soon(self._end.connection_lost, None)


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

        connection.connection_made(Memory(connection, answer))
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

        connection.connection_made(Memory(connection, heard))
        return connection

    clients = [client() for _ in range(AT_ONCE)]
    for one in clients:
        one.data_received(sent)
    await ended.wait()
    await asyncio.sleep(0)  # the last task comes to its end
    for one in clients:
        one.drop()


@dataclass(frozen=True, slots=True)
class Served:
    """One fleet behind the gateway, as `wattshed serve` would serve it."""

    gateway: Gateway
    ledger: Ledger
    server: Server
    key: str

    @classmethod
    def of(cls, systems: int, folder: Path) -> "Served":
        """A fleet of so many systems, with engines in memory."""
        key = add_key(folder / "keys.yaml", f"bench-{systems}")
        settings = read_settings(folder / f"ours-{systems}.yaml", os.environ)
        ledger = Ledger(open_store(str(folder / f"{systems}.sqlite")))
        gateway = Gateway(settings, ledger=ledger)
        gateway.core.upstreams = tuple(Engine(one.url, settings.upstream) for one in settings.systems)
        return cls(gateway, ledger, Server(gateway.answer, settings.wire), key)

    async def spent_s(self, streamed: bytes, count: int) -> float:
        """CPU seconds of one of so many requests, with its row."""
        began_s = time.process_time()
        await asked(self.server, message(self.key, streamed), count)
        while self.ledger.state().waiting:
            await asyncio.sleep(0.01)
        return (time.process_time() - began_s) / count

    async def close(self) -> None:
        """Let go of files and connections."""
        self.ledger.close()
        self.gateway.close()


KINDS: Final = {"request": (b"false", REQUESTS, SLICE_REQUESTS), "stream": (b"true", STREAMS, SLICE_STREAMS)}
"""What is sent: the value of `stream`, how many in a pass, and how many in a slice."""


async def measured(served: Served, systems: int) -> None:
    """Print the figures of one fleet."""
    for name, (streamed, count, _) in KINDS.items():
        await asked(served.server, message(served.key, streamed), count)
        least_s = min([await served.spent_s(streamed, count) for _ in range(PASSES)])
        print(f"{systems:3} systems, CPU ms a {name:8}{least_s * 1e3:8.3f}")


async def profiled(served: Served) -> None:
    """Print where the time goes."""
    for streamed, count, _ in KINDS.values():
        await asked(served.server, message(served.key, streamed), count)
        with cProfile.Profile() as profiler:
            await asked(served.server, message(served.key, streamed), count)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


async def sliced(fleets: dict[int, Served]) -> None:
    """One of two processes that take turns: a line in says of what to run a slice, one out what it took."""
    for line in sys.stdin:
        systems, name = line.split()
        streamed, _, count = KINDS[name]
        print(await fleets[int(systems)].spent_s(streamed, count), flush=True)


def held_against(sources: Sequence[Path]) -> None:
    """Print medians of both versions, and how many times the CPU of the first the second takes."""
    twins = [
        subprocess.Popen(
            [sys.executable, source.parent / "benchmarks" / Path(__file__).name, "--slices"],
            env={**os.environ, "PYTHONPATH": str(source)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for source in sources
    ]
    for systems in (2, 10):
        for name in KINDS:
            turns = [[_slice_s(twin, systems, name) for twin in twins] for _ in range(SLICES + 1)][1:]
            ours_ms, theirs_ms = (median(column) * 1e3 for column in zip(*turns, strict=True))
            ratio = median(theirs_s / ours_s for ours_s, theirs_s in turns)
            what = f"{systems:3} systems, CPU ms a {name:8}"
            print(f"{what}{ours_ms:8.3f} here, {theirs_ms:8.3f} there, ratio {ratio:5.2f}")
    for twin in twins:
        twin.communicate()


def _slice_s(twin: "subprocess.Popen[str]", systems: int, name: str) -> float:
    assert twin.stdin is not None
    assert twin.stdout is not None
    print(systems, name, file=twin.stdin, flush=True)
    return float(twin.stdout.readline())


def main() -> None:
    """Measure 2 and 10 systems."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true", help="say where the time goes instead")
    parser.add_argument("--against", type=Path, metavar="SRC", help="the src of another version, to take turns with")
    parser.add_argument("--slices", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.against:
        held_against([Path(__file__).parents[1] / "src", chosen.against.absolute()])
        return
    with tempfile.TemporaryDirectory() as place, asyncio.Runner(loop_factory=loop_factory()) as runner:
        folder = Path(place)
        documents(folder, "http://127.0.0.1:9")
        fleets = {systems: Served.of(systems, folder) for systems in (2, 10)}
        gc.collect()  # the collector as `wattshed serve` has it
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 20, 20)
        if chosen.slices:
            runner.run(sliced(fleets))
        elif chosen.profile:
            runner.run(profiled(fleets[2]))
        else:
            for systems, served in fleets.items():
                runner.run(measured(served, systems))
        for served in fleets.values():
            runner.run(served.close())


if __name__ == "__main__":
    main()
