"""Queries and workloads: histograms that lose nothing but the order."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.domain.query import Arrivals, Query, Workload

PAIRS = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=60)


@given(PAIRS)
@settings(deadline=None, max_examples=50)
def test_a_workload_holds_every_query(pairs: list[tuple[int, int]]) -> None:
    """What went in comes out, each shape as often as it came."""
    m, n = np.array(pairs).T

    workload = Workload.of("w", m, n)

    assert Counter((query.input_tokens, query.output_tokens) for query in workload) == Counter(pairs)
    assert workload.total_queries == len(pairs)
    assert workload.total_tokens == sum(map(sum, pairs))


@given(PAIRS)
@settings(deadline=None, max_examples=50)
def test_arrivals_are_kept_in_order(pairs: list[tuple[int, int]]) -> None:
    """With arrival times the queries come back one by one, sorted by time, ties as they stood."""
    m, n = np.array(pairs).T
    at_s = np.arange(len(pairs))[::-1] // 2 * 0.5

    workload = Workload.of("w", m, n, arrival_s=at_s)

    order = np.argsort(at_s, kind="stable")
    assert list(workload) == [Query(int(m[k]), int(n[k]), float(at_s[k])) for k in order]


def test_huge_token_counts_are_counted_without_a_dense_table() -> None:
    """A rectangle too large to count densely is sorted instead, to the same histogram."""
    workload = Workload.of("w", np.array([9_000_000, 3, 9_000_000]), np.array([8_000_000, 4, 8_000_000]))

    assert list(workload.queries) == [1, 2]
    assert list(workload.input_tokens) == [3, 9_000_000]


def test_frequencies_weigh_the_pairs() -> None:
    """`queries` says how often each pair comes, and pairs that repeat add up."""
    workload = Workload.of("w", np.array([5, 5]), np.array([2, 2]), queries=np.array([3, 4]))

    assert workload == Workload.of("another name", np.full(7, 5), np.full(7, 2))


@pytest.mark.parametrize("shape", [(0, 1), (1, 0), (-3, 2)])
def test_a_query_without_tokens_is_an_error(shape: tuple[int, int]) -> None:
    """Every query reads and writes at least one token."""
    with pytest.raises(ValueError, match="at least one token"):
        Query(*shape)


def test_an_empty_workload_is_an_error() -> None:
    """There is nothing to plan without queries."""
    with pytest.raises(ValueError, match="has no queries"):
        Workload.of("w", np.array([], np.int64), np.array([], np.int64))


def test_arrivals_never_fall() -> None:
    """Whoever builds arrivals by hand sorts them first."""
    with pytest.raises(ValueError, match="arrival times fall"):
        Arrivals(np.array([2.0, 1.0]), np.array([0, 0]))
