"""An engine that always calls its one tool: SmolLM2 is told of tools and calls none, so this one is scripted."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

ARGUMENTS: Final = ('{"city": ', '"Oslo"}')
"""What it calls the tool with, in the pieces of a stream."""

USAGE: Final = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}


class ToolCaller(ThreadingHTTPServer):
    """The engine; the next `failures` requests are answered with 500. `bodies` are those that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.failures = 0
        self.bodies: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def tool_caller() -> Iterator[ToolCaller]:
    """One that runs."""
    with ToolCaller() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Answering(BaseHTTPRequestHandler):
    server: ToolCaller

    def do_GET(self) -> None:
        self._say(200, "application/json", b'{"object":"list","data":[]}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(body)
        if self.server.failures:
            self.server.failures -= 1
            self._say(500, "application/json", b'{"error":{"message":"out of order","type":"server_error"}}')
        elif body.get("stream"):
            self._say(200, "text/event-stream", b"".join(map(_event, _chunks())) + b"data: [DONE]\n\n")
        else:
            self._say(200, "application/json", json.dumps(_whole()).encode())

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _say(self, status: int, kind: str, said: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


def _whole() -> dict[str, object]:
    message = {"role": "assistant", "content": None, "tool_calls": [_call("".join(ARGUMENTS))]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": USAGE}


def _chunks() -> Iterator[dict[str, object]]:
    first, second = ARGUMENTS
    rest = {"index": 0, "function": {"arguments": second}}
    for delta, reason in (({"tool_calls": [_call(first)]}, None), ({"tool_calls": [rest]}, None), ({}, "tool_calls")):
        yield _chunk([{"index": 0, "delta": {"role": "assistant"} | delta, "finish_reason": reason}])
    yield _chunk([]) | {"usage": USAGE}


def _call(arguments: str) -> dict[str, object]:
    return {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": arguments}}


def _chunk(choices: list[dict[str, object]]) -> dict[str, object]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}


def _event(chunk: dict[str, object]) -> bytes:
    return b"data: %b\n\n" % json.dumps(chunk).encode()
