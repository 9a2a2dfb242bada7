"""Published architectures, to be filled with random weights: the joules of a model hang on its shape, not its weights.

`random:llama-2-7b` needs no download and no licence. The settings are the fields of the models' `config.json`, under
the names that transformers gives them; the tiny ones have the same shape in small, for tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from wattshed.errors import UsageError

PREFIX: Final = "random:"
"""Begins the name of a model with random weights."""

_FALCON_7B: Final = {
    "vocab_size": 65024,
    "hidden_size": 4544,
    "num_hidden_layers": 32,
    "num_attention_heads": 71,
    "max_position_embeddings": 2048,
    "multi_query": True,
    "parallel_attn": True,
    "new_decoder_architecture": False,
    "bias": False,
    "alibi": False,
    "tie_word_embeddings": True,
}
_LLAMA_2_7B: Final = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
_MISTRAL_7B: Final = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-5,
    "sliding_window": 4096,
    "tie_word_embeddings": False,
}
_TINY: Final = {
    "vocab_size": 512,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A `model_type` of transformers with its settings, the parameters this gives, and where both are published."""

    name: str
    model_type: str
    settings: Mapping[str, float]
    parameters: int
    source: str


ARCHITECTURES: Final = (
    Architecture("falcon-7b", "falcon", _FALCON_7B, 6_921_720_704, "huggingface.co/tiiuae/falcon-7b"),
    Architecture("llama-2-7b", "llama", _LLAMA_2_7B, 6_738_415_616, "huggingface.co/meta-llama/Llama-2-7b-hf"),
    Architecture("mistral-7b", "mistral", _MISTRAL_7B, 7_241_732_096, "huggingface.co/mistralai/Mistral-7B-v0.1"),
    Architecture("tiny-falcon", "falcon", _FALCON_7B | _TINY, 410_368, "falcon-7b in small"),
    Architecture(
        "tiny-llama",
        "llama",
        _LLAMA_2_7B | _TINY | {"intermediate_size": 256, "num_key_value_heads": 4},
        459_392,
        "llama-2-7b in small",
    ),
    Architecture(
        "tiny-mistral",
        "mistral",
        _MISTRAL_7B | _TINY | {"intermediate_size": 256, "num_key_value_heads": 2, "sliding_window": 256},
        426_624,
        "mistral-7b in small",
    ),
)
"""Every architecture that can be had without a download; `parameters` counts tied embeddings once."""


def architecture(model: str) -> Architecture | None:
    """What `random:NAME` stands for; `None` for a path or a hub id. `UsageError` for a name that is not known."""
    if not model.startswith(PREFIX):
        return None
    known = {one.name: one for one in ARCHITECTURES}
    name = model.removeprefix(PREFIX)
    if name not in known:
        raise UsageError(f"no architecture {name!r}; choose {PREFIX}NAME among {', '.join(known)}")
    return known[name]
