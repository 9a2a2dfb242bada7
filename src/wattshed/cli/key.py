"""`wattshed key`: make a key for a client of the gateway."""

from pathlib import Path
from typing import Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, emit

EXAMPLES: Final = "Examples: [bold]wattshed key alice[/]  ·  [bold]wattshed key ci --keys /etc/wattshed/keys.yaml[/]"


def command(
    name: Annotated[str, typer.Argument(help="Whose key it is; receipts and the ledger bear this name.")],
    keys: Annotated[Path, typer.Option(help="File of keys, made if it is not there.")] = Path("keys.yaml"),
    json_: JsonFlag = False,
) -> None:
    """Make a key, print it once, and keep nothing of it but its hash."""
    from wattshed.gateway.settings.keys_file import add_key

    key = add_key(keys, name)
    document = {"name": name, "key": key, "keys": str(keys)}
    emit(document, as_json=json_, show=lambda console: console.print(key, markup=False, soft_wrap=True))
