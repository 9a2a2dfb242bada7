"""What a bare proxy costs: ours against aiohttp's, and against vllm-router where its command is on the PATH.

All stand before the same upstream, which answers at once; none has keys, receipts, metrics or a ledger switched on. One
run takes them in turn, round by round, so that a busy machine is busy for all: read the ratios. CPU seconds are those
of the proxy's process, threads included; `added p50` is over one kept connection, against the upstream itself.

Run by `make bench`. To see the peer: `pip install vllm-router` into an environment of its own, and put it on the PATH.
"""

import asyncio
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import psutil
from aiohttp import web

from wattshed.gateway.wire.client import Upstream
from wattshed.gateway.wire.http import Headers, Request, forwardable, loop_factory
from wattshed.gateway.wire.server import Reply, Server

ROUNDS, REQUESTS, STREAMS, CHUNKS, AT_ONCE = 5, 2_000, 100, 64, 16
PACE_S = 0.001
"""Between two chunks of a stream, so that each is forwarded by itself, as tokens are."""

JSON = ((b"content-type", b"application/json"),)
ASKED = b'{"model": "m", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "stream": %b}'
ANSWERED = (
    b'{"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "message": '
    b'{"role": "assistant", "content": "It is not."}, "finish_reason": "stop"}], "usage": '
    b'{"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}}'
)
EVENT = (
    b'data: {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": '
    b'[{"index": 0, "delta": {"content": " sky"}, "finish_reason": null}]}\n\n'
)
USAGE = (
    b'data: {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": '
    b'{"prompt_tokens": 9, "completion_tokens": 64, "total_tokens": 73}}\n\n'
)
MODELS = b'{"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm"}]}'
DONE = b"data: [DONE]\n\n"


async def upstream(port: int) -> None:
    """Answers at once, or streams `CHUNKS` events; whatever a router asks before that, it says yes, and has `m`."""

    async def answer(request: Request, reply: Reply) -> None:
        if request.method == "GET":
            await reply.whole(200, JSON, MODELS)
            return
        if b'"stream":true' not in request.body.replace(b" ", b""):  # some routers write the body anew
            await reply.whole(200, JSON, ANSWERED)
            return
        await reply.start(200, ((b"content-type", b"text/event-stream"),))
        for _ in range(CHUNKS):
            await reply.send(EVENT)
            await asyncio.sleep(PACE_S)
        await reply.send(USAGE + DONE if b"include_usage" in request.body else DONE)
        await reply.end()

    await Server(answer).start("127.0.0.1", port)
    await asyncio.Event().wait()


async def ours(port: int, engine_port: int) -> None:
    """The proxy of this package's parts."""
    engine = Upstream(f"http://127.0.0.1:{engine_port}")

    async def forward(request: Request, reply: Reply) -> None:
        answer = await engine.send(request.method, request.target, forwardable(request.headers), request.body)
        with closing(answer):
            if (b"content-type", b"text/event-stream") not in answer.headers:
                await reply.whole(answer.status, answer.headers, await answer.whole(1 << 20))
                return
            await reply.start(answer.status, answer.headers)
            async for chunk in answer.chunks:
                await reply.send(chunk)
            await reply.end()

    await Server(forward).start("127.0.0.1", port)
    await asyncio.Event().wait()


async def bare_aiohttp(port: int, engine_port: int) -> None:
    """The same proxy of aiohttp's server and client."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)
    engine = f"http://127.0.0.1:{engine_port}"
    passed = ("Content-Type", "Accept", "User-Agent")

    async def forward(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name: request.headers[name] for name in passed if name in request.headers}
        async with session.request(request.method, engine + request.path_qs, data=body, headers=headers) as answer:
            told = {"Content-Type": answer.headers["Content-Type"]}
            if answer.content_type != "text/event-stream":
                return web.Response(status=answer.status, headers=told, body=await answer.read())
            reply = web.StreamResponse(status=answer.status, headers=told)
            await reply.prepare(request)
            async for chunk in answer.content.iter_any():
                await reply.write(chunk)
            await reply.write_eof()
            return reply

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


ROLES = {"upstream": upstream, "ours": ours, "aiohttp": bare_aiohttp}


@dataclass
class Path:
    """One way to the upstream, and what was measured on it, a value a round."""

    name: str
    port: int
    process: psutil.Process
    cpu_per_request_s: list[float] = field(default_factory=list)
    cpu_per_stream_s: list[float] = field(default_factory=list)
    p50_s: list[float] = field(default_factory=list)

    async def measure(self) -> None:
        """One round."""
        client = Upstream(f"http://127.0.0.1:{self.port}")
        self.cpu_per_request_s.append(await self._cpu_s(partial(ask, client, b"false"), REQUESTS))
        self.cpu_per_stream_s.append(await self._cpu_s(partial(ask, client, b"true"), STREAMS))
        self.p50_s.append(statistics.median([await timed_s(client) async for _ in times(500)]))
        client.close()

    async def _cpu_s(self, action: Callable[[], Awaitable[None]], count: int) -> float:
        """CPU seconds of the proxy for one action, of many that run `AT_ONCE`."""
        started_s = cpu_s(self.process)
        left = iter(range(count))

        async def work() -> None:
            for _ in left:
                await action()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return (cpu_s(self.process) - started_s) / count

    def row(self, direct_s: float) -> str:
        """A line of the table."""
        request_s, stream_s = statistics.median(self.cpu_per_request_s), statistics.median(self.cpu_per_stream_s)
        added_s = statistics.median(self.p50_s) - direct_s
        rss_mb = self.process.memory_info().rss / 1e6
        return f"{self.name:14}{request_s * 1e3:10.3f}{stream_s * 1e3:10.3f}{added_s * 1e3:10.3f}{rss_mb:8.0f}"


async def times(count: int) -> AsyncIterator[int]:
    """Numbers, for an asynchronous comprehension."""
    for number in range(count):
        yield number


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process and all its threads so far, ended ones too.

    By its clock, to the nanosecond, as clock_getcpuclockid(3) numbers it on Linux; /proc and psutil count ticks of
    10 ms, and a router spends eight of those on 1,000 requests.
    """
    return time.clock_gettime(~process.pid << 3 | 2)


async def ask(client: Upstream, streamed: bytes, headers: Headers = JSON) -> None:
    """One exchange, read to its end."""
    answer = await client.send("POST", "/v1/chat/completions", headers, ASKED % streamed)
    body = await answer.whole(1 << 20)
    assert answer.status == 200, body
    assert body.count(b'content":') == (CHUNKS if streamed == b"true" else 1)


async def timed_s(client: Upstream) -> float:
    """Seconds of one exchange."""
    began_s = time.perf_counter()
    await ask(client, b"false")
    return time.perf_counter() - began_s


@contextmanager
def running(command: list[str], port: int) -> Iterator[psutil.Process]:
    """A process that has come to listen on its port."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(300):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def role(name: str, *ports: int) -> list[str]:
    """The command of one of the processes in this file."""
    return [sys.executable, __file__, name, *map(str, ports)]


def commands(engine_port: int) -> Iterator[tuple[str, int, list[str]]]:
    """Every proxy: name, port and command."""
    for name in ("ours", "aiohttp"):
        yield name, (port := free_port()), role(name, port, engine_port)
    router = shutil.which("vllm-router")
    if router is not None:
        port, engine = free_port(), f"http://127.0.0.1:{engine_port}"
        rest = ["--policy", "round_robin", "--log-level", "error", "--prometheus-port", str(free_port())]
        yield "vllm-router", port, [router, "--host", "127.0.0.1", "--port", str(port), "--worker-urls", engine, *rest]


async def measured(paths: list[Path]) -> None:
    """All rounds; the first is a warm-up."""
    for turn in range(ROUNDS + 1):
        for path in paths:
            await path.measure()
            if turn == 0:
                path.cpu_per_request_s.clear()
                path.cpu_per_stream_s.clear()
                path.p50_s.clear()


def main() -> None:
    """Start everything, measure, print the table."""
    engine_port = free_port()
    with ExitStack() as stack:
        engine = stack.enter_context(running(role("upstream", engine_port), engine_port))
        paths = [Path("upstream", engine_port, engine)]
        for name, port, command in commands(engine_port):
            paths.append(Path(name, port, stack.enter_context(running(command, port))))
        time.sleep(3)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(measured(paths))
        print(f"{'':14}{'CPU ms/':>10}{'CPU ms/':>10}{'added':>10}{'RSS':>8}")
        print(f"{'':14}{'request':>10}{f'{CHUNKS}-stream':>10}{'p50 ms':>10}{'MB':>8}")
        direct_s = statistics.median(paths[0].p50_s)
        for path in paths:
            print(path.row(direct_s))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(ROLES[sys.argv[1]](*map(int, sys.argv[2:])))
    else:
        main()
