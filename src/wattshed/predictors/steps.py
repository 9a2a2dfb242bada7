"""What one step of a batching engine costs: the batch form, taken apart into the steps that it sums up.

A step computes p prompt tokens for requests that are still being read, and samples one token for each of s sequences:
those that decode, and those whose prompt it finishes. It takes

    w0 [a prompt begins] + w1 (prompts that begin) + p1 p + p2 (sum of b^2 - a^2 over the chunks a..b of prompts)
    + s0 + s1 s + sum of h_k max(s - k, 0) + c (sum of the s contexts, each with half of the token that is written)

in seconds with the coefficients of runtime and in joules with those of energy. b requests of one shape that begin
together therefore take W(m, n, b) of `batch.py`, exactly: a test holds the two together.
"""

from dataclasses import dataclass
from typing import Self

from wattshed.predictors.batch import BatchPredictor


@dataclass(frozen=True, slots=True)
class StepCost:
    """The coefficients of one quantity, in joules or in seconds; `hinges` holds pairs (k, h_k), k rising."""

    per_start: float
    per_prompt: float
    per_prompt_token: float
    per_prompt_token_squared: float
    per_step: float
    per_sequence: float
    per_context_token: float
    hinges: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, coefficients: tuple[float, ...], concurrencies: tuple[int, ...]) -> Self:
        """From the coefficients of the batch form, in its order, and the concurrencies that were measured."""
        fixed, request, prefill, square, step, sequence, read, *slopes = coefficients
        hinges = tuple(zip(map(float, concurrencies[1:-1]), slopes, strict=True))
        return cls(fixed, request, prefill, square, step, sequence, read, hinges)


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Joules and seconds of the steps of one system."""

    energy: StepCost
    runtime: StepCost

    @classmethod
    def of(cls, predictor: BatchPredictor) -> Self:
        """What a fitted batch predictor says of steps."""
        fitted = predictor.fitted
        measured = fitted.support.concurrencies
        return cls(
            StepCost.of(tuple(map(float, fitted.energy.coefficients)), measured),
            StepCost.of(tuple(map(float, fitted.runtime.coefficients)), measured),
        )
