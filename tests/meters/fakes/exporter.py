"""A real HTTP server on loopback whose page follows a clock, with faults."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Exporter:
    """What it answers: the page of now, and a status; it says nothing at all while `mute`."""

    page: Callable[[], str]
    status: int = 200
    mute: bool = False
    url: str = ""


@contextmanager
def served(exporter: Exporter) -> Iterator[Exporter]:
    """The exporter, up."""
    unmute = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if exporter.mute:
                unmute.wait(5.0)
                return
            body = exporter.page().encode()
            self.send_response(exporter.status)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    exporter.url = f"http://127.0.0.1:{server.server_port}/metrics"
    try:
        yield exporter
    finally:
        unmute.set()
        server.shutdown()
        server.server_close()
        thread.join()
