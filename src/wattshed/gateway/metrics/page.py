"""Counts as prometheus-client writes them; apart from `counts.py`, since loading that client takes 40 ms of a start."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from wattshed.domain.schema import Metric
from wattshed.gateway.metrics.counts import Counts


def text(counts: Counts) -> bytes:
    """The numbers in the text format, 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(counts))
    return generate_latest(registry)


class _Families(Collector):
    """What the client asks for."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Family]:
        """Every metric with its series."""
        for metric in self._counts.metrics:
            yield self._histogram(metric) if metric.kind == "histogram" else self._family(metric)

    def _family(self, metric: Metric) -> Family:
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.meaning, labels=metric.labels)
        for labels, value in self._counts.values(metric.name).items():
            family.add_metric(labels, value)
        return family

    def _histogram(self, metric: Metric) -> Family:
        family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
        ends = [*(f"{end:g}" for end in metric.buckets), "+Inf"]
        for labels, (buckets, total) in self._counts.histograms(metric.name).items():
            family.add_metric(labels, list(zip(ends, accumulate(buckets), strict=True)), total)
        return family
