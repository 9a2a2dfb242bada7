"""When queries come, and which: a workload's own trace, faster or slower, or a random process of known burstiness.

    trace             as recorded                              the seed changes nothing
    trace*2           the same in half the time
    poisson:5         5 a second on average, without memory    gaps of coefficient of variation 1
    burst:5,3         5 a second, gaps of coefficient of variation 3 (gamma distributed; below 1: more even)
    on-off:20,10,30   20 a second without memory for spells of 10 s on average, and none for 30 s between them

A random process takes each query of the workload once, in random order, or draws as many as are wanted, each as likely
as its shape is frequent. A trace is cut after as many.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Final, Protocol

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.query import Arrivals, Workload
from wattshed.errors import UsageError

FORMS: Final = "trace, trace*MULTIPLE, poisson:RATE, burst:RATE,CV or on-off:RATE,ON_S,OFF_S"
"""What `process` reads; rates are queries a second."""


class Process(Protocol):
    """Says when the queries of a workload come."""

    @property
    def random(self) -> bool:
        """Whether two seeds make two different arrivals."""
        ...

    def arrivals(self, workload: Workload, rng: np.random.Generator, queries: int | None = None) -> Arrivals:
        """Arrivals of as many queries as are wanted, or of all; instants count from the first, which comes at 0."""
        ...


@dataclass(frozen=True, slots=True)
class Traced:
    """As the workload recorded them, at a `multiple` of its rate."""

    multiple: float = 1.0

    def __post_init__(self) -> None:
        _positive(multiple=self.multiple)

    @property
    def random(self) -> bool:
        """No."""
        return False

    def arrivals(self, workload: Workload, rng: np.random.Generator, queries: int | None = None) -> Arrivals:  # noqa: ARG002  nothing is drawn
        """The first so many queries of the trace; `UsageError` where there is none, or it is shorter."""
        if workload.arrivals is None:
            fix = f"give --arrivals another process: {FORMS}"
            raise UsageError(f"workload {workload.name!r} has no arrival times; {fix}")
        traced = workload.arrivals
        if queries is not None and queries > traced.arrival_s.size:
            raise UsageError(f"--queries {queries} is more than the {traced.arrival_s.size} of the trace; give fewer")
        arrival_s = traced.arrival_s[:queries]
        return Arrivals((arrival_s - arrival_s[0]) / self.multiple, traced.bucket[:queries])


@dataclass(frozen=True, slots=True)
class Poisson:
    """`rate_per_s` queries a second on average, without memory."""

    rate_per_s: float

    def __post_init__(self) -> None:
        _positive(rate_per_s=self.rate_per_s)

    @property
    def random(self) -> bool:
        """Yes."""
        return True

    def arrivals(self, workload: Workload, rng: np.random.Generator, queries: int | None = None) -> Arrivals:
        """Exponential gaps between queries drawn from the histogram."""
        bucket = _drawn(workload, rng, queries)
        return _after_gaps(rng.exponential(1 / self.rate_per_s, bucket.size), bucket)


@dataclass(frozen=True, slots=True)
class Bursts:
    """`rate_per_s` on average, with gamma distributed gaps of coefficient of variation `cv`: 1 is Poisson."""

    rate_per_s: float
    cv: float

    def __post_init__(self) -> None:
        _positive(rate_per_s=self.rate_per_s, cv=self.cv)

    @property
    def random(self) -> bool:
        """Yes."""
        return True

    def arrivals(self, workload: Workload, rng: np.random.Generator, queries: int | None = None) -> Arrivals:
        """Gamma gaps of shape 1 / cv^2 and mean 1 / rate between queries drawn from the histogram."""
        bucket, shape = _drawn(workload, rng, queries), self.cv**-2
        return _after_gaps(rng.gamma(shape, 1 / (shape * self.rate_per_s), bucket.size), bucket)


@dataclass(frozen=True, slots=True)
class OnOff:
    """Poisson at `rate_per_s` during spells, and nothing between them; both last exponential times of these means."""

    rate_per_s: float
    mean_on_s: float
    mean_off_s: float

    def __post_init__(self) -> None:
        _positive(rate_per_s=self.rate_per_s, mean_on_s=self.mean_on_s, mean_off_s=self.mean_off_s)

    @property
    def random(self) -> bool:
        """Yes."""
        return True

    def arrivals(self, workload: Workload, rng: np.random.Generator, queries: int | None = None) -> Arrivals:
        """Between two queries a spell ends as often as chance has it, and each end adds a pause."""
        bucket = _drawn(workload, rng, queries)
        gap_s = rng.exponential(1 / self.rate_per_s, bucket.size)
        ends = rng.poisson(gap_s / self.mean_on_s)  # of spells, during the seconds that count as on
        return _after_gaps(gap_s + rng.gamma(np.maximum(ends, 1), self.mean_off_s) * (ends > 0), bucket)


def process(text: str) -> Process:
    """The process that `text` names; `UsageError` where it names none."""
    kind, _, numbers = text.partition(":")
    multiple = kind.removeprefix("trace*")
    if kind == "trace" and not numbers:
        return Traced()
    make, values = (Traced, multiple) if multiple != kind and not numbers else (_RANDOM.get(kind), numbers)
    if make is not None:
        try:
            return make(*(float(value) for value in values.split(",")))
        except (TypeError, ValueError) as error:
            problem = str(error) if "positive" in str(error) else "has not the numbers that it needs"
            raise UsageError(f"--arrivals {text}: {problem}; write {FORMS}") from error
    raise UsageError(f"--arrivals takes {FORMS}, got {text!r}")


_RANDOM: Final[Mapping[str, Callable[..., Process]]] = {"poisson": Poisson, "burst": Bursts, "on-off": OnOff}


def _drawn(workload: Workload, rng: np.random.Generator, queries: int | None) -> Integers:
    """Buckets of the queries in order of arrival."""
    if queries is None:
        return rng.permutation(np.repeat(np.arange(workload.queries.size), workload.queries))
    return rng.choice(workload.queries.size, queries, p=workload.queries / workload.total_queries)


def _after_gaps(gap_s: Floats, bucket: Integers) -> Arrivals:
    """Queries with these gaps before them, of which the first counts for nothing."""
    arrival_s = np.cumsum(gap_s)
    return Arrivals(arrival_s - arrival_s[0], bucket)


def _positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not 0 < number < inf or not isfinite(1 / number):
            raise ValueError(f"{name} is a positive number, got {number:g}")
