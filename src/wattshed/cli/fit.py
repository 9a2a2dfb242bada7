"""`wattshed fit`: predictors from a profile, a ledger or a log of requests, and how far they can be trusted."""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli import fit_ledger
from wattshed.cli.fit_ledger import LedgerSource
from wattshed.cli.fit_replay import ReplayLog
from wattshed.cli.frame import JsonFlag, bundled_profiles, emit, stderr, table
from wattshed.domain.choices import CHANNELS, Channel, PredictorKind
from wattshed.errors import InputError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.domain.measurement import Profile
    from wattshed.predictors.check import Check
    from wattshed.predictors.fit import Fitted, Pair

EXAMPLES: Final = (
    "Examples: [bold]wattshed fit bundled:wilkins2024[/]  ·  "
    "[bold]wattshed fit bundled:wilkins2024 --kind regression --out thesis.json[/]  ·  "
    "[bold]wattshed fit my-profile --channel gpu --json[/]  ·  "
    "[bold]wattshed fit --ledger ledger.db --kind batch --since 2026-11-01[/]  ·  "
    "[bold]wattshed fit --replay requests.jsonl --fit-on 150[/]"
)

LEGEND: Final = (
    "held out: cells left out of the fit with their token count or concurrency; of them, host-bound: those that the "
    "host paced; others: the rest; worst: the largest error; in 95 %: share inside the 95 % interval. "
    "unseen: (input, output) pairs that no fit has seen."
)
"""What the columns mean."""


def command(
    profile: Annotated[
        str | None,
        typer.Argument(
            metavar="PROFILE", help="Profile to fit: a directory, or bundled:NAME.", autocompletion=bundled_profiles
        ),
    ] = None,
    kind: Annotated[PredictorKind, typer.Option(help="Form of E(m, n) and R(m, n).")] = "prefix",
    channel: Annotated[Channel, typer.Option(help="Whose joules to predict.")] = "total",
    out: Annotated[Path, typer.Option(help="Predictor file to write.")] = Path("predictor.json"),
    ledger: Annotated[
        str | None, typer.Option(metavar="LEDGER", help="Fit a gateway's requests instead: SQLite file, or URL.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="First instant of the ledger, ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Instant after the last.")] = None,
    energy_from: Annotated[
        Path | None, typer.Option(help="Predictor file with the joules of systems that the ledger has none of.")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(metavar="LOG", help="Fit steps of a batching engine to a log of its requests; writes no file."),
    ] = None,
    fit_on: Annotated[
        int | None, typer.Option(help="How many requests of the log to fit; the others are predicted. Default: half.")
    ] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="Requests that the engine runs at a time, if known.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Fit energy and runtime of every system and model of a profile, and check them on token counts left out."""
    from wattshed.datasets.profiles import read_profile
    from wattshed.predictors.file import is_predictor_file, save
    from wattshed.predictors.fit import fit

    log = ReplayLog.chosen(replay, fit_on, slots, beside=(profile, ledger, since, until, energy_from))
    if log is not None:
        log.judged(as_json=json_)
        return
    if os.path.exists(out) and not is_predictor_file(out):  # noqa: PTH110  False, no OSError, for an impossible place
        raise UsageError(f"{out} exists and is not a predictor file; give another place with --out")
    source = LedgerSource.chosen(profile, ledger, since, until, energy_from)
    if source is not None:
        _fit_ledger(source, kind, channel, out, as_json=json_)
        return
    trials = read_profile(profile or "")
    fitted = fit(trials, kind=kind, channel=channel)
    if not fitted.predictors:
        raise _nothing_to_fit(trials, fitted, profile or "")
    checks = _checked(trials, fitted)
    save(fitted, out)
    emit(_document(fitted, checks, out), as_json=json_, show=lambda console: _show(console, fitted, checks, out))


def _fit_ledger(source: LedgerSource, kind: PredictorKind, channel: Channel, out: Path, *, as_json: bool) -> None:
    """The same from a ledger. Where only the seconds are learned there is nothing to check the joules against."""
    from wattshed.gateway.ledger.borrowing import completed
    from wattshed.predictors.file import save
    from wattshed.predictors.fit import fit

    lessons = source.lessons(kind, channel)
    fitted = completed(fit(lessons.profile, kind=kind, channel=channel), lessons)
    if not fitted.predictors:
        raise _nothing_to_fit(lessons.profile, fitted, lessons.profile.name)
    checks = _checked(lessons.profile, fitted, unchecked=lessons.seconds_only)
    save(fitted, out)

    def show(console: "Console") -> None:
        _show(console, fitted, checks, out)
        fit_ledger.show(console, lessons, source.energy_from)

    emit(_document(fitted, checks, out) | fit_ledger.document(lessons), as_json=as_json, show=show)


def _checked(trials: "Profile", fitted: "Fitted", unchecked: "Collection[Pair]" = ()) -> "dict[Pair, Sequence[Check]]":
    """The checks of each pair; each costs one fit a token count, so people are shown how far it is."""
    from rich.progress import track

    from wattshed.predictors.check import check_pair

    pairs = track(
        sorted(set(fitted.predictors) - {*unchecked}), "Fits without one token count", console=stderr(), transient=True
    )
    return {pair: check_pair(trials, pair, kind=fitted.kind, channel=fitted.channel) for pair in pairs}


def _nothing_to_fit(trials: "Profile", fitted: "Fitted", profile: str) -> InputError:
    """Why there is no predictor, with the channels that the profile has joules on."""
    there = [one for one in CHANNELS if any(trial.energy_j(one) is not None for trial in trials.measurements)]
    if there and fitted.channel not in there:
        flags = " or ".join(f"--channel {one}" for one in there)
        return InputError(f"has no {fitted.channel} energy", path=profile, fix=f"give {flags}")
    if not there:
        return InputError("has no joules", path=profile, fix="measure again with a meter: wattshed meters shows them")
    pairs = "; ".join(f"{system}, {model}: {reason}" for (system, model), reason in fitted.skipped.items())
    return InputError(f"nothing to fit ({pairs})", path=profile, fix="measure more cells, or try another --kind")


def _document(fitted: "Fitted", checks: "Mapping[Pair, Sequence[Check]]", out: Path) -> dict[str, object]:
    return {
        "profile": fitted.profile,
        "kind": fitted.kind,
        "channel": fitted.channel,
        "file": str(out),
        "systems": [
            {"system": system, "model": model, **{one.quantity: _errors(one) for one in of_pair}}
            for (system, model), of_pair in checks.items()
        ],
        "skipped": [
            {"system": system, "model": model, "reason": reason} for (system, model), reason in fitted.skipped.items()
        ],
    }


def _errors(one: "Check") -> dict[str, object]:
    return {name: value for name, value in asdict(one).items() if name not in {"system", "model", "quantity"}}


def _show(console: "Console", fitted: "Fitted", checks: "Mapping[Pair, Sequence[Check]]", out: Path) -> None:
    """Print what the predictors are worth, in 80 columns."""
    title = f"{fitted.kind} predictors of {fitted.profile}, {fitted.channel} energy: errors in per cent"
    headers = ("fit", "held\nout", "host-\nbound", "others", "worst", "in\n95 %", "unseen")
    errors_of = table(title, "system\nand model", "of", *headers, names=2)
    errors_of.padding = (0, 1, 0, 0)  # names of systems are long, and terminals have 80 columns
    for pair, of_pair in checks.items():
        for name, one in zip(pair, of_pair, strict=True):  # two names beside two quantities
            held_out = (one.held_out_mape, one.host_bound_mape, one.other_mape, one.held_out_max_error, one.coverage)
            errors = (one.fit_mape, *held_out, one.unseen_mape)
            errors_of.add_row(
                name, one.quantity, *(_percentage(error) for error in errors), end_section=name == pair[1]
            )
    console.print(errors_of)
    console.print(LEGEND)
    for (system, model), reason in fitted.skipped.items():
        console.print(f"skipped {system}, {model}: {reason}", soft_wrap=True)
    console.print(f"wrote {out}", soft_wrap=True)


def _percentage(fraction: float | None) -> str:
    from wattshed.units import percent

    return "" if fraction is None else f"{percent(fraction):.1f}"
