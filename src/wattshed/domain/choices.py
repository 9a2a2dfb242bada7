"""Choices that are words: what a flag, a file and a type share. Loads nothing, so that `--help` stays quick."""

from typing import Literal, get_args

Channel = Literal["gpu", "cpu", "total"]
"""Whose joules: the accelerator's, the processor's as the source billed them, or both together."""

CHANNELS: tuple[Channel, ...] = get_args(Channel)

PredictorKind = Literal["prefix", "table", "regression", "batch"]
"""The form of E(m, n) and R(m, n)."""
