"""OpenTelemetry: a span and the `gen_ai.*` metrics of each request, made of its row when it has ended.

A hook of telemetry, off unless the settings name a collector; needs the extra `[otel]`, and nothing of it is loaded
before. Spans and numbers go out from a thread of the SDK, so a request waits for none of them. A span stands within the
client's trace where the request bears `traceparent`; that header goes to the engine as it came. No prompt, no answer
and no key is told. Names and buckets: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/ (a draft).
"""

from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from wattshed.gateway.events import Called, Event
from wattshed.gateway.ledger.ledger import Row
from wattshed.gateway.settings.settings import OtelSettings
from wattshed.units import S_PER_NS

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import SpanProcessor

Attributes = dict[str, str | int | float | bool]

OPERATIONS: Final[Mapping[str, str]] = {"chat": "chat", "completions": "text_completion", "embeddings": "embeddings"}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_CALLED: Final = 10_000
_TRACES: Final = TraceContextTextMapPropagator()
_LATENCY_S: Final = tuple(0.01 * 2**step for step in range(14))
_PER_TOKEN_S: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS: Final = tuple(float(4**step) for step in range(14))

_BUCKETS: Final[Mapping[str, tuple[float, ...]]] = {
    "gen_ai.server.request.duration": _LATENCY_S,
    "gen_ai.server.time_to_first_token": _LATENCY_S,
    "gen_ai.server.time_per_output_token": _PER_TOKEN_S,
    "gen_ai.client.token.usage": _TOKENS,
}


class Tracing:
    """Tells a collector of every request that has ended. `heard` is the hook; `close` sends what waits, and blocks."""

    def __init__(self, service: str, spans: "SpanProcessor", numbers: "MetricReader") -> None:
        resource = Resource.create({"service.name": service})
        views = [
            View(instrument_name=name, aggregation=ExplicitBucketHistogramAggregation(ends))
            for name, ends in _BUCKETS.items()
        ]
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(spans)
        self._numbers = MeterProvider([numbers], resource=resource, shutdown_on_exit=False, views=views)
        self._tracer = self._traces.get_tracer("wattshed")
        meter = self._numbers.get_meter("wattshed")
        self._histograms = {
            name: meter.create_histogram(name, "{token}" if name.endswith("usage") else "s") for name in _BUCKETS
        }
        self._called: OrderedDict[str, str] = OrderedDict()

    @classmethod
    def to(cls, settings: OtelSettings) -> "Tracing":
        """Tells the collector of the settings over HTTP; what a collector wants beside, the SDK's variables say."""
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        spans = BatchSpanProcessor(OTLPSpanExporter(f"{settings.endpoint}/v1/traces"))
        numbers = PeriodicExportingMetricReader(OTLPMetricExporter(f"{settings.endpoint}/v1/metrics"))
        return cls(settings.service, spans, numbers)

    def heard(self, event: Event) -> None:
        """Remember whose trace a request belongs to, and tell of it when it has ended."""
        if isinstance(event, Called):
            self._called[event.request] = event.traceparent
            if len(self._called) > _MOST_CALLED:
                self._called.popitem(last=False)
        elif isinstance(event, Row):
            self._span(event, self._called.pop(event.request, None))
            self._count(event)

    def close(self) -> None:
        """Send what waits, and let go."""
        self._traces.shutdown()
        self._numbers.shutdown()

    def _span(self, row: Row, traceparent: str | None) -> None:
        context = None if traceparent is None else _TRACES.extract({"traceparent": traceparent})
        began_s = (row.arrived_at - _EPOCH).total_seconds()
        span = self._tracer.start_span(
            f"{_operation(row)} {row.model}".rstrip(),
            context=context,
            kind=SpanKind.SERVER,
            attributes=_attributes(row) | _told(row),
            start_time=round(began_s / S_PER_NS),
        )
        if row.outcome != "done":
            span.set_status(Status(StatusCode.ERROR, row.outcome))
        span.end(round((began_s + row.runtime_s) / S_PER_NS))

    def _count(self, row: Row) -> None:
        attributes, record = _attributes(row), self._record
        record("gen_ai.server.request.duration", row.runtime_s, attributes)
        record("gen_ai.server.time_to_first_token", row.ttft_s, attributes)
        if row.ttft_s is not None and row.outcome == "done" and (row.output_tokens or 0) > 1:
            per_token_s = (row.runtime_s - row.ttft_s) / ((row.output_tokens or 0) - 1)
            record("gen_ai.server.time_per_output_token", per_token_s, attributes)
        for kind, tokens in (("input", row.input_tokens), ("output", row.output_tokens)):
            record("gen_ai.client.token.usage", tokens, attributes | {"gen_ai.token.type": kind})

    def _record(self, name: str, amount: float | None, attributes: Attributes) -> None:
        if amount is not None:
            self._histograms[name].record(amount, attributes)


def _operation(row: Row) -> str:
    return OPERATIONS.get(row.route, row.route)


def _attributes(row: Row) -> Attributes:
    """What spans and metrics have in common: names of the configuration, and what went wrong."""
    known: Mapping[str, str | None] = {
        "gen_ai.operation.name": _operation(row),
        "gen_ai.provider.name": "wattshed",
        "gen_ai.request.model": row.model or None,
        "gen_ai.response.model": row.variant,
        "wattshed.system": row.system,
        "error.type": None if row.outcome == "done" else row.failure or row.outcome,
    }
    return {name: value for name, value in known.items() if value is not None}


def _told(row: Row) -> Attributes:
    """What a span says beside."""
    known: Mapping[str, str | float | None] = {
        "gen_ai.usage.input_tokens": row.input_tokens,
        "gen_ai.usage.output_tokens": row.output_tokens,
        "gen_ai.request.max_tokens": row.most_output_tokens,
        "http.response.status_code": row.status,
        "wattshed.request": row.request,
        "wattshed.policy": row.policy,
        "wattshed.baseline": row.baseline,
        "wattshed.wait_seconds": row.wait_s,
        "wattshed.predicted_joules": row.predicted_energy_j,
        "wattshed.hindsight_joules": row.hindsight_energy_j,
        "wattshed.baseline_joules": row.baseline_energy_j,
        "wattshed.wasted_joules": row.wasted_energy_j,
    }
    return {name: value for name, value in known.items() if value is not None}
