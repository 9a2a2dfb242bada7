"""The composition root: `wattshed VERB`. Each verb is a module of this package; what it works with loads as it runs.

Whoever names a verb waits for that one alone: the others' flags are read for `--help`, completion and slips of the pen.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Final

import typer

from wattshed import __version__
from wattshed.cli.frame import guarded, told_if_stopped

MEASURING: Final = ("demo", "meters", "measure", "profile", "publish", "validate", "fit", "predict")
PLACING: Final = ("plan", "simulate", "report", "reproduce", "audit", "serve", "agent", "ledger", "key")
VERBS: Final = (*MEASURING, *PLACING)
"""The verbs, in the order of `--help`."""

LONG: Final = ("demo", "profile", "publish", "fit", "plan", "simulate", "report", "reproduce", "audit")
"""Those that work for a while and then write to `--out`: whoever stops one is told how far it came."""


def main() -> None:
    """Run the command line and exit with its code."""
    named = sys.argv[1:2]
    sys.exit(guarded(command_line(named if named and named[0] in VERBS else VERBS)))


def command_line(verbs: Sequence[str] = VERBS) -> typer.Typer:
    """The command line with these verbs; reading one's flags takes 4 ms."""
    line = typer.Typer(
        name="wattshed",
        help="Place each LLM query on the machine where it costs least energy.",
        epilog="Start with: wattshed demo",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    line.callback()(root)
    for name in verbs:
        verb = import_module(f"wattshed.cli.{name}")
        line.command(name, epilog=verb.EXAMPLES)(told_if_stopped(name, verb.command) if name in LONG else verb.command)
    return line


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wattshed {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Place each LLM query on the machine where it costs least energy."""


def __getattr__(name: str) -> typer.Typer:
    """`app`, the command line with all verbs, made where it is asked for (PEP 562)."""
    if name != "app":
        raise AttributeError(f"module 'wattshed.cli.main' has no attribute {name!r}")
    return command_line()


if __name__ == "__main__":
    main()
