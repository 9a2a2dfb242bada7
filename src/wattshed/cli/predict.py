"""`wattshed predict`: energy and runtime of queries of given lengths on one system, with standard deviations."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, bundled_profiles, emit, table
from wattshed.domain.choices import Channel, PredictorKind
from wattshed.errors import InputError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.domain.prediction import Prediction
    from wattshed.domain.system import Limits
    from wattshed.predictors.curve import CurvePredictor
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
    profile: Annotated[
        str | None,
        typer.Option(help="Profile to fit: a directory, or bundled:NAME.", autocompletion=bundled_profiles),
    ] = None,
    predictor: Annotated[
        Path | None, typer.Option(readable=False, help="Predictor file that `wattshed fit` wrote.")
    ] = None,
    kind: Annotated[PredictorKind | None, typer.Option(help="Form to fit to a profile (prefix if not given).")] = None,
    channel: Annotated[Channel | None, typer.Option(help="Whose joules to predict (total if not given).")] = None,
    tokens: Annotated[
        list[str] | None, typer.Option(metavar="INPUT,OUTPUT", help="One point; may be repeated.")
    ] = None,
    points: Annotated[
        Path | None, typer.Option(readable=False, help="Table with columns input_tokens and output_tokens.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests in flight together (1 if not given); for the batch form.")
    ] = None,
    json_: JsonFlag = False,
) -> None:
    """Predict energy and runtime of each point, in order, from a profile or from a predictor file."""
    import numpy as np

    if (tokens is None) == (points is None):
        raise UsageError("give the points either as --tokens INPUT,OUTPUT or as --points FILE")
    wanted = _parsed(tokens) if tokens is not None else _read(points) if points is not None else []
    source = _source((system, model), profile, predictor, kind=kind, channel=channel)
    fitted, pair = source.fitted, source.pair
    m, n = np.array(wanted, np.int64).T
    asked = _at(fitted.predictor(*pair), concurrency)
    feasible = [None] * len(wanted) if source.limits is None else source.limits.allow(m, n).tolist()
    rows = _rows(wanted, asked.predict(m, n), feasible)
    document = {
        "system": pair[0],
        "model": pair[1],
        "channel": fitted.channel,
        "kind": fitted.kind,
        "concurrency": asked.concurrency,
        "points": rows,
    }
    title = f"{pair[0]}, {pair[1]}: {fitted.kind} predictor, {fitted.channel} energy"
    title += "" if asked.concurrency is None else f", {asked.concurrency} in flight"
    emit(document, as_json=json_, show=lambda console: _show(console, title, rows))


@dataclass(frozen=True, slots=True)
class _Source:
    """The predictors to ask, the pair to ask about, and what it is known to fail at; a predictor file does not say."""

    fitted: "Fitted"
    pair: "Pair"
    limits: "Limits | None" = None


def _source(
    named: "Pair", profile: str | None, predictor: Path | None, *, kind: PredictorKind | None, channel: Channel | None
) -> _Source:
    """The predictors, read or fitted here, and the pair that the two names mean."""
    from wattshed.predictors.fit import resolve

    if predictor is not None and profile is None:
        from wattshed.predictors.file import load

        fitted = load(predictor)
        for flag, asked, found in (("--kind", kind, fitted.kind), ("--channel", channel, fitted.channel)):
            if asked is not None and asked != found:
                raise UsageError(f"{predictor} holds {found} predictors; leave out {flag} {asked}, or fit anew")
        return _Source(fitted, resolve([*fitted.predictors, *fitted.skipped], *named))
    if profile is None or predictor is not None:
        raise UsageError("give either --profile or --predictor")
    from wattshed.datasets.profiles import read_profile
    from wattshed.domain.joining import told_apart
    from wattshed.predictors.fit import fit, training_trials

    trials = told_apart(read_profile(profile))
    pair = resolve(training_trials(trials), *named)
    fitted = fit(trials, kind=kind or "prefix", channel=channel or "total", only={pair})
    return _Source(fitted, pair, trials.limits_of(*pair))


def _at(predictor: "CurvePredictor", concurrency: int | None) -> "CurvePredictor":
    """The predictor with that many requests in flight; `UsageError` where its form does not ask."""
    from wattshed.predictors.batch import BatchPredictor

    if concurrency is None:
        return predictor
    if predictor.kind != "batch":
        raise UsageError(
            f"a {predictor.kind} predictor has one concurrency; leave out --concurrency, or use --kind batch"
        )
    return BatchPredictor(predictor).at(concurrency)


def _parsed(tokens: list[str]) -> list[Point]:
    """The points given as flags."""
    return [_point(text) for text in tokens]


def _point(text: str) -> Point:
    """The point that a flag gives, by the rules that hold in files."""
    from wattshed.datasets.defects import quoted
    from wattshed.domain.schema import MOST_TOKENS

    parts = re.fullmatch(r"\s*(-?[0-9]+)\s*,\s*(-?[0-9]+)\s*", text)
    if parts is None:
        raise UsageError(f"--tokens takes INPUT,OUTPUT such as 32,128, got {quoted(text)}")
    counts = [float(part) for part in parts.groups()]  # not int, which refuses thousands of digits
    if min(counts) < 1:
        raise UsageError(f"--tokens counts from 1, got {quoted(text)}")
    if max(counts) > MOST_TOKENS:
        raise UsageError(f"--tokens counts to {MOST_TOKENS:,}, got {quoted(text)}")
    return int(counts[0]), int(counts[1])


def _read(path: Path) -> list[Point]:
    """The points in a table; `InputError` with the row and field of the first that is no whole number from 1."""
    import polars as pl

    from wattshed.datasets.rows import Part
    from wattshed.datasets.tables import open_table
    from wattshed.domain.schema import MOST_TOKENS

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


def _rows(points: list[Point], prediction: "Prediction", feasible: Sequence[bool | None]) -> list[dict[str, object]]:
    """One row a point with the columns of `schema.PREDICTION`."""
    from wattshed.domain.schema import PREDICTION

    columns = (
        *zip(*points, strict=True),
        prediction.energy_j.tolist(),
        prediction.energy_sd_j.tolist(),
        prediction.runtime_s.tolist(),
        prediction.runtime_sd_s.tolist(),
        prediction.extrapolated.tolist(),
        feasible,
    )
    return [dict(zip((column.name for column in PREDICTION), row, strict=True)) for row in zip(*columns, strict=True)]


def _show(console: "Console", title: str, rows: list[dict[str, object]]) -> None:
    flags = ("extrapolated", "feasible")
    points = table(title, *(name.replace("_", "\n") for name in rows[0] if name not in flags), "note", names=0)
    for row in rows:
        points.add_row(*(_number(value) for name, value in row.items() if name not in flags), _note(row))
    console.print(points)
    beyond = sum(row["extrapolated"] is True for row in rows)
    if beyond:
        console.print(f"{beyond} of {len(rows)} points lie outside the measured range: the curve continued, unmeasured")
    unserved = sum(row["feasible"] is False for row in rows)
    if unserved:
        console.print(f"{unserved} of {len(rows)} points are beyond what this system is known to serve")


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _note(row: dict[str, object]) -> str:
    return "infeasible" if row["feasible"] is False else "extrapolated" if row["extrapolated"] is True else ""
