"""The first half of the audit: the paper's sums over one length at a time, with one fault undone after another.

Figures 4 and 5 weigh a curve (energy against one token count, the other frozen at 32) with a histogram of lengths. Each
step below changes one thing in that sum and keeps what was changed before, so the difference between two rows is the
effect of one fault. The second half (`audit_pairs.py`) needs real (m, n) pairs and a predictor of both.
Source: METHOD, faults 1, 3, 4 and 5 of the published figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.measurement import Profile
from wattshed.domain.plan import Interval
from wattshed.planner.curves import Sweep, SweepCurve
from wattshed.planner.published import A100, M1, THRESHOLDS, sweep_curves

Analysis = Literal["input", "output", "pairs"]

Fault = Literal[
    "as published",
    "fault 1",
    "fault 2",
    "fault 3",
    "fault 4",
    "fault 5",
    "fault 6",
    "fault 8",
    "fault 9",
    "fault 10",
    "fault 11",
]
"""What a step undoes, by METHOD's numbers; 7 and 12 to 15 change no sum."""

FROZEN_TOKENS: Final = 32
"""What the side that a sweep does not vary is frozen at (the paper, section 5.2)."""

SHARED_MODELS: Final = ("Llama-2 (7B)", "Mistral (7B)")
"""Models measured on both the M1 and the A100; Falcon would not run on the M1."""


@dataclass(frozen=True, slots=True)
class LengthAccounting:
    """Which faults of the published sum are undone."""

    same_models: bool = False
    interpolated: bool = False
    all_tokens: bool = False
    per_query: bool = False
    own_histogram: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the audit: both single systems and a hybrid after undoing `fault`.

    `rule` is the hybrid's kind and `policy` the rule with its numbers. Savings are fractions of the baseline's energy,
    positive where the hybrid uses less. `infeasible_queries` could not run on the M1 and its baseline continues them.
    Runtimes are None where the row still follows the published sum, which multiplies seconds by tokens.
    """

    fault: Fault
    title: str
    analysis: Analysis
    rule: str
    policy: str
    a100_system: str
    a100_energy_j: Interval
    m1_energy_j: Interval
    hybrid_energy_j: Interval
    saving_against_a100: Interval
    saving_against_m1: Interval
    infeasible_queries: int
    m1_runtime_s: float | None = None
    a100_runtime_s: float | None = None
    hybrid_runtime_s: float | None = None

    @property
    def saving_against_best(self) -> Interval:
        """The saving against the cheaper of the two single systems."""
        a100_is_best = self.a100_energy_j.value <= self.m1_energy_j.value
        return self.saving_against_a100 if a100_is_best else self.saving_against_m1


LENGTH_STEPS: Final[tuple[tuple[Fault, str, dict[str, bool]], ...]] = (
    ("as published", "as published", {}),
    ("fault 4", "the models that both ran", {"same_models": True}),
    ("fault 3", "J/token interpolated", {"interpolated": True}),
    ("fault 1", "every token billed", {"all_tokens": True}),
    ("fault 2", "energy per query, no J/token", {"per_query": True}),
    ("fault 5", "output lengths for output", {"own_histogram": True}),
)
"""The order in which faults are undone; fault numbers are METHOD's."""


@dataclass(frozen=True, slots=True, eq=False)
class Lengths:
    """A histogram of one token count: `tokens` and `queries` of shape (N,)."""

    tokens: Integers
    queries: Integers


def length_steps(profile: Profile, inputs: Lengths, outputs: Lengths, *, seed: int = 0) -> list[Step]:
    """The audit's rows for Figure 4 (input), then for Figure 5 (output, which has one more fault to undo)."""
    steps: list[Step] = []
    for sweep in ("input", "output"):
        accounting = LengthAccounting()
        for fault, title, undone in LENGTH_STEPS:
            accounting = replace(accounting, **undone)
            if sweep == "input" and accounting.own_histogram:
                continue  # Figure 4 used the right histogram
            histogram = outputs if accounting.own_histogram else inputs
            energy_j = length_energies(profile, sweep, histogram, accounting, np.random.default_rng(seed))
            steps.append(_step(fault, title, sweep, histogram, energy_j))
    return steps


def length_energies(
    profile: Profile, sweep: Sweep, histogram: Lengths, accounting: LengthAccounting, rng: np.random.Generator
) -> dict[str, Floats]:
    """Energy of all queries of each length on either system: arrays of shape (R + 1, N), row 0 as recorded."""
    models = SHARED_MODELS if accounting.same_models else None
    curves = sweep_curves(profile, sweep, models, rng)
    return {
        system: _energy_per_query(curve, histogram.tokens, accounting) * histogram.queries
        for system, curve in curves.items()
    }


def _energy_per_query(curve: SweepCurve, tokens: Integers, accounting: LengthAccounting) -> Floats:
    if accounting.per_query:
        return curve.between(curve.energy_j, tokens)
    at = curve.between if accounting.interpolated else curve.nearest
    billed_tokens = tokens + FROZEN_TOKENS if accounting.all_tokens else tokens
    return at(curve.energy_per_token_j, tokens) * billed_tokens


def _step(fault: Fault, title: str, sweep: Sweep, histogram: Lengths, energy_j: Mapping[str, Floats]) -> Step:
    m1, a100 = energy_j[M1], energy_j[A100]
    hybrids = {most: np.where(histogram.tokens <= most, m1, a100).sum(axis=1) for most in THRESHOLDS[sweep]}
    best = min(hybrids, key=lambda most: hybrids[most][0])
    m1_total, a100_total, hybrid = m1.sum(axis=1), a100.sum(axis=1), hybrids[best]
    beyond_m1 = histogram.tokens > THRESHOLDS[sweep][-1]
    return Step(
        fault,
        title,
        sweep,
        "best threshold",
        f"{'m' if sweep == 'input' else 'n'} <= {best} to {M1}, else {A100}",
        A100,
        a100_energy_j=_interval(a100_total),
        m1_energy_j=_interval(m1_total),
        hybrid_energy_j=_interval(hybrid),
        saving_against_a100=_interval(1 - hybrid / a100_total),
        saving_against_m1=_interval(1 - hybrid / m1_total),
        infeasible_queries=int(histogram.queries[beyond_m1].sum()),
    )


def _interval(values: Floats) -> Interval:
    """Row 0 of (R + 1,) with the interval of the other rows."""
    return Interval.of(values[0], values[1:])
