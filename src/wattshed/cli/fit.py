"""`wattshed fit`: predictors from a profile, and how far they can be trusted."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, bundled_profiles, emit, stderr, table
from wattshed.domain.choices import Channel, PredictorKind
from wattshed.errors import InputError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.domain.measurement import Profile
    from wattshed.predictors.check import Check
    from wattshed.predictors.fit import Fitted, Pair

EXAMPLES: Final = (
    "Examples: [bold]wattshed fit bundled:wilkins2024[/]  ·  "
    "[bold]wattshed fit bundled:wilkins2024 --kind regression --out thesis.json[/]  ·  "
    "[bold]wattshed fit my-profile --channel gpu --json[/]"
)


def command(
    profile: Annotated[
        str,
        typer.Argument(
            metavar="PROFILE", help="Profile to fit: a directory, or bundled:NAME.", autocompletion=bundled_profiles
        ),
    ],
    kind: Annotated[PredictorKind, typer.Option(help="Form of E(m, n) and R(m, n).")] = "prefix",
    channel: Annotated[Channel, typer.Option(help="Whose joules to predict.")] = "total",
    out: Annotated[Path, typer.Option(help="Predictor file to write.")] = Path("predictor.json"),
    json_: JsonFlag = False,
) -> None:
    """Fit energy and runtime of every system and model of a profile, and check them on token counts left out."""
    from wattshed.datasets.profiles import read_profile
    from wattshed.predictors.file import is_predictor_file, save
    from wattshed.predictors.fit import fit

    if os.path.exists(out) and not is_predictor_file(out):  # noqa: PTH110  False, no OSError, for an impossible place
        raise UsageError(f"{out} exists and is not a predictor file; give another place with --out")
    trials = read_profile(profile)
    fitted = fit(trials, kind=kind, channel=channel)
    if not fitted.predictors:
        reasons = "; ".join(f"{system}, {model}: {reason}" for (system, model), reason in fitted.skipped.items())
        raise InputError(
            f"nothing to fit ({reasons})", path=profile, fix="measure more cells, or try another --channel"
        )
    checks = _checked(trials, fitted)
    save(fitted, out)
    emit(_document(fitted, checks, out), as_json=json_, show=lambda console: _show(console, fitted, checks, out))


def _checked(trials: "Profile", fitted: "Fitted") -> "dict[Pair, Sequence[Check]]":
    """The checks of each pair; each costs one fit a token count, so people are shown how far it is."""
    from rich.progress import track

    from wattshed.predictors.check import check_pair

    pairs = track(fitted.predictors, "Fits without one token count", console=stderr(), transient=True)
    return {pair: check_pair(trials, pair, kind=fitted.kind, channel=fitted.channel) for pair in pairs}


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
    title = f"{fitted.kind} predictors of {fitted.profile}, {fitted.channel} energy: errors in per cent"
    headers = ("fit", "held out", "host-bound", "others", "worst", "covered", "unseen")
    errors_of = table(title, "system and model", "quantity", *headers, names=2)
    for pair, of_pair in checks.items():
        for name, one in zip(pair, of_pair, strict=True):  # two names beside two quantities
            held_out = (one.held_out_mape, one.host_bound_mape, one.other_mape, one.held_out_max_error, one.coverage)
            errors = (one.fit_mape, *held_out, one.unseen_mape)
            errors_of.add_row(
                name, one.quantity, *(_percentage(error) for error in errors), end_section=name == pair[1]
            )
    console.print(errors_of)
    console.print(
        "held out: cells left out of the fit with their token count or concurrency, those that the host paced,"
    )
    console.print("the others, and the worst of them all;")
    console.print("covered: share of them in the 95 % interval; unseen: (input, output) pairs that no fit has seen.")
    for (system, model), reason in fitted.skipped.items():
        console.print(f"skipped {system}, {model}: {reason}", soft_wrap=True)
    console.print(f"wrote {out}", soft_wrap=True)


def _percentage(fraction: float | None) -> str:
    from wattshed.units import percent

    return "" if fraction is None else f"{percent(fraction):.1f}"
