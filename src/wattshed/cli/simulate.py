"""`wattshed simulate`: a fleet under load, with queues, batches, sleep and failures, policy beside policy."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, check_seconds, emit

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
    workload: Annotated[str, typer.Option(help="CSV, JSONL or Parquet of queries, or bundled:alpaca.")],
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
    out: Annotated[
        Path | None, typer.Option(help="Write report.html, simulation.json and queries.parquet here.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Simulate a fleet that serves a workload: who waits, for how long, and what it costs in all.

    Every policy meets the same arrivals, seed by seed, so that differences between policies are those of the policies.
    """
    from wattshed.cli.plan import columns_of, objective_of
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


@dataclass(frozen=True, slots=True)
class Reading:
    """A workload as the flags say it is to be read."""

    source: str
    columns: dict[str, str] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    skip_bad: bool = False

    def evaluator(self, fleet: Path) -> "Evaluator":
        """The fleet in a file, fitted, and what the workload costs on it; the workload is read meanwhile."""
        from wattshed.datasets.fleets import read_fleet, read_fleet_profile, resolve
        from wattshed.datasets.workloads import read_workload
        from wattshed.planner.planning import evaluator_of, fit_fleet

        wanted = read_fleet(fleet)
        with ThreadPoolExecutor(1) as reader:
            queries = reader.submit(
                read_workload,
                self.source,
                columns=self.columns,
                input_tokens=self.input_tokens,
                output_tokens=self.output_tokens,
                skip_bad=self.skip_bad,
            )
            profile = read_fleet_profile(wanted)
            wanted = resolve(wanted, profile)
            return evaluator_of(wanted, profile, fit_fleet(wanted, profile), queries.result())


def with_progress(
    evaluator: "Evaluator", rules: "list[Rule]", chances: "Chances", objective: "Objective"
) -> "Comparison":
    """All runs, with a bar on stderr that goes when they are done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from wattshed.cli.frame import stderr
    from wattshed.cli.simulate_scenario import compared

    columns = TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=stderr(), transient=True) as progress:
        task = progress.add_task("", total=len(rules) * chances.seeds)
        return compared(evaluator, rules, chances, objective=objective, ended=lambda: progress.advance(task))
