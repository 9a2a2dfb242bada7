"""What one change does to the cost of an output token: the KV cache, requests in flight, the launching of kernels.

A *contrast* sets two systems side by side that differ in one thing, cell by cell, and only in cells that both
measured. Nothing is averaged over cells: what the host paced would hide among what the device did. Hosts are never
pooled, and where one host measured both sides, contrasts across hosts are left out; so is one across hosts whose cells
another has, with more or before it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Final, Literal

from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Measurement
from wattshed.domain.system import EAGER, System
from wattshed.report.profile_points import Point, Trials, output_quantities, point

Effect = Literal["cache", "launch"]
"""What a contrast changes: the KV cache, or eager launching against the replay of a graph."""

Shape = tuple[int, int]
"""Requested input and output tokens."""


@dataclass(frozen=True, slots=True)
class TokenCost:
    """What one output token costs in one cell: joules, unless nobody measured them, and seconds of its query."""

    energy: Point | None
    runtime: Point

    @property
    def host_bound(self) -> bool:
        """Whether the host paced a trial of the cell."""
        return self.runtime.host_bound


@dataclass(frozen=True, slots=True)
class Pair:
    """One cell on both sides of a contrast."""

    shape: Shape
    before: TokenCost
    after: TokenCost

    @property
    def joules_ratio(self) -> float | None:
        """How many times more joules before than after; `None` where a side has none."""
        if self.before.energy is None or self.after.energy is None or not self.after.energy.mean:
            return None
        return self.before.energy.mean / self.after.energy.mean

    @property
    def seconds_ratio(self) -> float:
        """How many times more seconds before than after."""
        return self.before.runtime.mean / self.after.runtime.mean


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two systems that differ in one thing, and the cells that both measured, by shape."""

    before: System
    after: System
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """One shape at several numbers of requests in flight, rising, on one system; joules of one request of them."""

    system: System
    shape: Shape
    costs: tuple[TokenCost, ...]


def contrasts(trials: Trials, effect: Effect, channel: Channel) -> list[Contrast]:
    """Every contrast of one effect in a profile, one request in flight."""
    alone = {system: costs(own, channel) for system, own in trials.items() if system.concurrency == 1}
    found = [
        Contrast(before, after, _pairs(alone[before], alone[after]))
        for before, after in permutations(alone, 2)
        if _CHANGES[effect](before, after)
    ]
    at_home = {_apart_from_host(one) for one in found if one.before.host == one.after.host}
    kept = [
        one
        for one in found
        if one.pairs and (one.before.host == one.after.host or _apart_from_host(one) not in at_home)
    ]
    return [
        one
        for place, one in enumerate(kept)
        if not any(_within(one, other, earlier=at < place) for at, other in enumerate(kept))
    ]


def batches(trials: Trials, channel: Channel) -> list[Batch]:
    """Every shape of a profile that was measured at several concurrencies."""
    cells: dict[tuple[System, Shape], dict[int, TokenCost]] = defaultdict(dict)
    for system, own in trials.items():
        for shape, cost in costs(own, channel).items():
            cells[system.single, shape][system.concurrency] = _at(cost, system.concurrency)
    return [
        Batch(system, shape, tuple(cost for _, cost in sorted(by_concurrency.items())))
        for (system, shape), by_concurrency in cells.items()
        if len(by_concurrency) > 1
    ]


def costs(trials: Iterable[Measurement], channel: Channel) -> dict[Shape, TokenCost]:
    """What an output token costs in every cell of one system, in order of shape."""
    cells: dict[Shape, list[Measurement]] = defaultdict(list)
    for trial in trials:
        cells[trial.requested_input_tokens, trial.requested_output_tokens].append(trial)
    energy_of, runtime_of = output_quantities(channel).values()
    found = {}
    for shape, pool in sorted(cells.items()):
        runtime = point(shape[1], pool, runtime_of)
        if runtime is not None:
            found[shape] = TokenCost(point(shape[1], pool, energy_of), runtime)
    return found


def _pairs(before: dict[Shape, TokenCost], after: dict[Shape, TokenCost]) -> tuple[Pair, ...]:
    return tuple(Pair(shape, cost, after[shape]) for shape, cost in before.items() if shape in after)


def _at_home(before: System, after: System) -> System:
    """The system under the other's name and on its host, neither of which is what a contrast changes."""
    return replace(before, name=after.name, host=after.host)


def _cached(before: System, after: System) -> bool:
    changed = before.kv_cache is False and after.kv_cache is True
    return changed and replace(_at_home(before, after), kv_cache=True) == after


def _graphed(before: System, after: System) -> bool:
    """The same engine with the same cache but for its last word, which is how it launches, and which both name."""
    relaunched = (before.engine or "").removesuffix(EAGER) + after.configuration
    return after.configuration != EAGER and replace(_at_home(before, after), engine=relaunched) == after


_CHANGES: Final[dict[Effect, Callable[[System, System], bool]]] = {"cache": _cached, "launch": _graphed}


def _apart_from_host(contrast: Contrast) -> tuple[System, System]:
    return replace(contrast.before, host=None), replace(contrast.after, host=None)


def _within(one: Contrast, other: Contrast, *, earlier: bool) -> bool:
    """Whether a contrast across hosts has no cell that another of the same work lacks, with more or before it."""
    shapes, others = _shapes(one), _shapes(other)
    hidden = shapes < others or (earlier and shapes == others)
    return hidden and one.before.host != one.after.host and _work(one.after) == _work(other.after)


def _work(system: System) -> System:
    return replace(system, name="", host=None)


def _shapes(contrast: Contrast) -> set[Shape]:
    return {pair.shape for pair in contrast.pairs}


def _at(cost: TokenCost, concurrency: int) -> TokenCost:
    energy = None if cost.energy is None else replace(cost.energy, at=concurrency)
    return TokenCost(energy, replace(cost.runtime, at=concurrency))


def known_ratios(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs that have joules on both sides, by rising ratio."""
    return sorted((pair for pair in pairs if pair.joules_ratio is not None), key=lambda pair: pair.joules_ratio or 0.0)
