"""transformers and accelerate in this process, as the paper ran them: any local model or hub id, or random weights.

A request is one batch: its queries have equal lengths, start together and end together. Times are taken with the device
caught up, on both ends and at the first token. What may be done before the clock starts (prompts on the device, graphs
recorded) is done before, but it does cost joules: let the first request of every shape be a warm-up.

torch and transformers are imported on loading (extra `transformers`), never with this module.
"""

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from wattshed.domain.arrays import Integers
from wattshed.domain.choices import Configuration, Device, Precision
from wattshed.domain.system import System
from wattshed.engines.architectures import architecture
from wattshed.engines.decoding import Decoder, EagerDecoder, StaticGraphDecoder, cuda_graph
from wattshed.engines.engine import Generation, Request
from wattshed.engines.loading import hardware_name, load_model
from wattshed.engines.model_name import model_name
from wattshed.engines.prompts import file_tokens, read_prompts, synthetic_tokens
from wattshed.errors import EngineError, MissingError, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TransformersSettings:
    """What runs where, and how; see `docs/guides/profile-a-machine.md`.

    `model` is a path, a hub id or `random:NAME`. `prompts` is a text file with one prompt a line; without it prompts
    are random token ids. `name` is what the profile calls the machine (its hardware, if not given) and `host` the
    random label of this host.
    """

    model: str
    device: Device = "cpu"
    precision: Precision = "fp32"
    kv_cache: bool = True
    configuration: Configuration = "eager"
    devices: int = 1
    prompts: Path | None = None
    name: str | None = None
    host: str | None = None

    def __post_init__(self) -> None:
        if architecture(self.model) is not None and self.prompts is not None:
            raise UsageError(f"{self.model} has no tokenizer to read {self.prompts} with; leave out the prompt file")
        if self.devices < 1 or (self.devices > 1 and self.device != "cuda"):
            raise UsageError(f"{self.devices} {self.device} devices; several devices need CUDA, and one is the least")
        if self.configuration == "static-graph":
            self._check_static_graph()

    def _check_static_graph(self) -> None:
        if self.device != "cuda":
            raise UsageError(f"a static graph is a CUDA graph, and the device is {self.device}; use eager")
        if self.devices > 1 or not self.kv_cache:
            raise UsageError("a static graph runs on one device and needs the KV cache; use eager")


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    """What is in memory; `lines` holds the token ids of the prompt file, none where there is no file."""

    model: "PreTrainedModel"
    decoder: Decoder
    lines: tuple[tuple[int, ...], ...]

    def prompts(self, request: Request) -> Integers:
        if self.lines:
            return file_tokens(self.lines, request)
        return synthetic_tokens(request, self.model.config.get_text_config().vocab_size)


class TransformersEngine:
    """An `Engine` in this process."""

    def __init__(self, settings: TransformersSettings, *, now_s: Callable[[], float] = time.perf_counter) -> None:
        self._settings, self._now_s = settings, now_s
        self._model = model_name(settings.model)
        self._loaded: _Loaded | None = None

    @property
    def system(self) -> System:
        """The hardware as it names itself; `concurrency` is 1 here, and a request's own where it says so."""
        settings = self._settings
        hardware = hardware_name(settings.device)
        return System(
            settings.name or hardware,
            self._model,
            hardware,
            settings.devices,
            f"transformers {_version('transformers')} {settings.configuration}",
            settings.precision,
            settings.kv_cache,
            host=settings.host,
        )

    def load(self) -> None:
        """Bring the model onto the device; `MissingError` where there is no such device or model."""
        if self._loaded is None:
            self._loaded = self._in_memory(lambda: _load(self._settings))

    def prompts(self, request: Request) -> Integers:
        """The token ids that a request stands for, shape (queries, m)."""
        return self._ready().prompts(request)

    def generate(self, request: Request) -> tuple[Generation, ...]:
        """Run the batch; too little memory is `EngineError("out_of_memory")`, and the memory is free afterwards."""
        return self._in_memory(lambda: self._generated(request))

    def close(self) -> None:
        """Free the model."""
        self._loaded = None
        _free()

    def _ready(self) -> _Loaded:
        if self._loaded is None:
            raise EngineError("engine_gone", "the model is not loaded; call load() first")
        return self._loaded

    def _generated(self, request: Request) -> tuple[Generation, ...]:
        import torch

        loaded = self._ready()
        prompts = torch.from_numpy(loaded.prompts(request)).to(loaded.model.device)
        loaded.decoder.prepare(request.concurrency, request.input_tokens, request.output_tokens)
        first_at_s: list[float] = []
        started_at_s = self._caught_up_at_s()
        made = loaded.decoder.decode(
            prompts, request.output_tokens, on_first_token=lambda: first_at_s.append(self._caught_up_at_s())
        )
        runtime_s, ttft_s = self._caught_up_at_s() - started_at_s, first_at_s[0] - started_at_s
        queries, output_tokens = made.shape
        return tuple(Generation(prompts.shape[1], output_tokens, runtime_s, ttft_s, 0) for _ in range(queries))

    def _caught_up_at_s(self) -> float:
        """The instant at which every device has done all that it was told."""
        import torch

        if self._settings.device == "cuda":
            for index in range(self._settings.devices):
                torch.cuda.synchronize(index)
        elif self._settings.device == "mps":
            torch.mps.synchronize()
        return self._now_s()

    def _in_memory(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            reason, problem = failure(error), str(error).partition("\n")[0]
            if reason is None:
                raise
        # Not inside the except block: a living exception keeps the frames, and so the tensors, of what failed.
        _free()
        raise EngineError(reason, f"{self._model} on {self._settings.device}: {problem}")


def failure(error: Exception) -> str | None:
    """The reason code of an error of torch or Python; `None` where it is nothing that a device does."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return "out_of_memory"
    return "engine_gone" if "cuda error" in text else None


def _load(settings: TransformersSettings) -> _Loaded:
    model = load_model(settings.model, settings.precision, device=settings.device, devices=settings.devices)
    eager = settings.configuration == "eager"
    decoder = EagerDecoder(model, kv_cache=settings.kv_cache) if eager else StaticGraphDecoder(model, cuda_graph)
    return _Loaded(model, decoder, () if settings.prompts is None else _encoded(settings.model, settings.prompts))


def _encoded(model: str, path: Path) -> tuple[tuple[int, ...], ...]:
    from transformers import AutoTokenizer

    try:
        encode = AutoTokenizer.from_pretrained(model).encode
    except Exception as error:  # its many kinds of files fail in as many ways
        problem = f"{model} has no tokenizer that can be read ({str(error).strip().partition(chr(10))[0]})"
        raise MissingError(f"{problem}; put its files there, or leave out --prompts") from error
    return read_prompts(path, encode)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise MissingError(f"this needs {package}; run: pip install 'wattshed[transformers]'") from None


def _free() -> None:
    """Give back what nobody refers to any more, also to the device."""
    gc.collect()
    torch = sys.modules.get("torch")  # where it was never imported there is nothing to free
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
