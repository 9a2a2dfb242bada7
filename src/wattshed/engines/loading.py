"""Models of transformers brought into memory: a folder, a hub id, or an architecture with random weights.

torch, transformers and accelerate are imported where they are used (extra `transformers`).
"""

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wattshed.domain.choices import Device, Precision
from wattshed.engines.architectures import Architecture, architecture
from wattshed.errors import MissingError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


TORCH_NAME: Final = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""What torch calls a precision."""

CPUINFO: Final = Path("/proc/cpuinfo")
"""Where Linux names its processors."""


def load_model(model: str, precision: Precision, *, device: Device, devices: int) -> "PreTrainedModel":
    """The model on its device or devices, ready to run; `MissingError` where there is no such device or model."""
    from transformers import GenerationConfig

    _check_devices(device, devices)
    shape, dtype = architecture(model), _dtype(precision)
    if shape is None:
        loaded = _pretrained(model, dtype, device, devices)
    else:
        loaded = _random(shape, dtype, device)
        loaded = _spread(loaded, dtype, devices) if devices > 1 else loaded
    loaded.eval()
    # No token ends an answer early and no sampling rule of the model's own interferes: n is exactly what is asked.
    loaded.generation_config = GenerationConfig(pad_token_id=0)
    return loaded


def hardware_name(device: Device, cpuinfo: Path = CPUINFO) -> str:
    """The device as it names itself: the GPU by CUDA, or else the processor by Linux or by the platform."""
    if device == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _random(shape: Architecture, dtype: "torch.dtype", device: Device) -> "PreTrainedModel":
    """Random weights, made on the device; several devices get their part of a model that fits on the first."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)  # the one generator that transformers draws weights from
    with torch.device(device):
        config = AutoConfig.for_model(shape.model_type, **shape.settings)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model


def _spread(model: "PreTrainedModel", dtype: "torch.dtype", devices: int) -> "PreTrainedModel":
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    whole = list(model._no_split_modules or ())  # transformers has no public name for them
    memory = get_balanced_memory(model, _all_memory(devices), no_split_module_classes=whole, dtype=dtype)
    places = infer_auto_device_map(model, memory, no_split_module_classes=whole, dtype=dtype)
    spread: PreTrainedModel = dispatch_model(model, places)
    return spread


def _pretrained(model: str, dtype: "torch.dtype", device: Device, devices: int) -> "PreTrainedModel":
    from transformers import AutoModelForCausalLM

    spread = {"device_map": "balanced", "max_memory": _all_memory(devices)} if devices > 1 else {"device_map": device}
    try:
        loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(model, dtype=dtype, **spread)
    except (OSError, ValueError) as error:
        problem = str(error).partition("\n")[0]
        raise MissingError(f"cannot load {model}: {problem}; give a folder, a hub id or random:NAME") from error
    return loaded


def _all_memory(devices: int) -> dict[int, int]:
    """Bytes of each of the first GPUs, by index."""
    import torch

    return {index: torch.cuda.get_device_properties(index).total_memory for index in range(devices)}


def _dtype(precision: Precision) -> "torch.dtype":
    import torch

    dtype: torch.dtype = getattr(torch, TORCH_NAME[precision])
    return dtype


def _check_devices(device: Device, devices: int) -> None:
    import torch

    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[device]
    if there < devices:
        raise MissingError(
            f"{devices} {device} devices were asked for and torch sees {there}; "
            "choose others, or install a torch built for this machine"
        )
