"""What a profile's figures show: means with intervals, along a sweep, over a batch, or split at the first token.

Works from trials alone, so a published profile draws the same figures as the machine it was measured on.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System
from wattshed.profiler.interval import half_width, t_quantile
from wattshed.units import milliseconds

Along = Literal["input", "output"]

FROZEN_TOKENS: Final = 32
"""What the paper freezes the other length at; a grid that lacks it is cut where it is closest."""

Quantity = Callable[[Measurement], float | None]

Trials = Mapping[System, Sequence[Measurement]]


@dataclass(frozen=True, slots=True)
class Point:
    """Mean of K trials at one setting, with the half-width of its 95 % t-interval; None at K = 1.

    `host_bound` says that the host paced one of them or more: the mean then tells of the host as well. `at` is what
    the setting counts: tokens along a sweep, requests in flight along a batch.
    """

    at: int
    mean: float
    half_width: float | None
    trials: int
    host_bound: bool = False


def quantities(channel: Channel) -> dict[str, Quantity]:
    """What Figures 1 and 2 plot, by their names there."""

    def per_token_j(trial: Measurement) -> float | None:
        energy_j = trial.energy_j(channel)
        return None if energy_j is None else energy_j / (trial.input_tokens + trial.output_tokens)

    return {
        "runtime_s": lambda trial: trial.query_runtime_s,
        "throughput_tokens_per_s": lambda trial: (trial.input_tokens + trial.output_tokens) / trial.query_runtime_s,
        "energy_per_token_j": per_token_j,
    }


def output_quantities(channel: Channel) -> dict[str, Quantity]:
    """What one output token costs, the prefill shared out over them: the quantities of the effects."""

    def per_output_token_j(trial: Measurement) -> float | None:
        energy_j = trial.energy_j(channel)
        return None if energy_j is None else energy_j / trial.output_tokens

    return {
        "energy_per_output_token_j": per_output_token_j,
        "runtime_per_output_token_s": lambda trial: trial.query_runtime_s / trial.output_tokens,
    }


def first_token_quantities() -> dict[str, Quantity]:
    """What a query takes until its first token, and for each one after it, by the titles of their panels."""

    def later_token_ms(trial: Measurement) -> float | None:
        if trial.ttft_s is None or trial.output_tokens < 2:
            return None
        return milliseconds((trial.query_runtime_s - trial.ttft_s) / (trial.output_tokens - 1))

    return {
        "To the first token (ms)": lambda trial: None if trial.ttft_s is None else milliseconds(trial.ttft_s),
        "Each token after it (ms)": later_token_ms,
    }


def measured(profile: Profile) -> dict[System, list[Measurement]]:
    """The trials that count, by system, without warm-ups and validation experiments."""
    trials: dict[System, list[Measurement]] = defaultdict(list)
    for trial in profile.measurements:
        if not trial.warm_up and trial.experiment not in profile.validation_experiments:
            trials[trial.system].append(trial)
    return dict(sorted(trials.items(), key=lambda item: (item[0].name, item[0].model, item[0].concurrency)))


def sweep(trials: Iterable[Measurement], along: Along, quantity: Quantity) -> list[Point]:
    """Points along one length, the other frozen at 32 or as near to it as was measured."""
    cells: dict[tuple[int, int], list[Measurement]] = defaultdict(list)
    for trial in trials:
        m, n = trial.requested_input_tokens, trial.requested_output_tokens
        if quantity(trial) is not None:
            cells[(m, n) if along == "input" else (n, m)].append(trial)
    if not cells:
        return []
    frozen = _nearest({other for _, other in cells})
    swept = [point(tokens, pool, quantity) for (tokens, other), pool in sorted(cells.items()) if other == frozen]
    return [found for found in swept if found is not None]


def frozen_tokens(trials: Iterable[Measurement], along: Along) -> int | None:
    """What the other length of a sweep is frozen at; `None` without trials."""
    return _nearest(
        {trial.requested_output_tokens if along == "input" else trial.requested_input_tokens for trial in trials}
    )


def _nearest(lengths: Collection[int]) -> int | None:
    return min(lengths, key=lambda length: abs(np.log(length / FROZEN_TOKENS)), default=None)


def knee(points: Sequence[Point]) -> float | None:
    """Tokens at which a runtime sweep turns from flat to rising: where its floor meets its last slope's line.

    Below the knee a step costs the same whatever its length (launches, weights); above it the arithmetic of the tokens
    takes over, the two roofs of a roofline. None where the sweep never leaves its floor.
    """
    if len(points) < 3:
        return None
    floor_s, last = min(point.mean for point in points), points[-1]
    per_token_s = last.mean / last.at
    found = floor_s / per_token_s
    return found if found < last.at / 2 else None


def point(at: int, trials: Iterable[Measurement], quantity: Quantity) -> Point | None:
    """The mean of a quantity over the trials that know it; `None` where none does."""
    known = [(value, trial.bound == "host") for trial in trials if (value := quantity(trial)) is not None]
    if not known:
        return None
    values = np.array([value for value, _ in known])
    half = half_width(values, t_quantile(values.size - 1, 0.95)) if values.size > 1 else None
    return Point(at, float(values.mean()), half, values.size, any(by_host for _, by_host in known))
