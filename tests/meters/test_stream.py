"""Streams: whole things out of pieces, and a program that hangs is never waited for."""

import os
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.meters.fakes.program import Script, install
from wattshed.errors import MeterError
from wattshed.meters.stream import Chunks, Growing, Output, Pipe, StreamSource

END = b"</plist>"


class Pieces:
    """Bytes cut as the test asks."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def read(self) -> bytes:
        """The next piece."""
        if not self._pieces:
            raise MeterError("source_failed", "no more")
        return self._pieces.pop(0)

    def close(self) -> None:
        """Nothing to let go of."""


@given(st.lists(st.binary(max_size=9), max_size=5), st.lists(st.integers(0, 60), max_size=8), st.binary(max_size=5))
@settings(deadline=None, max_examples=50)
def test_pieces_do_not_matter(documents: list[bytes], cuts: list[int], rest: bytes) -> None:
    """However a stream is cut, its readings hold every whole document, in order, and never the torn last one."""
    whole = b"".join(document + END for document in documents)
    raw = whole + rest.replace(b">", b"")
    edges = sorted({0, len(raw), *(min(cut, len(raw)) for cut in cuts)})
    source = StreamSource(Pieces([raw[start:stop] for start, stop in pairwise(edges)]), END)

    assert everything(source) == whole


def everything(source: StreamSource) -> bytes:
    """All readings until the source has no more."""
    said = b""
    while True:
        try:
            said += source.read().raw
        except MeterError:
            return said


def test_a_program_says_its_last_words(tmp_path: Path) -> None:
    """What a program printed before it failed is read; then comes why it failed."""
    output = Output([str(install(tmp_path, "p", Script((b"line\n",), exit_code=1, complaint="no GPU\n")))])
    source = StreamSource(output, b"\n")

    said = source.read().raw
    with pytest.raises(MeterError, match="exit code 1: no GPU") as caught:
        source.read()

    assert said == b"line\n"
    assert caught.value.reason == "source_failed"
    source.close()


def test_a_file_is_read_as_it_grows(tmp_path: Path) -> None:
    """Lines appended to a file come one by one, whole."""
    script = Script((b"a,1\nb", b",2\nc"), pause_s=0.03, folder_flag="-o")
    command = [str(install(tmp_path, "p", script)), "-o", str(tmp_path)]
    source = StreamSource(Growing(command, tmp_path, "**/*.csv"), b"\n")

    said = [source.read().raw, source.read().raw]
    with pytest.raises(MeterError):
        source.read()

    assert said == [b"a,1\n", b"b,2\n"]
    source.close()


@pytest.mark.parametrize("kind", ["output", "growing", "pipe"])
def test_closing_ends_a_read_that_waits(tmp_path: Path, kind: str) -> None:
    """A stalled source is let go of at once, from another thread, and twice."""
    program = str(install(tmp_path, "p", Script(stall=True)))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    made: dict[str, Callable[[], Chunks]] = {
        "output": lambda: Output([program]),
        "growing": lambda: Growing([program], tmp_path, "*.csv"),
        "pipe": lambda: Pipe(pipe),
    }
    chunks = made[kind]()
    reasons: list[str] = []

    def read() -> None:
        try:
            chunks.read()
        except MeterError as error:
            reasons.append(error.reason)

    reader = threading.Thread(target=read)
    reader.start()
    reader.join(0.3)  # long enough to be waiting, most times; the rule holds either way
    chunks.close()
    chunks.close()
    reader.join(2.0)

    assert reasons == ["source_failed"]


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """A program that cannot be started is a reason."""
    output = Output([str(tmp_path / "nothing")])

    with pytest.raises(MeterError, match="cannot be run") as caught:
        output.read()

    assert caught.value.reason == "source_failed"
    output.close()
