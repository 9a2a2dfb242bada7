"""What every verb shares: one JSON document or words for people, messages on stderr, and errors as exit codes.

0 ok | 1 the check failed | 2 usage or bad input | 3 a needed thing is missing
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from wattshed.errors import MissingError, WattshedError

if TYPE_CHECKING:
    from rich.console import Console

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout, and nothing else there.")]

EXTRA_OF_MODULE = {"scipy": "plan", "matplotlib": "report", "jinja2": "report"}
"""Which extra brings an optional library."""


def stdout() -> "Console":
    """The console for results; colours follow the terminal and NO_COLOR."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def stderr() -> "Console":
    """The console for progress and messages."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def emit(document: object, *, as_json: bool, show: Callable[["Console"], None]) -> None:
    """Print the result once: `document` (plain values and dataclasses) as JSON, or through `show` for people."""
    if not as_json:
        show(stdout())
        return
    sys.stdout.buffer.write(encoded(document))
    sys.stdout.flush()


def encoded(document: object) -> bytes:
    """The document as indented JSON; NumPy arrays become lists."""
    import msgspec

    def plain(value: object) -> object:
        return value.tolist()  # type: ignore[attr-defined]  # NumPy arrays and scalars are all that msgspec leaves to us

    return msgspec.json.format(msgspec.json.encode(document, enc_hook=plain), indent=2) + b"\n"


def guarded(main: Callable[[], None]) -> int:
    """Run the command line and return its exit code; errors of ours become one line on stderr."""
    try:
        main()
    except WattshedError as error:
        return _refuse(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = EXTRA_OF_MODULE.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        missing = MissingError(f"this needs {error.name}, which is not installed; run: pip install 'wattshed[{extra}]'")
        return _refuse(str(missing), missing.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our pipe has gone; there is nobody left to tell
        return 0
    except KeyboardInterrupt:
        return _refuse("interrupted", 130)
    return 0


def _refuse(message: str, exit_code: int) -> int:
    stderr().print(f"[bold red]wattshed:[/] {_escaped(message)}", soft_wrap=True)
    return exit_code


def _escaped(message: str) -> str:
    from rich.markup import escape

    return escape(message)
