"""The borders of the file system: reading whole, reading what comes through a pipe, and writing whole or not at all.

Whatever the operating system refuses becomes one `MissingError` here, with the path, the reason and the fix.
"""

import atexit
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from wattshed.errors import MissingError

_MOST_SHOWN, _KEPT = 200, 40
"""Characters of a path in a message: of a longer one its first and last few are enough."""


@contextmanager
def reading(path: Path, *, wanted: str) -> Iterator[None]:
    """Turn any OSError within into a `MissingError` that says what to give instead: `wanted`, such as "a CSV file"."""
    try:
        yield
    except OSError as error:
        raise MissingError(_refusal(path, error, wanted)) from error


def read_whole(path: Path, *, wanted: str) -> bytes:
    """The bytes of a file or of a pipe; `MissingError` where there is none to read."""
    with reading(path, wanted=wanted):
        require_file(path)
        return path.read_bytes()


def read_if_there(path: Path, *, wanted: str) -> bytes | None:
    """The same, or None where there is no such file."""
    with reading(path, wanted=wanted):
        return read_whole(path, wanted=wanted) if path.exists() else None


def require_file(path: Path) -> bool:
    """Whether `path` can be read more than once, as a pipe cannot; OSError for what is neither, such as a device."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise OSError(errno.EINVAL, "is a device, neither a file nor a pipe")
    return stat.S_ISREG(mode)


def rereadable(path: Path) -> Path:
    """`path`, or a copy of what comes through it where it is a pipe, which can be read only once.

    The copy lives until the process ends, because tables are read when they are needed. Raises OSError.
    """
    if require_file(path):
        return path
    with path.open("rb") as pipe, NamedTemporaryFile(prefix="wattshed-", delete=False) as copy:
        atexit.register(Path(copy.name).unlink, missing_ok=True)
        shutil.copyfileobj(pipe, copy)
        return Path(copy.name)


def write_whole(path: Path, content: bytes) -> Path:
    """Write `content` to `path`, making its folder, and return it; a reader never sees a part of it.

    The bytes are pushed to the disk beside the file and then renamed over it: a crash leaves the old file or the new.
    Raises `MissingError` where the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as beside:
            try:
                beside.write(content)
                beside.flush()
                os.fsync(beside.fileno())
                Path(beside.name).chmod(0o644)  # a temporary file is its owner's alone
                return Path(beside.name).replace(path)
            except BaseException:
                Path(beside.name).unlink()
                raise
    except OSError as error:
        raise MissingError(f"{_shown(path)}: cannot be written ({error.strerror}); give another place") from error


def _refusal(path: Path, error: OSError, wanted: str) -> str:
    match error:
        case FileNotFoundError():
            return f"{_shown(path)}: no such file; give {wanted}"
        case IsADirectoryError():
            return f"{_shown(path)}: is a directory; give {wanted}"
        case PermissionError():
            return f"{_shown(path)}: may not be read (permission denied); ask its owner for the right to read it"
    return f"{_shown(path)}: cannot be read ({error.strerror or error}); give {wanted}"


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_KEPT]}…{text[-_KEPT:]}"
