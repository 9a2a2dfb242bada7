"""`wattshed plan`: where the queries of a workload should go, what that saves, and the page that shows why."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, emit, table
from wattshed.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.domain.cost import Objective
    from wattshed.domain.plan import Plan
    from wattshed.domain.query import Workload
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
    workload: Annotated[str, typer.Option(help="CSV, JSONL or Parquet of queries, or bundled:alpaca.")],
    lam: Annotated[
        float | None, typer.Option(help="Lambda in [0, 1]: 1 minimises energy, 0 runtime. Default 1.")
    ] = None,
    exchange_w: Annotated[
        float | None, typer.Option("--exchange-w", help="Instead of lambda: watts you would spend to save a second.")
    ] = None,
    input_tokens: Annotated[
        int | None, typer.Option(help="Input tokens of every query, where the file has none.")
    ] = None,
    output_tokens: Annotated[int | None, typer.Option(help="Output tokens of every query, where it has none.")] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="OURS=THEIRS", help="Name a column of the file; repeat.")
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, and count them.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write report.html, plan.json and placement.csv here.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Plan which system of a fleet serves which queries of a workload.

    Prints the plan of least cost U = lambda E + (1 - lambda) R, and its saving against every system alone.
    """
    from wattshed.datasets.fleets import read_fleet, read_fleet_profile, resolve
    from wattshed.datasets.workloads import read_workload
    from wattshed.planner.planning import evaluator_of, fit_fleet, plan

    objective = _objective(lam, exchange_w)
    wanted = read_fleet(fleet)
    with ThreadPoolExecutor(1) as reader:  # a long trace is read while the predictors are fitted
        queries = reader.submit(
            read_workload,
            workload,
            columns=columns_of(column or []),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            skip_bad=skip_bad,
        )
        profile = read_fleet_profile(wanted)
        wanted = resolve(wanted, profile)
        evaluator = evaluator_of(wanted, profile, fit_fleet(wanted, profile), queries.result())
    planning = plan(evaluator, objective)
    document = _document(planning) if out or json_ else {}
    files = _write(out, planning, document) if out else []
    document["files"] = [str(file) for file in files]
    emit(document, as_json=json_, show=lambda console: show(console, planning, files))


def show(console: "Console", planning: "Planning", files: list[Path]) -> None:
    """Print the plan for people."""
    from wattshed.planner.evaluate import best_baseline
    from wattshed.report.words import in_percent_with_bounds, plan_advice
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
    console.print(f"Boundary: {planning.chosen.boundary}. Infinite capacity: nobody waits.")
    if planning.evaluator.workload.bad_rows:
        console.print(f"{planning.evaluator.workload.bad_rows:,} bad rows were left out.")
    for file in files:
        console.print(f"wrote {file}")


def _objective(lam: float | None, exchange_w: float | None) -> "Objective":
    from wattshed.domain.cost import Objective

    if lam is not None and exchange_w is not None:
        raise UsageError("--lam and --exchange-w say the same thing twice; give one of them")
    try:
        return Objective(lam=1.0 if lam is None else lam) if exchange_w is None else Objective.from_exchange(exchange_w)
    except ValueError as error:
        raise UsageError(f"{'--lam' if exchange_w is None else '--exchange-w'}: {error}") from error


def columns_of(pairs: list[str]) -> dict[str, str] | None:
    """Names of columns by ours, from the values of `--column`; `None` where it was not given."""
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--column wants OURS=THEIRS, like input_tokens=prompt_len; got {pair!r}")
    return {ours: theirs for ours, _, theirs in (pair.partition("=") for pair in pairs)} or None


def _document(planning: "Planning") -> dict[str, object]:
    import numpy as np

    front = planning.front()
    kept = np.unique(np.linspace(0, front.energy_j.size - 1, _FRONT_POINTS).round().astype(int))
    return {
        "fleet": planning.evaluator.fleet.name,
        "workload": _workload_summary(planning.evaluator.workload),
        "objective": asdict(planning.objective) | {"exchange_w": _finite(planning.objective.exchange_w)},
        "boundary": planning.chosen.boundary,
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


def _write(out: Path, planning: "Planning", document: dict[str, object]) -> list[Path]:
    import polars as pl

    from wattshed.cli.frame import encoded
    from wattshed.files import write_whole
    from wattshed.report.page import page, write_page
    from wattshed.report.plan_page import plan_sections
    from wattshed.report.words import plan_advice

    workload = planning.evaluator.workload
    names = planning.evaluator.fleet.names
    placement = pl.DataFrame(
        {
            "input_tokens": workload.input_tokens,
            "output_tokens": workload.output_tokens,
            "queries": workload.queries,
            "system": [names[position] for position in planning.chosen.assignment],
        }
    )
    title = f"{workload.name} on {planning.evaluator.fleet.name}"
    report = write_page(out / "report.html", page(title, plan_advice(planning), plan_sections(planning)))
    return [
        report,
        write_whole(out / "plan.json", encoded(document)),
        write_whole(out / "placement.csv", placement.write_csv().encode()),
    ]
