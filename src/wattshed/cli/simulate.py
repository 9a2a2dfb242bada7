"""`wattshed simulate`: a fleet under load, with queues, batches, sleep and failures, policy beside policy."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, check_seconds, emit, stderr
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

if TYPE_CHECKING:
    from wattshed.cli.simulate_policies import Rule
    from wattshed.cli.simulate_scenario import Chances
    from wattshed.domain.cost import Objective
    from wattshed.planner.evaluate import Evaluator
    from wattshed.simulator.results_comparison import Comparison

EXAMPLES: Final = (
    "Examples: [bold]wattshed simulate --fleet fleet.yaml --workload trace.csv --policy least-cost[/]  ·  "
    "[bold]wattshed simulate --fleet fleet.yaml --workload bundled:alpaca --arrivals poisson:0.5 --queries 5000 "
    "--policy least-cost --against all-to:a100 --against shortest-queue --out out/[/]  ·  "
    "[bold]wattshed simulate --fleet fleet.yaml --workload trace.csv --arrivals 'trace*2' "
    "--policy threshold:below=mac,above=a100,most_tokens=32 --exchange-w 50 --json[/]"
)

SEEDS: Final = 5


def command(
    fleet: Annotated[Path, typer.Option(readable=False, help="Fleet file (YAML), like examples/fleet-serving.yaml.")],
    workload: WorkloadFlag,
    policy: Annotated[
        str, typer.Option(help="Who decides: least-cost, all-to:NAME, shortest-queue, ...")
    ] = "least-cost",
    against: Annotated[
        list[str] | None, typer.Option(help="Another policy to compare with, under the same arrivals; repeat.")
    ] = None,
    arrivals: Annotated[
        str, typer.Option(help="trace, trace*MULTIPLE, poisson:RATE, burst:RATE,CV or on-off:RATE,ON_S,OFF_S.")
    ] = "trace",
    queries: Annotated[
        int | None, typer.Option(min=1, help="Cut the trace after so many, or draw so many. Default: all.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Runs of each policy; intervals are over them.")] = SEEDS,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first run.")] = 0,
    warm_up_s: Annotated[
        float, typer.Option("--warm-up-s", min=0, help="Leave queries of the first seconds out of all times.")
    ] = 0.0,
    lam: Annotated[float | None, typer.Option(help="Lambda in [0, 1] of least-cost. Default 1: least energy.")] = None,
    exchange_w: ExchangeFlag = None,
    input_tokens: InputTokensFlag = None,
    output_tokens: OutputTokensFlag = None,
    column: ColumnFlag = None,
    skip_bad: SkipBadFlag = False,
    out: Annotated[
        Path | None, typer.Option(help="Write report.html, simulation.json and queries.parquet here.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Simulate a fleet that serves a workload: who waits, for how long, and what it costs in all.

    Every policy meets the same arrivals, seed by seed, so that differences between policies are those of the policies.
    """
    from wattshed.cli.simulate_display import document, show, write
    from wattshed.cli.simulate_policies import rules
    from wattshed.cli.simulate_scenario import Chances
    from wattshed.simulator.arrivals import process

    check_seconds(warm_up_s=warm_up_s)
    objective = objective_of(lam, exchange_w)
    chances = Chances(arrivals, process(arrivals), seeds, seed, queries, warm_up_s)
    reading = Reading(workload, columns_of(column or []), input_tokens, output_tokens, skip_bad)
    evaluator = reading.evaluator(fleet)
    named = rules([policy, *(against or [])], evaluator, objective)
    comparison = with_progress(evaluator, named, chances, objective)
    told = document(evaluator, comparison, chances)
    files = write(out, evaluator, comparison, told) if out else []
    told["files"] = [str(file) for file in files]
    emit(told, as_json=json_, show=lambda console: show(console, comparison, files))


def with_progress(
    evaluator: "Evaluator", rules: "list[Rule]", chances: "Chances", objective: "Objective"
) -> "Comparison":
    """All runs, with a bar on stderr that goes when they are done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from wattshed.cli.simulate_scenario import compared

    columns = TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=stderr(), transient=True) as progress:
        task = progress.add_task("", total=len(rules) * chances.seeds)
        return compared(evaluator, rules, chances, objective=objective, ended=lambda: progress.advance(task))
