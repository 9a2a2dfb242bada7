"""What the flags of `wattshed profile` say about the engine: which of them go together, and what is kept of them."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from wattshed.datasets.defects import quoted
from wattshed.domain.choices import Configuration, Device, EngineKind, Precision
from wattshed.engines.model_name import is_path, model_name
from wattshed.errors import UsageError
from wattshed.files import read_whole

DEFAULT_PRECISION: Final[Precision] = "bf16"
"""Of transformers, where the flags do not say."""

PROMPTS: Final = "a text file with a prompt a line"


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What the flags say about the engine; `None` where they say nothing."""

    kind: EngineKind
    model: str | None
    device: Device | None
    devices: int | None
    precision: Precision | None
    kv_cache: bool | None
    configuration: Configuration | None
    prompts: Path | None
    url: str | None
    api_key: str | None
    name: str | None
    hardware: str | None
    timeout_s: float
    meters: tuple[str, ...] = ()

    def check(self) -> None:
        """`UsageError` where flags are missing or belong elsewhere; `MissingError` where a file is not there."""
        self._refuse_idle_flags()
        if self.prompts is not None:
            read_whole(self.prompts, wanted=PROMPTS)
        if self.kind != "synthetic" and not self.model:
            raise UsageError(f"--engine {self.kind} needs --model")
        if (self.kind == "openai") != (self.url is not None):
            raise UsageError("--url and --engine openai go together; give both or neither")
        if self.url is not None and not _is_address(self.url):
            raise UsageError(f"--url wants the address of a server, like http://localhost:8000, got {quoted(self.url)}")
        if self.kind == "openai" and not self.hardware:
            raise UsageError("--engine openai needs --hardware: a server does not say what it runs on")

    @property
    def stated(self) -> tuple[str, ...]:
        """What the flags say of a server that nothing can check."""
        facts = {"devices": self.devices, "precision": self.precision, "KV cache": self.kv_cache}
        return tuple(name for name, fact in facts.items() if fact is not None)

    @property
    def published_model(self) -> str:
        """What the profile calls the model: no path, and for a server the name that it goes by."""
        if self.kind == "synthetic":
            return "synthetic"
        model = str(self.model)
        return model_name(model) if self.kind == "transformers" or is_path(model) else model

    @property
    def settings(self) -> dict[str, object]:
        """What the journal keeps: everything that changes the numbers, and neither URL nor key."""
        system = {"engine": self.kind, "model": self.published_model, "name": self.name}
        if self.kind == "synthetic":
            return dict(system)
        of_both = {"hardware": self.hardware, "precision": self.precision}
        if self.kind == "openai":
            return system | of_both | {"devices": self.devices, "kv_cache": self.kv_cache, "stated": list(self.stated)}
        return (
            system
            | of_both
            | {
                "device": self.device or "cpu",
                "devices": self.devices or 1,
                "kv_cache": self.kv_cache is not False,
                "configuration": self.configuration or "eager",
                "prompts": "random tokens"
                if self.prompts is None
                else sha256(read_whole(self.prompts, wanted=PROMPTS)).hexdigest(),
            }
        )

    def _refuse_idle_flags(self) -> None:
        """`UsageError` for a flag that would do nothing, or would be recorded as a fact that it is not."""
        if self.kind == "synthetic" and self.meters:
            raise UsageError("--meters is not for --engine synthetic, which brings its own; leave it out")
        if self.kind != "openai" and self.hardware is not None:
            raise UsageError("--hardware is for --engine openai: others say what they run on; leave it out")
        kv_cache = "--no-kv-cache" if self.kv_cache is False else "--kv-cache"
        ours = {"--device": self.device, "--configuration": self.configuration, "--prompts": self.prompts}
        stated = {"--devices": self.devices, "--precision": self.precision, kv_cache: self.kv_cache}
        idle: list[tuple[str, object, str]] = []
        if self.kind != "transformers":
            idle += [(flag, given, "transformers") for flag, given in ours.items()]
        if self.kind == "synthetic":
            both = "transformers or openai"
            idle += [(flag, given, both) for flag, given in (*stated.items(), ("--model", self.model))]
        for flag, given, engines in idle:
            if given is not None:
                raise UsageError(f"{flag} is for --engine {engines}; leave it out")


def _is_address(url: str) -> bool:
    """Whether a URL names a server that speaks HTTP."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is no number, half a bracket
        return False
