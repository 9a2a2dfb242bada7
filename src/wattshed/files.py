"""Writing a file whole or not at all; everything that the package writes goes through here."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from wattshed.errors import MissingError


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
        raise MissingError(f"{path}: cannot be written ({error.strerror}); give another place") from error
