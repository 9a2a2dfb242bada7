"""Whose joules were they? The energy of a shared window, split over the requests that overlapped in it.

Time is cut wherever a request begins, gets its first token or ends, and wherever the trace has a new reading. In each
piece nobody comes or goes, and its joules are split in two:

    idle joules  (idle power x seconds)   in equal parts over those present, so by residence over a whole window
    the rest     (joules above idle)      by the work that each did in the piece:

        work = prefill_token_j * prefill tokens computed + decode_token_j * decode tokens made
               + held_token_w * tokens held in the KV cache x seconds

Where nobody is present all joules are unattributed. Where those present did no work that the weights count, the rest is
split as the idle joules are. The rest is negative where a piece drew less than idle power; it is split all the same and
lowers what the requests get: cutting it off at zero would make joules. So the parts always add up to the whole.

Prefill is taken as even from start to first token, decoding from first token to finish: a request whose phase took no
time did no work that a trace can see. The first token is the prefill's; n - 1 steps follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

import numpy as np

from wattshed.domain.arrays import Floats, Integers


@dataclass(frozen=True, slots=True)
class Span:
    """The life of one request, in seconds of the same clock as the trace.

    `started_at_s` is when the engine took it up (its arrival, where the engine does not tell): who waits in a queue
    holds nothing. `cached_tokens` of the input were in the cache already: held from the start, never computed.
    """

    request: str
    started_at_s: float
    first_token_at_s: float
    finished_at_s: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0

    def __post_init__(self) -> None:
        times = (self.started_at_s, self.first_token_at_s, self.finished_at_s)
        if not all(map(isfinite, times)) or any(later < earlier for earlier, later in pairwise(times)):
            raise ValueError(f"request {self.request!r}: start, first token and finish come in this order, got {times}")
        if not 0 <= self.cached_tokens <= self.input_tokens or self.output_tokens < 1:
            raise ValueError(f"request {self.request!r}: an output of 1 token at least, and no more cached than input")


@dataclass(frozen=True, slots=True)
class Weights:
    """What a unit of work costs above idle; only the ratios matter. `BatchPredictor.weights` fits them to a profile.

    Joules a prefill token computed, joules a decode token made, and watts a token held in the KV cache.
    """

    prefill_token_j: float
    decode_token_j: float
    held_token_w: float

    def __post_init__(self) -> None:
        parts = (self.prefill_token_j, self.decode_token_j, self.held_token_w)
        if not all(isfinite(part) and part >= 0 for part in parts):
            raise ValueError(f"weights are finite and at least 0, got {parts}")


@dataclass(frozen=True, slots=True, eq=False)
class EnergyTrace:
    """Joules of T consecutive intervals, `energy_j` of shape (T,), between the instants `at_s`, shape (T + 1,).

    Power is taken as constant within an interval.
    """

    at_s: Floats
    energy_j: Floats

    def __post_init__(self) -> None:
        if self.at_s.ndim != 1 or self.at_s.size < 2 or self.energy_j.shape != (self.at_s.size - 1,):
            raise ValueError(f"{self.at_s.size} instants cannot bound {self.energy_j.size} intervals")
        if not (np.isfinite(self.at_s).all() and np.isfinite(self.energy_j).all() and (np.diff(self.at_s) > 0).all()):
            raise ValueError("a trace has rising instants and finite joules; split it where a reading is missing")

    @classmethod
    def of_window(cls, started_at_s: float, stopped_at_s: float, energy_j: float) -> "EnergyTrace":
        """One interval: all that a counter tells, read before and after."""
        return cls(np.array([started_at_s, stopped_at_s]), np.array([energy_j]))

    @classmethod
    def of_power(cls, at_s: Floats, power_w: Floats) -> "EnergyTrace":
        """Samples of power, shape (T + 1,) like their instants, integrated by trapezoids."""
        return cls(at_s, (power_w[1:] + power_w[:-1]) / 2 * np.diff(at_s))


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """Joules of N requests, in the order of their spans: two arrays of shape (N,), which may be negative, and the rest.

    All of it together is the energy of the trace, to rounding.
    """

    requests: tuple[str, ...]
    active_j: Floats
    idle_j: Floats
    unattributed_j: float

    @property
    def energy_j(self) -> Floats:
        """Active and idle joules of each request, shape (N,)."""
        return self.active_j + self.idle_j


def attribute(trace: EnergyTrace, spans: Sequence[Span], *, weights: Weights, idle_power_w: float) -> Attribution:
    """The joules of a trace split over N requests; those that outlast it share in what lies inside.

    Costs O(N log N) and one step for every request in every piece of time that it is present in.
    """
    if not (isfinite(idle_power_w) and idle_power_w >= 0):
        raise ValueError(f"idle_power_w is a power of at least 0 W, got {idle_power_w}")
    edges_s = _edges(trace, spans)
    energy_j, idle_j = _piece_energy(trace, edges_s), idle_power_w * np.diff(edges_s)
    presence = _presence(spans, edges_s, weights)
    present = np.bincount(presence.piece, minlength=energy_j.size)
    work = np.bincount(presence.piece, presence.work, energy_j.size)

    evenly = 1 / present[presence.piece]
    by_work = np.divide(presence.work, work[presence.piece], out=evenly.copy(), where=work[presence.piece] > 0)
    active_j = np.bincount(presence.request, by_work * (energy_j - idle_j)[presence.piece], len(spans))
    shared_j = np.bincount(presence.request, evenly * idle_j[presence.piece], len(spans))
    return Attribution(
        tuple(span.request for span in spans),
        np.asarray(active_j, np.float64),
        np.asarray(shared_j, np.float64),
        float(energy_j[present == 0].sum()),
    )


class _Presence(NamedTuple):
    """Every (request, piece of time) in which the request is present, and the work it does there; shape (P,) each."""

    request: Integers
    piece: Integers
    work: Floats


class _Phases(NamedTuple):
    """Two phases a request, of length above zero: shape (H,) each, `held` being the tokens in the cache."""

    request: Integers
    start_s: Floats
    stop_s: Floats
    computed_j: Floats
    held_first: Floats
    held_last: Floats


def _edges(trace: EnergyTrace, spans: Sequence[Span]) -> Floats:
    """Where time is cut: the instants of the trace, and all of the spans that lie inside it; rising."""
    instants = [at_s for span in spans for at_s in (span.started_at_s, span.first_token_at_s, span.finished_at_s)]
    return np.unique(np.append(trace.at_s, np.clip(instants, trace.at_s[0], trace.at_s[-1])))


def _piece_energy(trace: EnergyTrace, edges_s: Floats) -> Floats:
    """Joules of each piece of time, by its share in the seconds of its interval."""
    length_s = np.diff(edges_s)
    interval = np.searchsorted(trace.at_s, edges_s[:-1], side="right") - 1
    share: Floats = length_s / np.bincount(interval, length_s)[interval]
    return share * trace.energy_j[interval]


def _presence(spans: Sequence[Span], edges_s: Floats, weights: Weights) -> _Presence:
    """Who is present when, and what they do there."""
    phases = _phases(spans, weights)
    first, last = np.searchsorted(edges_s, phases.start_s), np.searchsorted(edges_s, phases.stop_s)
    pieces = np.minimum(last, edges_s.size - 1) - first
    phase = np.repeat(np.arange(first.size), np.maximum(pieces, 0))
    piece = np.arange(phase.size) - np.searchsorted(phase, phase) + first[phase]

    length_s = np.diff(edges_s)[piece]
    duration_s = (phases.stop_s - phases.start_s)[phase]
    middle = (edges_s[piece] + length_s / 2 - phases.start_s[phase]) / duration_s
    held = phases.held_first[phase] + (phases.held_last - phases.held_first)[phase] * middle
    work = phases.computed_j[phase] * (length_s / duration_s) + weights.held_token_w * held * length_s
    return _Presence(phases.request[phase], piece, work)


def _phases(spans: Sequence[Span], weights: Weights) -> _Phases:
    rows = [
        row
        for position, span in enumerate(spans)
        for row in (_prefill(position, span, weights), _decode(position, span, weights))
        if row[2] > row[1]
    ]
    request, *rest = np.array(rows, np.float64).reshape(-1, len(_Phases._fields)).T
    return _Phases(request.astype(np.int64), *rest)


def _prefill(position: int, span: Span, weights: Weights) -> tuple[float, ...]:
    computed_j = weights.prefill_token_j * (span.input_tokens - span.cached_tokens)
    held = (span.cached_tokens, span.input_tokens)
    return (position, span.started_at_s, span.first_token_at_s, computed_j, *held)


def _decode(position: int, span: Span, weights: Weights) -> tuple[float, ...]:
    steps = span.output_tokens - 1
    held = (span.input_tokens, span.input_tokens + steps)
    return (position, span.first_token_at_s, span.finished_at_s, weights.decode_token_j * steps, *held)
