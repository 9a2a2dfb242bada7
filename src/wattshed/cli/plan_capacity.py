"""What `wattshed plan --capacity` prints and writes beside what the plan without capacity does."""

from typing import TYPE_CHECKING

from wattshed.cli.frame import table
from wattshed.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl
    from rich.console import Console

    from wattshed.planner.capacity_front import CapacityFront
    from wattshed.planner.capacity_plan import RuledOut
    from wattshed.planner.capacity_study import CapacityStudy


def check_flags(*, capacity: bool, horizon_s: float | None, max_runtime_s: float | None) -> None:
    """`UsageError` for a horizon without capacity, and for limits that leave no time."""
    if horizon_s is not None and not capacity:
        raise UsageError("--horizon-s says over what time slots are counted; give --capacity as well")
    for flag, asked_s in (("--horizon-s", horizon_s), ("--max-runtime-s", max_runtime_s)):
        if asked_s is not None and not asked_s > 0:
            raise UsageError(f"{flag} wants seconds above 0, got {asked_s:g}")


def show_limit(console: "Console", max_runtime_s: float, ruled_out: "Sequence[RuledOut]") -> None:
    """Print what the longest runtime ruled out."""
    from wattshed.report.capacity_words import limit_words

    console.print(limit_words(max_runtime_s, ruled_out))


def show_capacity(console: "Console", study: "CapacityStudy", files: "Sequence[Path]") -> None:
    """Print the plan under capacity for people."""
    from wattshed.report.capacity_page import REGRET_COLUMNS, SYSTEM_COLUMNS, regret_rows, system_rows
    from wattshed.report.capacity_words import (
        capacity_advice,
        mind_words,
        not_knowing_words,
        price_words,
        proof_words,
    )
    from wattshed.report.words import in_percent_with_bounds

    console.print(capacity_advice(study))
    if study.max_runtime_s is not None:
        show_limit(console, study.max_runtime_s, study.ruled_out)
    rows = table("Systems", *SYSTEM_COLUMNS)
    for row in system_rows(study):
        rows.add_row(*row)
    console.print(rows)
    console.print(price_words(study))
    rows = table("The optimum against others", "baseline", "energy\nsaved", "runtime\nsaved", "cannot\nrun")
    for saving in (study.found.even.saving, *study.found.plan.savings):
        intervals = in_percent_with_bounds(saving.energy), in_percent_with_bounds(saving.runtime)
        rows.add_row(saving.baseline, *intervals, f"{saving.infeasible_queries:,}")
    console.print(rows)
    rows = table("What other rules cost beyond the optimum", *REGRET_COLUMNS, names=2)
    for row in regret_rows(study):
        rows.add_row(*row)
    console.print(rows)
    console.print("What would change its mind:")
    for words in mind_words(study):
        console.print(f"  {words}")
    console.print(not_knowing_words(study.not_knowing))
    console.print(f"Boundary: {study.found.plan.boundary}. {proof_words(study)}")
    for file in files:
        console.print(f"wrote {file}")


def capacity_document(study: "CapacityStudy") -> dict[str, object]:
    """The study in plain values; `prices` and `tilts` go by system, in U per slot-second."""
    found = study.found
    names = found.planning.evaluator.fleet.names
    tilts = found.policy.tilts or (0.0,) * len(names)
    proof = found.assignment.certificate
    return {
        "prices": dict(zip(names, found.policy.prices, strict=True)),
        "tilts": dict(zip(names, tilts, strict=True)),
        "capacity": {
            "horizon_s": found.horizon_s,
            "max_runtime_s": study.max_runtime_s,
            "ruled_out": study.ruled_out,
            "systems": _systems(study),
            "energy_j": found.plan.energy_j,
            "runtime_s": found.plan.runtime_s,
            "energy_beyond_unlimited_j": found.capacity_energy_j,
            "savings": (found.even.saving, *found.plan.savings),
            "certificate": {
                "primal": proof.primal,
                "dual": proof.dual,
                "gap": proof.gap,
                "most_overload": proof.most_overload,
                "whole_queries_dearer": found.whole.dearer,
            },
            "lambda_range": study.lambdas,
            "replicas": study.changes,
            "regrets": study.regrets,
            "not_knowing": study.not_knowing,
            "front": _front(study.front()),
        },
    }


def capacity_placement(study: "CapacityStudy") -> "pl.DataFrame":
    """Who serves what: a row for each shape and each system that serves some of it."""
    import numpy as np
    import polars as pl

    found = study.found
    workload, names = found.planning.evaluator.workload, found.planning.evaluator.fleet.names
    shape, position = np.nonzero(found.whole.amounts)
    return pl.DataFrame(
        {
            "input_tokens": workload.input_tokens[shape],
            "output_tokens": workload.output_tokens[shape],
            "queries": found.whole.amounts[shape, position],
            "system": [names[at] for at in position],
        }
    )


def _systems(study: "CapacityStudy") -> list[dict[str, object]]:
    found = study.found
    shares, pools = found.plan.shares, found.planning.evaluator.fleet.pools
    return [
        {
            "system": share.system,
            "replicas": pool.count,
            "slots": pool.operation.slots,
            "queries": share.queries,
            "energy_j": share.energy_j,
            "runtime_s": share.runtime_s,
            "utilisation": float(used),
            "shadow_price": price,
        }
        for share, pool, used, price in zip(shares, pools, found.utilisation, found.prices.values(), strict=True)
    ]


def _front(front: "CapacityFront") -> dict[str, object]:
    rates = [rate if rate != float("inf") else None for rate in front.exchange_w.tolist()]
    return {
        "exchange_w": rates,
        "energy_j": front.energy_j,
        "runtime_s": front.runtime_s,
        "exact_edges": front.edges,
        "most_below": front.most_below,
    }
