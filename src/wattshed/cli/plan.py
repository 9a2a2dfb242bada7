"""`wattshed plan`: where the queries of a workload should go, what that saves, and the page that shows why."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from wattshed.cli.frame import JsonFlag, check_seconds, emit, table
from wattshed.cli.plan_capacity import capacity_document, capacity_placement, check_flags, show_capacity, show_limit
from wattshed.cli.reading import (
    ColumnFlag,
    ExchangeFlag,
    InputTokensFlag,
    OutputTokensFlag,
    Reading,
    SkipBadFlag,
    WorkloadFlag,
    columns_of,
    objective_of,
)
from wattshed.cli.simulate_plan import check_arrivals, check_plan

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from wattshed.domain.cost import Objective
    from wattshed.domain.plan import Plan
    from wattshed.domain.query import Workload
    from wattshed.planner.capacity_plan import RuledOut
    from wattshed.planner.capacity_study import CapacityStudy
    from wattshed.planner.evaluate import Evaluator
    from wattshed.planner.planning import Planning

EXAMPLES: Final = (
    "Examples: [bold]wattshed plan --fleet fleet.yaml --workload bundled:alpaca[/]  ·  "
    "[bold]wattshed plan --fleet fleet.yaml --workload trace.csv --exchange-w 50 --out out/[/]  ·  "
    "[bold]wattshed plan --fleet fleet.yaml --workload t.parquet --column input_tokens=prompt_len "
    "--column output_tokens=answer_len --json[/]"
)

_FRONT_POINTS = 200
"""Most points of the front in JSON; the exact front has one a distinct exchange rate."""


def command(
    fleet: Annotated[Path, typer.Option(readable=False, help="Fleet file (YAML), like examples/fleet.yaml.")],
    workload: WorkloadFlag,
    lam: Annotated[
        float | None, typer.Option(help="Lambda in [0, 1]: 1 minimises energy, 0 runtime. Default 1.")
    ] = None,
    exchange_w: ExchangeFlag = None,
    input_tokens: InputTokensFlag = None,
    output_tokens: OutputTokensFlag = None,
    column: ColumnFlag = None,
    skip_bad: SkipBadFlag = False,
    capacity: Annotated[
        bool, typer.Option("--capacity", help="Ask no system for more slot-seconds than it has: its slots and count.")
    ] = False,
    horizon_s: Annotated[
        float | None, typer.Option("--horizon-s", help="Time to serve the workload in. Default: that of its arrivals.")
    ] = None,
    max_runtime_s: Annotated[
        float | None, typer.Option("--max-runtime-s", help="Send no query where it would run for longer.")
    ] = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Check the plan with queues and batches, as wattshed simulate has them.")
    ] = False,
    arrivals: Annotated[
        str | None,
        typer.Option(help="How queries come in that check: trace (default), poisson:RATE, burst:RATE,CV, ..."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write report.html, plan.json and placement.csv here.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Plan which system of a fleet serves which queries of a workload.

    Prints the plan of least cost U = lambda E + (1 - lambda) R, and its saving against every system alone.
    """
    check_seconds(horizon_s=horizon_s, max_runtime_s=max_runtime_s)
    check_flags(capacity=capacity, horizon_s=horizon_s, max_runtime_s=max_runtime_s)
    check_arrivals(arrivals, simulate=simulate)
    objective = objective_of(lam, exchange_w)
    reading = Reading(workload, columns_of(column or []), input_tokens, output_tokens, skip_bad)
    evaluator = reading.evaluator(fleet)
    asked = _Asked(capacity, horizon_s, max_runtime_s)
    planning, study, ruled_out = _planned(evaluator, objective, asked)
    capacity_plan = None if study is None else study.found
    check = check_plan(planning, arrivals, capacity=capacity_plan) if simulate else None
    document = _document(planning, asked, ruled_out, study) if out or json_ else {}
    document |= {} if check is None else {"simulation": check.document}
    files = _write(out, planning, document, study) if out else []
    document["files"] = [str(file) for file in files]

    def tell(console: "Console") -> None:
        if study is not None:
            show_capacity(console, study, files)
        else:
            show(console, planning, files)
            if max_runtime_s is not None:
                show_limit(console, max_runtime_s, ruled_out)
        for line in () if check is None else check.lines():
            console.print(line)

    emit(document, as_json=json_, show=tell)


class _Asked(NamedTuple):
    """What limits the plan."""

    capacity: bool
    horizon_s: float | None
    max_runtime_s: float | None


class _Planned(NamedTuple):
    """The plan at infinite capacity, the study under capacity where that was asked, and what was too slow."""

    planning: "Planning"
    study: "CapacityStudy | None"
    ruled_out: "tuple[RuledOut, ...]"


def _planned(evaluator: "Evaluator", objective: "Objective", asked: _Asked) -> _Planned:
    from wattshed.planner.planning import plan

    if not asked.capacity and asked.max_runtime_s is None:
        return _Planned(plan(evaluator, objective), None, ())
    from wattshed.planner.capacity_plan import horizon_of, within

    ruled_out: tuple[RuledOut, ...] = ()
    if asked.max_runtime_s is not None:
        evaluator, ruled_out = within(evaluator, asked.max_runtime_s)
    if not asked.capacity:
        return _Planned(plan(evaluator, objective), None, ruled_out)
    from wattshed.planner.capacity_study import study_capacity

    horizon_s = horizon_of(evaluator.workload) if asked.horizon_s is None else asked.horizon_s
    planning = plan(evaluator, objective)
    study = study_capacity(planning, horizon_s=horizon_s, max_runtime_s=asked.max_runtime_s, ruled_out=ruled_out)
    return _Planned(planning, study, ruled_out)


def show(console: "Console", planning: "Planning", files: list[Path]) -> None:
    """Print the plan for people."""
    from wattshed.planner.evaluate import best_baseline
    from wattshed.report.words import in_percent_with_bounds, plan_advice, plan_changes
    from wattshed.units import kwh

    console.print(plan_advice(planning))
    rows = table("Policies", "policy", "energy\nkWh", "saved against\nbest single", "mean\ns", "p95\ns")
    for name, plan in planning.plans.items():
        row = f"{kwh(plan.energy_j.value):.4g}", in_percent_with_bounds(best_baseline(plan).energy)
        rows.add_row(name, *row, f"{plan.mean_runtime_s:.3g}", f"{plan.p95_runtime_s:.3g}")
    console.print(rows)
    rows = table("The optimum against one system", "baseline", "energy\nsaved", "runtime\nsaved", "cannot\nrun")
    for saving in planning.chosen.savings:
        intervals = in_percent_with_bounds(saving.energy), in_percent_with_bounds(saving.runtime)
        rows.add_row(saving.baseline, *intervals, f"{saving.infeasible_queries:,}")
    console.print(rows)
    changes = plan_changes(planning)
    console.print("What would change its mind:" if changes else "Nothing that is known would change its mind.")
    for sentence in changes:
        console.print(f"  {sentence}")
    console.print(f"Boundary: {planning.chosen.boundary}. Infinite capacity: nobody waits.")
    if planning.evaluator.workload.bad_rows:
        console.print(f"{planning.evaluator.workload.bad_rows:,} bad rows were left out.")
    for file in files:
        console.print(f"wrote {file}")


def _document(
    planning: "Planning", asked: _Asked, ruled_out: "tuple[RuledOut, ...]", study: "CapacityStudy | None"
) -> dict[str, object]:
    limit = {} if asked.max_runtime_s is None else {"max_runtime_s": asked.max_runtime_s, "ruled_out": ruled_out}
    return _unlimited(planning) | limit | ({} if study is None else capacity_document(study))


def _unlimited(planning: "Planning") -> dict[str, object]:
    import numpy as np

    from wattshed.planner.changes import idle_change, little_trade, power_changes

    front = planning.front()
    kept = np.unique(np.linspace(0, front.energy_j.size - 1, _FRONT_POINTS).round().astype(int))
    return {
        "fleet": planning.evaluator.fleet.name,
        "workload": _workload_summary(planning.evaluator.workload),
        "objective": asdict(planning.objective) | {"exchange_w": _finite(planning.objective.exchange_w)},
        "boundary": planning.chosen.boundary,
        "changes": {
            "trade": little_trade(planning),
            "powers": power_changes(planning),
            "idle": idle_change(planning),
        },
        "plans": {name: _plan_summary(plan) for name, plan in planning.plans.items()},
        "front": [
            {"exchange_w": w, "lam": lam, "energy_j": e, "runtime_s": r}
            for w, lam, e, r in zip(
                front.exchange_w[kept], front.lam[kept], front.energy_j[kept], front.runtime_s[kept], strict=True
            )
        ],
    }


def _workload_summary(workload: "Workload") -> dict[str, object]:
    return {
        "name": workload.name,
        "queries": workload.total_queries,
        "shapes": int(workload.queries.size),
        "tokens": workload.total_tokens,
        "bad_rows": workload.bad_rows,
    }


def _plan_summary(plan: "Plan") -> dict[str, object]:
    from wattshed.planner.evaluate import best_baseline

    kept = ("policy", "shares", "energy_j", "runtime_s", "mean_runtime_s", "p95_runtime_s", "savings")
    return {name: getattr(plan, name) for name in kept} | {"best_baseline": best_baseline(plan).baseline}


def _finite(value: float) -> float | None:
    return value if value != float("inf") else None


def _write(
    out: Path, planning: "Planning", document: dict[str, object], study: "CapacityStudy | None" = None
) -> list[Path]:
    from wattshed.cli.frame import encoded
    from wattshed.files import write_whole
    from wattshed.report.capacity_page import capacity_section
    from wattshed.report.capacity_words import capacity_advice
    from wattshed.report.page import page, write_page
    from wattshed.report.plan_page import plan_sections
    from wattshed.report.words import plan_advice

    title = f"{planning.evaluator.workload.name} on {planning.evaluator.fleet.name}"
    lead, sections, placement = plan_advice(planning), plan_sections(planning), _placement(planning)
    if study is not None:
        lead, placement = capacity_advice(study), capacity_placement(study)
        sections = [capacity_section(study), *(section.under("At infinite capacity: ") for section in sections)]
    return [
        write_page(out / "report.html", page(title, lead, sections)),
        write_whole(out / "plan.json", encoded(document)),
        write_whole(out / "placement.csv", placement.write_csv().encode()),
    ]


def _placement(planning: "Planning") -> "pl.DataFrame":
    import polars as pl

    workload, names = planning.evaluator.workload, planning.evaluator.fleet.names
    return pl.DataFrame(
        {
            "input_tokens": workload.input_tokens,
            "output_tokens": workload.output_tokens,
            "queries": workload.queries,
            "system": [names[position] for position in planning.chosen.assignment],
        }
    )
