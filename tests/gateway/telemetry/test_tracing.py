"""OpenTelemetry hears of every request: one span and the numbers of the conventions, and nothing of what was said."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.gateway.scene import Scene, scene
from wattshed.gateway.events import Called
from wattshed.gateway.ledger.ledger import Row
from wattshed.gateway.settings.settings import OtelSettings
from wattshed.gateway.telemetry.tracing import Tracing

TRACE, PARENT = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
PROMPT = "canary-prompt-5521"


def traced(*asked: dict[str, object]) -> tuple[tuple[ReadableSpan, ...], dict[str, list[HistogramDataPoint]]]:
    """Spans and points of a gateway that was asked these chats."""
    kept, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracing = Tracing("test", SimpleSpanProcessor(kept), reader)

    async def play(at: Scene) -> None:
        tell = at.gateway.tell

        def heard(event: object) -> None:
            tracing.heard(event)  # type: ignore[arg-type]  # an event like any other
            tell(event)  # type: ignore[arg-type]  # the same

        at.gateway.tell = heard  # listens, and lets everything pass
        for fields in asked:
            await at.ask(
                headers={"traceparent": f"00-{TRACE:032x}-{PARENT:016x}-01", "authorization": f"Bearer {PROMPT}"},
                messages=[{"role": "user", "content": f"one {PROMPT}"}],
                **fields,
            )

    async def run() -> None:
        async with scene() as at:
            await play(at)

    asyncio.run(run())
    told = reader.get_metrics_data()
    tracing.close()
    assert told is not None
    points = {
        metric.name: [point for point in metric.data.data_points if isinstance(point, HistogramDataPoint)]
        for resource in told.resource_metrics
        for part in resource.scope_metrics
        for metric in part.metrics
    }
    return kept.get_finished_spans(), points


def test_a_request_is_a_span_in_its_clients_trace() -> None:
    """It lasts as long as the request, has its tokens and joules, and its parent is the client's span."""
    (span,), _ = traced({"max_tokens": 8, "stream": True})

    assert span.attributes is not None
    assert span.parent is not None
    assert span.context is not None
    assert (span.context.trace_id, span.parent.span_id) == (TRACE, PARENT)
    assert span.name == "chat llama-2-7b"
    assert span.attributes["gen_ai.operation.name"] == "chat"
    assert span.attributes["gen_ai.usage.output_tokens"] == 8
    assert isinstance(span.attributes["wattshed.hindsight_joules"], float)
    assert (span.end_time or 0) > (span.start_time or 0)
    assert span.status.status_code is StatusCode.UNSET


def test_numbers_have_the_names_of_the_conventions() -> None:
    """Duration, first token, pace and tokens, each once a request, by operation and model."""
    _, points = traced({"max_tokens": 8, "stream": True}, {"max_tokens": 8, "stream": True})

    assert {name: sum(point.count for point in found) for name, found in points.items()} == {
        "gen_ai.server.request.duration": 2,
        "gen_ai.server.time_to_first_token": 2,
        "gen_ai.server.time_per_output_token": 2,
        "gen_ai.client.token.usage": 4,
    }
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]}  # type: ignore[index]  # every point has attributes
    assert tokens["output"] == 16


def test_what_failed_is_an_error() -> None:
    """A refused request is a span too, with what was wrong, and without a model that its client made up."""
    (span,), points = traced({"model": "made-up"})

    assert span.status.status_code is StatusCode.ERROR
    assert span.name == "chat"
    assert span.attributes is not None
    assert span.attributes["error.type"] == "model_not_found"
    assert "gen_ai.client.token.usage" not in points


def test_neither_prompt_nor_key_is_told() -> None:
    """Canaries in prompt and key stand in no span and no point."""
    spans, points = traced({}, {"stream": True}, {"model": "made-up"})

    assert PROMPT not in "".join(span.to_json() for span in spans) + repr(points)


def test_a_collector_gets_both_over_http() -> None:
    """Spans and numbers are posted where the settings say, at the latest as the gateway stops."""
    posted: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            posted.append(self.path)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        tracing = Tracing.to(OtelSettings(f"http://127.0.0.1:{server.server_port}"))
        tracing.heard(Row("r", datetime.now(UTC), runtime_s=0.1))
        tracing.close()
        server.shutdown()

    assert set(posted) == {"/v1/traces", "/v1/metrics"}


def test_traces_that_never_end_are_forgotten() -> None:
    """What is remembered of clients' traces is bounded, and a senseless header does no harm."""
    tracing = Tracing("test", SimpleSpanProcessor(InMemorySpanExporter()), InMemoryMetricReader())

    for number in range(20_000):
        tracing.heard(Called(str(number), "no trace"))

    assert len(tracing._called) <= 10_000
    tracing.close()


def test_nothing_is_loaded_unless_it_is_configured() -> None:
    """A gateway without a collector loads nothing of OpenTelemetry."""
    said = "import sys, wattshed.gateway.app; print(any(name.startswith('opentelemetry') for name in sys.modules))"

    ran = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "False"
