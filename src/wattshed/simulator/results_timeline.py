"""How busy each machine of a run was, and what it drew, bin by bin: means over each bin, exactly.

A query's joules are spread evenly over its time in a slot; what a machine draws idle, asleep or waking is not in here.
"""

from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.simulator.scenario import Run


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """T bins of S machines: `edges_s` has shape (T + 1,), and the means over each bin have shape (T, S)."""

    edges_s: Floats
    running: Floats
    waiting: Floats
    power_w: Floats


def timeline(run: Run, bins: int = 200) -> Timeline:
    """The timeline of one run from its first arrival to its last end; queries that nobody took are nowhere in it."""
    service, arrival_s = run.service, run.scenario.arrival_s
    edges_s = arrival_s[0] + np.linspace(0, max(run.horizon_s, 1e-9), bins + 1)
    parts = []
    for position in range(len(run.scenario.machines)):
        here = (service.position == position) & np.isfinite(service.started_at_s) & np.isfinite(service.finished_at_s)
        began_s, ended_s = service.started_at_s[here], service.finished_at_s[here]
        span_s = np.maximum(ended_s - began_s, 1e-12)
        parts.append(
            (
                _mean(edges_s, began_s, ended_s, np.ones(began_s.size)),
                _mean(edges_s, arrival_s[here], began_s, np.ones(began_s.size)),
                _mean(edges_s, began_s, ended_s, service.energy_j[here] / span_s),
            )
        )
    running, waiting, power_w = (np.column_stack(part) for part in zip(*parts, strict=True))
    return Timeline(edges_s, running, waiting, power_w)


def _mean(edges_s: Floats, began_s: Floats, ended_s: Floats, weight: Floats) -> Floats:
    """Mean over each bin of the sum of the weights of the intervals that cover an instant, shape (T,)."""
    summed = _ramps(edges_s, began_s, weight) - _ramps(edges_s, ended_s, weight)
    found: Floats = np.diff(summed) / np.diff(edges_s)
    return found


def _ramps(at_s: Floats, start_s: Floats, slope: Floats) -> Floats:
    """The sum of slope x (t - start) over all that have started by t, at each of T instants, shape (T,)."""
    order = np.argsort(start_s)
    slopes = np.concatenate([[0.0], np.cumsum(slope[order])])
    offsets = np.concatenate([[0.0], np.cumsum((slope * start_s)[order])])
    started = np.searchsorted(start_s[order], at_s)
    found: Floats = slopes[started] * at_s - offsets[started]
    return found
