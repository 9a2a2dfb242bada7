"""One window's joules over the requests that were present in it; pure, so that a thread may do it.

Requests that did not come through this gateway are not seen; their joules fall to those that did. So a window's joules
above idle belong to the time in which somebody was present, and the rest of it drew idle power.
"""

from collections.abc import Iterable

import numpy as np

from wattshed.domain.attribution import Attribution, EnergyTrace, Span, Weights, attribute
from wattshed.gateway.attribution.energy import Due, Life, Terms


def split(due: Iterable[Due], terms: Terms) -> tuple[Attribution | None, ...]:
    """The joules of each window by request; `None` where it has no joules."""
    return tuple(_shares(one, terms) for one in due)


def _shares(due: Due, terms: Terms) -> Attribution | None:
    window = due.window
    if window.energy_j is None:
        return None
    trace = _course(due, window.energy_j, terms.idle_power_w)
    spans = [_span(life, terms.weights) for life in due.lives]
    return attribute(trace, spans, weights=terms.weights, idle_power_w=terms.idle_power_w)


def _course(due: Due, energy_j: float, idle_power_w: float) -> EnergyTrace:
    """How the joules of a window came in it: at idle power while nobody was present, evenly while somebody was."""
    started_at_s, stopped_at_s = due.window.started_at_s, due.window.stopped_at_s
    lives_s = np.array([(life.started_at_s, life.finished_at_s) for life in due.lives]).reshape(-1, 2)
    edges_s = np.unique(np.append(np.clip(lives_s, started_at_s, stopped_at_s), (started_at_s, stopped_at_s)))
    length_s, middle_s = np.diff(edges_s), (edges_s[1:] + edges_s[:-1]) / 2
    begun, ended = (np.searchsorted(np.sort(instants_s), middle_s) for instants_s in lives_s.T)
    present_s = np.where(begun > ended, length_s, 0.0)
    if not present_s.any():
        return EnergyTrace.of_window(started_at_s, stopped_at_s, energy_j)
    idle_power_w = min(idle_power_w, max(energy_j / (stopped_at_s - started_at_s), 0.0))
    idle_j = idle_power_w * (length_s - present_s)
    return EnergyTrace(edges_s, idle_j + (energy_j - idle_j.sum()) * present_s / present_s.sum())


def _span(life: Life, weights: Weights) -> Span:
    tokens, stop_s = life.tokens, life.finished_at_s
    first_s = life.first_token_at_s
    if first_s is None:
        first_s = _first_token_at_s(life, weights)
    return Span(
        life.request,
        life.started_at_s,
        min(max(first_s, life.started_at_s), stop_s),
        stop_s,
        max(tokens.input_tokens, tokens.cached_tokens),
        max(tokens.output_tokens, 1),
        tokens.cached_tokens,
    )


def _first_token_at_s(life: Life, weights: Weights) -> float:
    """When the first token of an answer came that was not streamed: as if work had gone on at an even pace."""
    tokens = life.tokens
    prefill = weights.prefill_token_j * max(tokens.input_tokens - tokens.cached_tokens, 0)
    decode = weights.decode_token_j * max(tokens.output_tokens - 1, 0)
    share = prefill / (prefill + decode) if prefill + decode > 0 else 1.0
    return life.started_at_s + share * (life.finished_at_s - life.started_at_s)
