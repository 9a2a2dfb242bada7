"""Numbers behind a page for Prometheus: plain dictionaries that one thread adds to, turned into text when asked for.

The metrics are a table (`schema.METRICS`), so nothing is counted that the table does not name. An addition takes about
0.3 us, where prometheus-client's own counters lock and look up for 1 to 2 us each; what it is good at, the format, is
left to it, in `page.py`. Counters never fall. However many values a label takes, one metric keeps at most
`most_series` of them: all beyond are `other`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from wattshed.domain.schema import Metric

PAGE_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
OTHER: Final = "other"

Labels = tuple[str, ...]


class Histogram(NamedTuple):
    """Values of one series counted into buckets, the last of which has no end, and their sum."""

    buckets: tuple[int, ...]
    total: float


class Counts:
    """The numbers of a table of metrics; labels are given in the table's order. KeyError for a metric it has not."""

    def __init__(self, metrics: Iterable[Metric], *, most_series: int = 2000) -> None:
        self._metrics = {metric.name: metric for metric in metrics}
        self._values: dict[str, dict[Labels, float]] = {name: {} for name in self._metrics}
        self._sums: dict[str, dict[Labels, float]] = {name: {} for name in self._metrics}
        self._buckets: dict[str, dict[Labels, list[int]]] = {name: {} for name in self._metrics}
        self._most_series = most_series

    def add(self, name: str, amount: float, *labels: str) -> None:
        """Add to a counter or gauge."""
        series = self._values[name]
        before = series.get(labels)
        if before is None:
            labels = self._bounded(name, labels)
            before = series.get(labels, 0.0)
        series[labels] = before + amount

    def add_signed(self, name: str, amount: float, *labels: str) -> None:
        """Add what may be negative to a counter: it stands still until the sum is beyond what it has shown."""
        labels = self._bounded(name, labels)
        true = self._sums[name].get(labels, 0.0) + amount
        self._sums[name][labels] = true
        self._values[name][labels] = max(self._values[name].get(labels, 0.0), true)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge, or a counter that somebody else counts."""
        self._values[name][self._bounded(name, labels)] = value

    def observe(self, name: str, values: Sequence[float], *labels: str) -> None:
        """Count values into a histogram."""
        if not values:
            return
        buckets, ends = self._buckets[name].get(labels), self._metrics[name].buckets
        if buckets is None:
            labels = self._bounded(name, labels)
            buckets = self._buckets[name].setdefault(labels, [0] * (len(ends) + 1))
        for value in values:
            buckets[bisect_left(ends, value)] += 1
        self._sums[name][labels] = self._sums[name].get(labels, 0.0) + sum(values)

    def value(self, name: str, *labels: str) -> float:
        """A counter or gauge; 0 where nothing was added."""
        return self._values[name].get(labels, 0.0)

    def has(self, name: str, *labels: str) -> bool:
        """Whether anything was added to, or set."""
        return labels in self._values[name]

    def drop(self, name: str, *labels: str) -> None:
        """Forget a gauge whose value is not known any more."""
        self._values[name].pop(labels, None)

    def total(self, name: str, **wanted: str) -> float:
        """The sum of a metric over all series that have these labels."""
        at = [(self._metrics[name].labels.index(label), value) for label, value in wanted.items()]
        return sum(
            amount
            for labels, amount in self._values[name].items()
            if all(labels[position] == value for position, value in at)
        )

    def copy(self) -> "Counts":
        """The same numbers, which no longer change, for another thread to write down."""
        twin = Counts(self._metrics.values(), most_series=self._most_series)
        twin._values = {name: dict(series) for name, series in self._values.items()}
        twin._sums = {name: dict(series) for name, series in self._sums.items()}
        twin._buckets = {
            name: {labels: list(buckets) for labels, buckets in series.items()}
            for name, series in self._buckets.items()
        }
        return twin

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The table."""
        return tuple(self._metrics.values())

    def values(self, name: str) -> Mapping[Labels, float]:
        """Every series of a counter or gauge."""
        return self._values[name]

    def histograms(self, name: str) -> Mapping[Labels, Histogram]:
        """Every series of a histogram."""
        return {
            labels: Histogram(tuple(buckets), self._sums[name][labels])
            for labels, buckets in self._buckets[name].items()
        }

    def _bounded(self, name: str, labels: Labels) -> Labels:
        """The labels, or as many `other`s where they are new and there are enough already."""
        wanted = len(self._metrics[name].labels)
        if len(labels) != wanted:
            raise ValueError(f"{name} has labels {self._metrics[name].labels}, got {labels}")
        known = self._buckets[name] if self._metrics[name].kind == "histogram" else self._values[name]
        return labels if labels in known or len(known) < self._most_series else (OTHER,) * wanted


def page(counts: Counts) -> bytes:
    """The numbers in the text format, 0.0.4."""
    from wattshed.gateway.metrics.page import text  # loaded with the first page: it takes 40 ms of a start

    return text(counts)
