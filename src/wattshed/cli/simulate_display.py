"""What `wattshed simulate` found: one document for machines, tables for people, and the files of `--out`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from wattshed.cli.frame import encoded, table
from wattshed.cli.narrow import print_table

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console
    from rich.table import Table

    from wattshed.cli.simulate_scenario import Chances
    from wattshed.planner.evaluate import Evaluator
    from wattshed.simulator.results import Summary
    from wattshed.simulator.results_comparison import Comparison
    from wattshed.simulator.scenario import Run


def document(evaluator: "Evaluator", comparison: "Comparison", chances: "Chances") -> dict[str, object]:
    """Everything, as plain values."""
    run = comparison.runs[comparison.chosen]
    return {
        "fleet": evaluator.fleet.name,
        "workload": {"name": evaluator.workload.name, "queries": int(run.scenario.bucket.size)},
        "arrivals": comparison.arrivals,
        "seeds": chances.seeds,
        "seed": chances.seed,
        "warm_up_s": chances.warm_up_s,
        "boundary": comparison.boundary,
        "machines": [
            {"name": one.name, "replicas": one.replicas, "batching": one.steps is not None, **asdict(one.operation)}
            for one in run.scenario.machines
        ],
        "policies": comparison.summaries,
        "differences": comparison.differences,
    }


def show(console: "Console", comparison: "Comparison", files: Sequence[Path]) -> None:
    """Print the tables, and under them whatever qualifies their numbers."""
    from wattshed.report.simulation_words import caveats, verdicts

    print_table(console, _policies(comparison.summaries))
    print_table(console, _times(comparison.summaries), names=2)
    print_table(console, _systems(comparison.summaries), names=2)
    for line in (*verdicts(comparison), *caveats(comparison)):
        console.print(line)
    for file in files:
        console.print(f"wrote {file}")


def write(out: Path, evaluator: "Evaluator", comparison: "Comparison", told: dict[str, object]) -> list[Path]:
    """Write the page, the document and the queries of the first seed, and return their paths."""
    import io

    from wattshed.files import write_whole
    from wattshed.report.page import page, write_page
    from wattshed.report.simulation_page import lead, simulation_sections

    title = f"{evaluator.workload.name} on {evaluator.fleet.name}, simulated"
    rows = io.BytesIO()
    queries(comparison).write_parquet(rows)
    return [
        write_page(out / "report.html", page(title, lead(comparison), simulation_sections(comparison))),
        write_whole(out / "simulation.json", encoded(told)),
        write_whole(out / "queries.parquet", rows.getvalue()),
    ]


def queries(comparison: "Comparison") -> "pl.DataFrame":
    """Every query of the first seed under every policy, with the columns of `schema.SIMULATED`."""
    import polars as pl

    return pl.concat([_rows(name, run) for name, run in comparison.runs.items()])


def _rows(name: str, run: "Run") -> "pl.DataFrame":
    import polars as pl

    from wattshed.domain.schema import SIMULATED
    from wattshed.simulator.scenario import OUTCOMES

    scenario, service = run.scenario, run.service
    names = pl.Series([*(machine.name for machine in scenario.machines), None], dtype=pl.String)
    instants = (service.started_at_s, service.first_token_at_s, service.finished_at_s)
    columns: tuple[object, ...] = (
        pl.repeat(name, scenario.bucket.size, eager=True),
        scenario.arrival_s,
        scenario.input_tokens[scenario.bucket],
        scenario.output_tokens[scenario.bucket],
        names.gather(pl.Series(service.position % names.len())),  # -1, for nobody, is the null at the end
        pl.Series(service.replica).set(pl.Series(service.position < 0), None),
        *(pl.Series(instant).fill_nan(None) for instant in instants),
        pl.Series(service.energy_j).fill_nan(None),
        pl.Series(OUTCOMES).gather(pl.Series(service.outcome)),
        service.preemptions,
    )
    return pl.DataFrame({column.name: values for column, values in zip(SIMULATED, columns, strict=True)})


def _policies(summaries: "Mapping[str, Summary]") -> "Table":
    from wattshed.report.simulation_words import shown, shown_in_kwh

    rows = table(
        "Policies (mean of the seeds ± half its 95 % interval)",
        *(
            "policy",
            "energy\nkWh",
            "of queries\nkWh",
            "J\na query",
            "com-\npleted",
            "turned\naway",
            "lost",
            "queries\na second",
        ),
    )
    for name, one in summaries.items():
        counts = (shown(one.outcomes[outcome], digits=7) for outcome in ("completed", "turned_away", "lost"))
        joules = shown_in_kwh(one.energy_j), shown_in_kwh(one.served_energy_j), shown(one.energy_per_query_j)
        rows.add_row(name, *joules, *counts, shown(one.throughput_per_s))
    return rows


def _times(summaries: "Mapping[str, Summary]") -> "Table":
    from wattshed.report.simulation_words import shown
    from wattshed.simulator.results import STATISTICS, TIMES

    rows = table("Times in seconds", "policy", "from", *STATISTICS, names=2)
    for name, one in summaries.items():
        for time, meaning in TIMES.items():
            rows.add_row(name, meaning, *(shown(figure) for figure in one.times[time].values()))
    return rows


def _systems(summaries: "Mapping[str, Summary]") -> "Table":
    from wattshed.report.simulation_words import shown, shown_in_kwh
    from wattshed.units import percent

    states = ("busy", "idle", "asleep", "waking")
    headers = ("slots in\nuse %", *(f"{state}\nkWh" for state in states))
    rows = table("What each system did", "policy", "system", "queries", *headers, names=2)
    for name, one in summaries.items():
        for system in one.systems:
            used = shown(system.utilisation, scale=percent(1))
            joules = (shown_in_kwh(system.energy_j.get(state)) for state in states)
            rows.add_row(name, system.name, shown(system.queries, digits=7), used, *joules)
    return rows
