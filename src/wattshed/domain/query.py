"""Queries and workloads.

To everything but the clock a query is its two token counts, so a workload is a histogram over (input, output) shapes:
ten million queries become some ten thousand buckets, and every planner works on those. Arrival times, where a trace has
them, are kept beside the histogram.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Floats, Integers

_DENSE_CELLS = 2**25
"""Largest (m, n) rectangle that is counted densely (256 MiB of counters); beyond it the pairs are sorted."""


@dataclass(frozen=True, slots=True)
class Query:
    """One request: `input_tokens` (m) read, `output_tokens` (n) written, `arrival_s` after the trace begins."""

    input_tokens: int
    output_tokens: int
    arrival_s: float | None = None

    def __post_init__(self) -> None:
        if self.input_tokens < 1 or self.output_tokens < 1:
            raise ValueError(
                f"a query has at least one token each way, got ({self.input_tokens}, {self.output_tokens})"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """When each query came: `arrival_s` of shape (Q,), never falling, and its `bucket` in the workload, shape (Q,)."""

    arrival_s: Floats
    bucket: Integers

    def __post_init__(self) -> None:
        if self.arrival_s.shape != self.bucket.shape:
            raise ValueError(f"{self.arrival_s.size} arrival times for {self.bucket.size} queries")
        if np.any(np.diff(self.arrival_s) < 0):
            raise ValueError("arrival times fall; sort the queries by time")


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """How many queries there are of each shape.

    `input_tokens`, `output_tokens` and `queries` have shape (B,): B distinct shapes sorted by (m, n), each with a count
    of at least one. `bad_rows` counts rows of the source that the reader was told to leave out.
    """

    name: str
    input_tokens: Integers
    output_tokens: Integers
    queries: Integers
    arrivals: Arrivals | None = None
    bad_rows: int = 0

    def __post_init__(self) -> None:
        if not self.input_tokens.shape == self.output_tokens.shape == self.queries.shape or self.queries.ndim != 1:
            raise ValueError("input_tokens, output_tokens and queries need one common length")
        if self.queries.size == 0:
            raise ValueError(f"workload {self.name!r} has no queries")
        if min(self.input_tokens.min(), self.output_tokens.min(), self.queries.min()) < 1:
            raise ValueError(f"workload {self.name!r}: token counts and frequencies start at 1")

    def __eq__(self, other: object) -> bool:
        """Equal histograms; the name is a label."""
        if not isinstance(other, Workload):
            return NotImplemented
        return all(
            np.array_equal(ours, theirs)
            for ours, theirs in (
                (self.input_tokens, other.input_tokens),
                (self.output_tokens, other.output_tokens),
                (self.queries, other.queries),
            )
        )

    __hash__ = None  # type: ignore[assignment]  # compared by value, and arrays have no hash

    @classmethod
    def of(
        cls,
        name: str,
        input_tokens: Integers,
        output_tokens: Integers,
        *,
        queries: Integers | None = None,
        arrival_s: Floats | None = None,
        bad_rows: int = 0,
    ) -> "Workload":
        """The histogram of Q queries: `input_tokens`, `output_tokens` and the optional rest of shape (Q,).

        `queries` weighs each pair (1 when absent). `arrival_s` may come in any order; it is sorted, ties keep theirs.
        """
        m, n = np.asarray(input_tokens, np.int64), np.asarray(output_tokens, np.int64)
        if m.size == 0:
            raise ValueError(f"workload {name!r} has no queries")
        stride = int(n.max()) + 1
        key = m * stride + n
        if arrival_s is None and (int(m.max()) + 1) * stride <= _DENSE_CELLS and m.min() >= 0 and n.min() >= 0:
            weight = None if queries is None else np.asarray(queries, np.float64)  # exact below 2**53 queries
            dense = np.bincount(key, weights=weight)
            shape, count, bucket = np.flatnonzero(dense), dense[dense > 0].astype(np.int64), None
        else:
            shape, bucket = np.unique(key, return_inverse=True)
            weight = np.ones(m.size) if queries is None else np.asarray(queries, np.float64)
            count = np.bincount(bucket, weights=weight).astype(np.int64)
        arrivals = None
        if arrival_s is not None and bucket is not None:
            order = np.argsort(arrival_s, kind="stable")
            arrivals = Arrivals(np.asarray(arrival_s, np.float64)[order], bucket[order].astype(np.int64))
        return cls(name, shape // stride, shape % stride, count, arrivals, bad_rows)

    @property
    def total_queries(self) -> int:
        """Queries in all buckets together."""
        return int(self.queries.sum())

    @property
    def total_tokens(self) -> int:
        """Input and output tokens of all queries together."""
        return int(((self.input_tokens + self.output_tokens) * self.queries).sum())

    def __iter__(self) -> Iterator[Query]:
        """The queries one by one: in order of arrival where there are arrivals, else bucket by bucket."""
        if self.arrivals is not None:
            for at, bucket in zip(self.arrivals.arrival_s, self.arrivals.bucket, strict=True):
                yield Query(int(self.input_tokens[bucket]), int(self.output_tokens[bucket]), float(at))
            return
        for m, n, count in zip(self.input_tokens, self.output_tokens, self.queries, strict=True):
            query = Query(int(m), int(n))
            yield from (query for _ in range(count))
