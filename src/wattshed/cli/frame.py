"""What every verb shares: one JSON document or words for people, messages on stderr, errors as exit codes, seconds.

0 ok | 1 the check failed | 2 usage or bad input | 3 a needed thing is missing | 130 stopped by Ctrl-C
"""

import math
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, ParamSpec

import typer

from wattshed.errors import MissingError, UsageError, WattshedError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Flags = ParamSpec("Flags")

JsonFlag = Annotated[
    bool, typer.Option("--json", metavar="", help="Print one JSON document to stdout, and nothing else there.")
]

EXTRA_OF_MODULE = {
    "scipy": "plan",
    "numba": "sim",
    "matplotlib": "report",
    "jinja2": "report",
    "psutil": "profile",
    "aiohttp": "profile",
    "torch": "transformers",
    "transformers": "transformers",
    "accelerate": "transformers",
    "httptools": "gateway",
    "prometheus_client": "gateway",
    "psycopg": "postgres",
    "opentelemetry": "otel",
}
"""Which extra brings an optional library."""


BUNDLED_PROFILES = ("bundled:h100", "bundled:h200", "bundled:wilkins2024")
BUNDLED_WORKLOADS = ("bundled:alpaca", "bundled:alpaca-one-bos")
"""What completion offers; written down here, since who knows it loads tables. A test holds the two together."""

PIPE_COLUMNS = 200
"""Width of what goes into a pipe or a file, where no terminal sets one: wide enough for every table."""

STOPPED: Final = 130
"""Exit code after Ctrl-C: 128 and the number of its signal (POSIX shell)."""


def bundled_profiles(begun: str) -> list[str]:
    """Profiles that ship with the package and go on from what was typed, for shell completion."""
    return [source for source in BUNDLED_PROFILES if source.startswith(begun)]


def bundled_sources(begun: str) -> list[str]:
    """The same of profiles and workloads together."""
    return [source for source in BUNDLED_PROFILES + BUNDLED_WORKLOADS if source.startswith(begun)]


def stdout() -> "Console":
    """The console for results; colours follow the terminal and NO_COLOR."""
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    return _console(stderr=False, width=width)


def table(title: str, *headers: str, names: int = 1) -> "Table":
    """An empty table whose cells are never cut; its first `names` columns are text, and the others numbers.

    On a narrow terminal the widest column folds first. A header may hold line breaks, to keep its numbers close.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    empty = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    for position, header in enumerate(headers):
        empty.add_column(header, justify="left" if position < names else "right", overflow="fold")
    return empty


def stderr() -> "Console":
    """The console for progress and messages."""
    return _console(stderr=True)


def _console(*, stderr: bool, width: int | None = None) -> "Console":
    """A console that prints text as it is: names of people's own may hold brackets, and `:x:` is no picture."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


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


def check_seconds(**flags: float | None) -> None:
    """`UsageError` for seconds without end, or that are no number: nobody waits for them, and no journal holds them."""
    from wattshed.domain.schema import MOST_OF_UNIT

    for name, asked_s in flags.items():
        if asked_s is not None and not (math.isfinite(asked_s) and asked_s <= MOST_OF_UNIT["s"]):
            problem = f"wants a number of seconds that comes to an end, got {asked_s:g}; give one like 60"
            raise UsageError(f"--{name.replace('_', '-')} {problem}")


def told_if_stopped(verb: str, command: Callable[Flags, None]) -> Callable[Flags, None]:
    """The command of a verb, which says in one line that Ctrl-C stopped it, and what it had written to `--out` by then.

    It stands below Typer, which ends on Ctrl-C without a word and lets nothing through to `guarded`.
    """

    @wraps(command)
    def told(*arguments: Flags.args, **flags: Flags.kwargs) -> None:
        before = _files_at(flags.get("out"))
        try:
            command(*arguments, **flags)
            return
        except KeyboardInterrupt:
            pass  # and it lets go of what was running: a bar that is still drawn would wipe our line away
        there = _files_at(flags.get("out"))
        names = ", ".join(sorted(str(file) for file in there if there[file] != before.get(file)))
        raise stopped(verb, f"written by then: {names}" if names else "nothing was written")

    return told


def stopped(verb: str, kept: str) -> typer.Exit:
    """What to raise where Ctrl-C stopped a verb, once it is said on stderr, with what is kept."""
    return typer.Exit(_refuse(f"{verb} was stopped before its end; {kept}", STOPPED))


def _files_at(out: object) -> dict[Path, tuple[int, int]]:
    """The files in a folder, or the one file: which it is on the disk, and when it was written, in ns of its clock."""
    if not isinstance(out, Path):
        return {}
    with suppress(OSError):  # nothing is there, or nothing that could be written to
        stats = {file: file.stat() for file in (out.iterdir() if out.is_dir() else [out])}
        return {file: (stat.st_ino, stat.st_mtime_ns) for file, stat in stats.items()}
    return {}


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
    except OSError as error:  # whatever is read is translated where it is read, so this is where results go
        _drop_output()
        return _refuse(f"{error.filename or 'the output'} cannot be written ({error.strerror}); make room there", 1)
    except UnicodeEncodeError as error:
        return _refuse(f"a name cannot be written as {error.encoding}; rename what it names", 2)
    except KeyboardInterrupt:
        return _refuse("interrupted", STOPPED)
    return 0


def _drop_output() -> None:
    """Send what is left in the buffer of stdout nowhere, or the interpreter would fail on it once more as it ends."""
    with suppress(OSError):  # a stdout that is no file has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(message: str, exit_code: int) -> int:
    from rich.text import Text

    stderr().print(Text.assemble(("wattshed:", "bold red"), f" {message}"), soft_wrap=True)
    return exit_code
