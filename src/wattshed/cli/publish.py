"""`wattshed publish BUNDLE...`: several bundles of `wattshed profile` as one small profile, with a data card."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, emit, table
from wattshed.errors import CheckFailedError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.datasets.manifest import Manifest
    from wattshed.profiler.checklist import Verdict

EXAMPLES: Final = (
    "Examples: [bold]wattshed publish campaigns/cached campaigns/plain --name h100 --title 'Llama-2 on an H100' "
    "--licence CC-BY-4.0 --system cached='H100, KV cache' --out h100[/]"
)


def command(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Directories of wattshed profile.")],
    name: Annotated[str, typer.Option(help="Short name of the profile.")],
    title: Annotated[str, typer.Option(help="One line for people.")],
    licence: Annotated[str, typer.Option(help="Terms under which it may be used.")],
    out: Annotated[Path, typer.Option(help="Directory of the profile.")],
    system: Annotated[
        list[str] | None, typer.Option(metavar="BUNDLE=NAME", help="Call the system of a bundle so; repeatable.")
    ] = None,
    fault: Annotated[list[str] | None, typer.Option(help="Known fault, one sentence; repeatable.")] = None,
    source: Annotated[str | None, typer.Option(help="Where the raw bundles can be had.")] = None,
    citation: Annotated[str | None, typer.Option(help="What to cite.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Publish several bundles as one small profile with a data card.

    Every trial is kept and power samples are reduced. A bundle that fails a point of the checklist is refused.
    """
    from wattshed.profiler.checklist import write_validation
    from wattshed.profiler.publish import Edition, publish

    edition = Edition(name, title, licence, source, citation, tuple(fault or ()), _names(system or []))
    manifest = publish(bundles, edition, out)
    verdicts = write_validation(out)
    document = _document(manifest, verdicts, out)
    emit(document, as_json=json_, show=lambda console: _show(console, manifest, verdicts, out))
    if any(verdict.status == "failed" for verdict in verdicts):
        raise CheckFailedError(f"{out} fails points that its bundles passed; see its validation.json")


def _names(pairs: list[str]) -> dict[str, str]:
    """Names of systems by bundle, from `BUNDLE=NAME`."""
    names: dict[str, str] = {}
    for pair in pairs:
        bundle, equals, name = pair.partition("=")
        if not (equals and bundle and name) or bundle in names:
            raise UsageError(f"--system {pair!r} wants BUNDLE=NAME, once a bundle, like cached='H100, KV cache'")
        names[bundle] = name
    return names


def _document(manifest: "Manifest", verdicts: "tuple[Verdict, ...]", out: Path) -> dict[str, object]:
    from wattshed.profiler.checklist import counts

    return {
        "profile": str(out),
        "name": manifest.name,
        "campaigns": [
            {"name": one.name, "cells": len(one.cells), "failures": len(one.failures), "ended": one.ended}
            for one in manifest.campaigns
        ],
        "size_bytes": _size_bytes(out),
        "points": counts(verdicts),
        "failed_points": [verdict for verdict in verdicts if verdict.status == "failed"],
    }


def _show(console: "Console", manifest: "Manifest", verdicts: "tuple[Verdict, ...]", out: Path) -> None:
    from wattshed.profiler.checklist import counts

    campaigns = table(manifest.title, "campaign", "cells", "failed", "ended")
    for one in manifest.campaigns:
        campaigns.add_row(one.name, str(len(one.cells)), str(len(one.failures)), one.ended)
    console.print(campaigns)
    for verdict in verdicts:
        if verdict.status == "failed":
            console.print(str(verdict), markup=False, soft_wrap=True)
    tally = ", ".join(f"{number} {status}" for status, number in sorted(counts(verdicts).items(), reverse=True))
    console.print(f"wrote {out}, {_size_bytes(out) / 1000:,.0f} kB: {tally}", markup=False, soft_wrap=True)


def _size_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir() if path.is_file())
