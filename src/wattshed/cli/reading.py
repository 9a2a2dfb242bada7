"""The workload and the objective of a verb: the flags that say them, and what the workload costs on a fleet."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wattshed.errors import UsageError

if TYPE_CHECKING:
    from wattshed.domain.cost import Objective
    from wattshed.planner.evaluate import Evaluator

WorkloadFlag = Annotated[str, typer.Option(help="CSV, JSONL or Parquet of queries, or bundled:alpaca.")]
ExchangeFlag = Annotated[
    float | None, typer.Option("--exchange-w", help="Instead of lambda: watts you would spend to save a second.")
]
InputTokensFlag = Annotated[int | None, typer.Option(help="Input tokens of every query, where the file has none.")]
OutputTokensFlag = Annotated[int | None, typer.Option(help="Output tokens of every query, where it has none.")]
ColumnFlag = Annotated[list[str] | None, typer.Option(metavar="OURS=THEIRS", help="Name a column of the file; repeat.")]
SkipBadFlag = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, and count them.")]


@dataclass(frozen=True, slots=True)
class Reading:
    """A workload as the flags say it is to be read."""

    source: str
    columns: dict[str, str] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    skip_bad: bool = False

    def evaluator(self, fleet: Path) -> "Evaluator":
        """The fleet in a file, fitted, and what the workload costs on it; a long trace is read meanwhile."""
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


def columns_of(pairs: list[str]) -> dict[str, str] | None:
    """Names of columns by ours, from the values of `--column`; `None` where it was not given."""
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--column wants OURS=THEIRS, like input_tokens=prompt_len; got {pair!r}")
    return {ours: theirs for ours, _, theirs in (pair.partition("=") for pair in pairs)} or None


def objective_of(lam: float | None, exchange_w: float | None) -> "Objective":
    """The objective that `--lam` or `--exchange-w` asks for; `UsageError` where both do, or it cannot be."""
    from wattshed.domain.cost import Objective

    if lam is not None and exchange_w is not None:
        raise UsageError("--lam and --exchange-w say the same thing twice; give one of them")
    try:
        return Objective(lam=1.0 if lam is None else lam) if exchange_w is None else Objective.from_exchange(exchange_w)
    except ValueError as error:
        raise UsageError(f"{'--lam' if exchange_w is None else '--exchange-w'}: {error}") from error
