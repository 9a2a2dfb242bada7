"""Why a fleet cannot hold a load: which queries, on which systems, how much is missing, and what would suffice.

The least overload (phase 1 of the simplex method) is the capacity problem without costs, where a price is at most 1.
Its prices are positive on the systems that bind together and 0 on those with room, so the queries that are stuck are
those that only binding systems can run. How many replicas would suffice is found by bisection, a system at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np

from wattshed.domain.arrays import Booleans, Floats
from wattshed.errors import InfeasibleError
from wattshed.planner.capacity_dual import scaled
from wattshed.planner.capacity_ties import least_overload

_BINDING: Final = 1e-6
"""Prices above this count as positive; they are 0, or of the order of 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """B shapes on S systems without their costs: `queries` (B,), `runtime_s` and `open_cells` (B, S), and capacities.

    `replica_slot_s` (S,) is what one more replica would add.
    """

    names: tuple[str, ...]
    queries: Floats
    runtime_s: Floats
    open_cells: Booleans
    capacity_slot_s: Floats
    replica_slot_s: Floats | None = None


def explain(load: Load, fits: Callable[[Floats], bool]) -> InfeasibleError:
    """The error that says what is missing; `fits` says whether capacities (S,) hold the load."""
    closed = ~load.open_cells.any(axis=1)
    if closed.any():
        return InfeasibleError(
            f"{load.queries[closed].sum():,.0f} of {load.queries.sum():,.0f} queries fit no system that has capacity; "
            f"add a system with higher limits, or replicas"
        )
    least = least_overload(
        scaled(load.queries, 0 * load.runtime_s, load.runtime_s, load.open_cells, load.capacity_slot_s)
    )
    binding = least.prices > _BINDING
    held_slot_s = float(load.capacity_slot_s[binding].sum())
    return InfeasibleError(
        f"the fleet cannot hold the load: {_stuck(load, binding)} {held_slot_s:,.0f} slot-seconds are at least "
        f"{least.slot_s:,.0f} too few; {_remedy(load, fits)}"
    )


def _stuck(load: Load, binding: Booleans) -> str:
    """Which queries have nowhere to go but the binding (S,) systems."""
    if binding.all():
        return f"for {load.queries.sum():,.0f} queries its"
    stuck = ~(load.open_cells & ~binding).any(axis=1)
    names = " and ".join(name for name, binds in zip(load.names, binding, strict=True) if binds)
    return f"{load.queries[stuck].sum():,.0f} of {load.queries.sum():,.0f} queries can only run on {names}, whose"


def _remedy(load: Load, fits: Callable[[Floats], bool]) -> str:
    """What would suffice, one system at a time; the fix of the message."""
    enough = []
    for position, name in enumerate(load.names):
        replicas = _replicas(load, position, fits)
        if replicas is not None:
            enough.append(f"{replicas:,} more of {name}")
    longer = "allow more time (--horizon-s)"
    return f"add {', or '.join(enough)}, or {longer}" if enough else f"add several systems, or {longer}"


def _replicas(load: Load, position: int, fits: Callable[[Floats], bool]) -> int | None:
    """The fewest replicas of one system that suffice; `None` where no number does."""
    if load.replica_slot_s is None:
        return None
    one_more = np.zeros(len(load.names))
    one_more[position] = load.replica_slot_s[position]
    every_s = float(load.queries @ np.where(load.open_cells[:, position], load.runtime_s[:, position], 0.0))
    least, most = 0, ceil(every_s / float(load.replica_slot_s[position]))
    if most == 0 or not fits(load.capacity_slot_s + most * one_more):
        return None
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if fits(load.capacity_slot_s + middle * one_more) else (middle, most)
    return most
