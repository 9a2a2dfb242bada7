"""Choices that are words: what a flag, a file and a type share. Loads nothing, so that `--help` stays quick."""

from typing import Literal, get_args

Channel = Literal["gpu", "cpu", "total", "platform"]
"""Whose joules: the accelerator's, the processor's as the source billed them, both together, or the whole machine's."""

CHANNELS: tuple[Channel, ...] = get_args(Channel)

PredictorKind = Literal["prefix", "table", "regression", "batch"]
"""The form of E(m, n) and R(m, n)."""

EngineKind = Literal["transformers", "openai", "synthetic"]
"""What makes the tokens: a model in this process, a server, or neither."""

Device = Literal["cpu", "cuda", "mps"]
"""Where transformers run."""

Precision = Literal["fp32", "bf16", "fp16"]
"""Number format of the weights."""

Configuration = Literal["eager", "static-graph"]
"""How transformers decode: plainly, or by replaying a recorded graph that the host's pace does not touch."""
