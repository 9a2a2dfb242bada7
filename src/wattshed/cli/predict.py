"""`wattshed predict`: energy and runtime of queries of given lengths on one system, with standard deviations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, emit
from wattshed.domain.choices import Channel, PredictorKind
from wattshed.errors import InputError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.domain.prediction import Prediction
    from wattshed.predictors.fit import Fitted, Pair

EXAMPLES: Final = (
    "Examples: [bold]wattshed predict --profile bundled:wilkins2024 --system M1-Pro --model mistral --tokens 32,128[/]"
    "  ·  [bold]wattshed predict --predictor predictor.json --system M1-Pro --model llama --points points.csv --json[/]"
)

Point = tuple[int, int]
"""Input and output tokens of one query."""


def command(
    system: Annotated[str, typer.Option(help="System; its first letters do where they are enough.")],
    model: Annotated[str, typer.Option(help="Model; its first letters do where they are enough.")],
    profile: Annotated[str | None, typer.Option(help="Profile to fit: a directory, or bundled:NAME.")] = None,
    predictor: Annotated[Path | None, typer.Option(help="Predictor file that `wattshed fit` wrote.")] = None,
    kind: Annotated[PredictorKind | None, typer.Option(help="Form to fit to a profile (prefix if not given).")] = None,
    channel: Annotated[Channel | None, typer.Option(help="Whose joules to predict (total if not given).")] = None,
    tokens: Annotated[list[str] | None, typer.Option(help="One point, as INPUT,OUTPUT; may be repeated.")] = None,
    points: Annotated[Path | None, typer.Option(help="Table with columns input_tokens and output_tokens.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Predict energy and runtime of each point, in order, from a profile or from a predictor file."""
    import numpy as np

    if (tokens is None) == (points is None):
        raise UsageError("give the points either as --tokens INPUT,OUTPUT or as --points FILE")
    wanted = _parsed(tokens) if tokens is not None else _read(points) if points is not None else []
    fitted, pair = _fitted((system, model), profile, predictor, kind=kind, channel=channel)
    m, n = np.array(wanted, np.int64).T
    prediction = fitted.predictor(*pair).predict(m, n)
    rows = _rows(wanted, prediction)
    document = {"system": pair[0], "model": pair[1], "channel": fitted.channel, "kind": fitted.kind, "points": rows}
    emit(document, as_json=json_, show=lambda console: _show(console, pair, fitted, rows))


def _fitted(
    named: "Pair", profile: str | None, predictor: Path | None, *, kind: PredictorKind | None, channel: Channel | None
) -> "tuple[Fitted, Pair]":
    """The predictors to ask, read or fitted here, and the pair that the two names mean."""
    from wattshed.predictors.fit import resolve

    if predictor is not None and profile is None:
        from wattshed.predictors.file import load

        fitted = load(predictor)
        for flag, asked, found in (("--kind", kind, fitted.kind), ("--channel", channel, fitted.channel)):
            if asked is not None and asked != found:
                raise UsageError(f"{predictor} holds {found} predictors; leave out {flag} {asked}, or fit anew")
        return fitted, resolve([*fitted.predictors, *fitted.skipped], *named)
    if profile is None or predictor is not None:
        raise UsageError("give either --profile or --predictor")
    from wattshed.datasets.profiles import read_profile
    from wattshed.predictors.fit import fit, training_trials

    trials = read_profile(profile)
    pair = resolve(training_trials(trials), *named)
    return fit(trials, kind=kind or "prefix", channel=channel or "total", only={pair}), pair


def _parsed(tokens: list[str]) -> list[Point]:
    """The points given as flags."""
    found = []
    for text in tokens:
        try:
            m, n = (int(part) for part in text.split(","))
        except ValueError:
            raise UsageError(f"--tokens takes INPUT,OUTPUT such as 32,128, got {text!r}") from None
        if min(m, n) < 1:
            raise UsageError(f"--tokens counts from 1, got {text!r}")
        found.append((m, n))
    return found


def _read(path: Path) -> list[Point]:
    """The points in a table; `InputError` with the row and field of the first that is no whole number from 1."""
    import polars as pl

    from wattshed.datasets.rows import MOST_TOKENS, Part
    from wattshed.datasets.tables import open_table

    table = open_table(path)
    names = ("input_tokens", "output_tokens")
    for name in names:
        if name not in table.columns:
            found = ", ".join(table.columns)
            raise InputError(f"the column is missing; found {found}", path=path, field=name, fix="add it to the header")
    parts = {name: Part.count(table, name, MOST_TOKENS) for name in names}
    raw = [pl.col(name).cast(pl.String).alias(f"raw {name}") for name in names]
    rows = table.collect(table.rows.select(*(part.value.alias(name) for name, part in parts.items()), *raw))
    for name, part in parts.items():
        if rows[name].null_count():
            row = rows[name].is_null().arg_max() or 0
            problem = part.problem(rows[f"raw {name}"][row])
            raise InputError(problem, path=path, row=row + 1, field=name, fix="correct or delete the row")
    if rows.is_empty():
        raise InputError("has no rows", path=path, fix="add one row a point")
    return [(int(m), int(n)) for m, n in rows.select(names).iter_rows()]


def _rows(points: list[Point], prediction: "Prediction") -> list[dict[str, object]]:
    """One row a point with the columns of `schema.PREDICTION`."""
    from wattshed.domain.schema import PREDICTION

    columns = (
        *zip(*points, strict=True),
        prediction.energy_j.tolist(),
        prediction.energy_sd_j.tolist(),
        prediction.runtime_s.tolist(),
        prediction.runtime_sd_s.tolist(),
        prediction.extrapolated.tolist(),
    )
    return [dict(zip((column.name for column in PREDICTION), row, strict=True)) for row in zip(*columns, strict=True)]


def _show(console: "Console", pair: "Pair", fitted: "Fitted", rows: list[dict[str, object]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=f"{pair[0]}, {pair[1]}: {fitted.kind} predictor, {fitted.channel} energy", box=SIMPLE_HEAD)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), justify="right")  # blanks, so that headings can wrap
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)
    beyond = sum(row["extrapolated"] is True for row in rows)
    if beyond:
        console.print(f"{beyond} of {len(rows)} points lie outside the measured range: the curve continued, unmeasured")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
