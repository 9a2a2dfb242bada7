"""The composition root: `wattshed VERB`. Each verb is a module of this package, imported when it runs."""

import sys
from typing import Annotated, Final

import typer

from wattshed import __version__
from wattshed.cli import (
    agent,
    audit,
    demo,
    fit,
    key,
    ledger,
    measure,
    meters,
    plan,
    predict,
    profile,
    publish,
    report,
    reproduce,
    serve,
    simulate,
    validate,
)
from wattshed.cli.frame import guarded, told_if_stopped

app = typer.Typer(
    name="wattshed",
    help="Place each LLM query on the machine where it costs least energy.",
    epilog="Start with: wattshed demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wattshed {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Place each LLM query on the machine where it costs least energy."""


MEASURING: Final = (demo, meters, measure, profile, publish, validate, fit, predict)
PLACING: Final = (plan, simulate, report, reproduce, audit, serve, agent, ledger, key)
"""The verbs, in the order of `--help`."""

LONG: Final = (demo, profile, publish, fit, plan, simulate, report, reproduce, audit)
"""Those that work for a while and then write to `--out`: whoever stops one is told how far it came."""

for verb in (*MEASURING, *PLACING):
    name = verb.__name__.rpartition(".")[2]
    app.command(name, epilog=verb.EXAMPLES)(told_if_stopped(name, verb.command) if verb in LONG else verb.command)


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(guarded(app))


if __name__ == "__main__":
    main()
