"""What the operating system refuses to read or write is one `MissingError` with the path, the reason and the fix."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from wattshed.errors import MissingError
from wattshed.files import read_if_there, read_whole, rereadable, write_whole


def _nowhere(folder: Path) -> Path:
    return folder / "nowhere"


def _below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("x")
    return folder / "file" / "below"


def _loop(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop"


def _long_name(folder: Path) -> Path:
    return folder / ("a" * 5000)


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nowhere": (_nowhere, ": no such file; give a fleet"),
    "directory": (lambda folder: folder, ": is a directory; give a fleet"),
    "below a file": (_below_a_file, ": cannot be read (Not a directory); give a fleet"),
    "loop": (_loop, ": cannot be read (Too many levels of symbolic links); give a fleet"),
    "long name": (_long_name, "aaaa: cannot be read (File name too long); give a fleet"),
    "device": (lambda _: Path("/dev/zero"), ": cannot be read (is a device, neither a file nor a pipe); give a fleet"),
}


@pytest.mark.parametrize(("place", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_missing(place: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    """Each way in which a path leads to no bytes is one short line with the reason, and an endless device is one."""
    path = place(tmp_path)

    with pytest.raises(MissingError) as caught:
        read_whole(path, wanted="a fleet")

    assert str(caught.value).endswith(message)
    assert len(str(caught.value)) < 300


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_somebody_else_is_missing(tmp_path: Path) -> None:
    """Without the right to read, the message says whom to ask."""
    path = tmp_path / "secret"
    path.touch(mode=0o000)

    with pytest.raises(MissingError, match=r"may not be read \(permission denied\); ask its owner"):
        read_whole(path, wanted="a fleet")


def test_a_file_that_may_be_absent_is_none(tmp_path: Path) -> None:
    """Absence is None, and everything else that is wrong stays an error."""
    (tmp_path / "there").write_bytes(b"x")

    assert read_if_there(tmp_path / "there", wanted="a file") == b"x"
    assert read_if_there(tmp_path / "nowhere", wanted="a file") is None
    with pytest.raises(MissingError, match="is a directory"):
        read_if_there(tmp_path, wanted="a file")


def test_a_pipe_is_read_once_and_then_again(tmp_path: Path) -> None:
    """What comes through a pipe is copied to a file that can be read as often as needed; a file is its own copy."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"once",))
    writer.start()

    copy = rereadable(pipe)
    writer.join()

    assert [copy.read_bytes() for _ in range(2)] == [b"once", b"once"]
    assert rereadable(copy) == copy


def test_a_place_that_cannot_be_written_is_missing(tmp_path: Path) -> None:
    """A place below a file, or of an impossible name, is one line."""
    for place in (_below_a_file(tmp_path), _long_name(tmp_path)):
        with pytest.raises(MissingError, match=r"cannot be written \(.+\); give another place"):
            write_whole(place, b"")
