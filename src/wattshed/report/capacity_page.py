"""The section of a plan's page about capacity: who is how busy, what slots are worth, what would change the plan."""

from wattshed.planner.capacity_study import CapacityStudy
from wattshed.report.capacity_words import (
    capacity_advice,
    limit_words,
    mind_words,
    not_knowing_words,
    price_words,
    proof_words,
    regret_cells,
)
from wattshed.report.page import Prose, Section, Table
from wattshed.report.words import in_percent_with_bounds
from wattshed.units import kwh, percent

SYSTEM_COLUMNS = (
    "system",
    "replicas",
    "slots each",
    "queries",
    "energy (kWh)",
    "utilisation",
    "a slot-second is worth",
)
"""Header of the systems' table, here and in the terminal."""

REGRET_COLUMNS = ("family", "rule", "J beyond the optimum", "in per cent", "keeps capacity")
"""Header of the rules' table."""


def capacity_section(study: CapacityStudy) -> Section:
    """Everything about capacity, in the order that people ask."""
    found = study.found
    limit = [] if study.max_runtime_s is None else [Prose(limit_words(study.max_runtime_s, study.ruled_out))]
    return Section(
        "What to do within capacity",
        [
            Prose(capacity_advice(study), quote=True),
            *limit,
            Table("How busy the systems are, and what their slots are worth", SYSTEM_COLUMNS, system_rows(study)),
            Prose(f"{price_words(study)} Boundary: {found.plan.boundary}. {proof_words(study)}"),
            Table("Against every system alone, whether or not it holds the load", *_savings(study)),
            Table("What would change the plan", ("change",), [(words,) for words in mind_words(study)]),
            Table("What other rules cost beyond the optimum", REGRET_COLUMNS, regret_rows(study), folded=True),
            Prose(not_knowing_words(study.not_knowing)),
        ],
    )


def system_rows(study: CapacityStudy) -> list[tuple[str, ...]]:
    """A row a system, under `SYSTEM_COLUMNS`."""
    found = study.found
    return [
        (
            share.system,
            str(pool.count),
            str(pool.operation.slots),
            f"{share.queries:,}",
            f"{kwh(share.energy_j):.4g}",
            f"{percent(float(used)):.2f} %",
            f"{price:.4g}",
        )
        for pool, share, used, price in zip(
            found.planning.evaluator.fleet.pools,
            found.plan.shares,
            found.utilisation,
            found.prices.values(),
            strict=True,
        )
    ]


def regret_rows(study: CapacityStudy) -> list[tuple[str, ...]]:
    """A row a rule, under `REGRET_COLUMNS`."""
    return [(one.family, *regret_cells(one)) for one in study.regrets]


def _savings(study: CapacityStudy) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    header = "baseline", "energy saved", "runtime saved", "queries it cannot run"
    rows: list[tuple[str, ...]] = [
        (
            saving.baseline,
            in_percent_with_bounds(saving.energy),
            in_percent_with_bounds(saving.runtime),
            f"{saving.infeasible_queries:,}",
        )
        for saving in (study.found.even.saving, *study.found.plan.savings)
    ]
    return header, rows
