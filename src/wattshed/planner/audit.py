"""The audit: from the published saving to the true one, and every figure a reader needs to check the way.

`audit` gathers five things: the steps (one fault undone after another), the cases (each policy, model and pair of
systems on real pairs), what host power and idle power do to them, and the findings that change no sum.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from wattshed.datasets.published import alpaca_input_lengths
from wattshed.domain.arrays import Integers
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.plan import Interval
from wattshed.domain.query import Workload
from wattshed.planner.audit_lengths import FROZEN_TOKENS, Fault, Lengths, Step, length_steps
from wattshed.planner.audit_pairs import INPUT_RULE, STATED_HOST_POWER_W, Case, PairAudit, Waiting, waiting
from wattshed.planner.planning import OPTIMUM
from wattshed.planner.published import A100, PublishedSaving, hybrid_points, published_savings, sweep_curves

_STATED_TRIALS = 25
"""Most trials of a cell by the paper's stopping rule (section 5.2.3)."""


WORTH = 0.001
"""The smallest saving that is called one, as a fraction."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault that changes no sum, with its effect in numbers."""

    fault: int
    statement: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything `wattshed audit` says."""

    pairs: PairAudit
    published: tuple[PublishedSaving, ...]
    steps: tuple[Step, ...]
    cases: tuple[Case, ...]
    host_power: tuple[Case, ...]
    waits: tuple[Waiting, ...]
    findings: tuple[Finding, ...]

    def step(self, fault: Fault, rule: str) -> Step:
        """The row on real pairs for one billing and rule; KeyError where there is none."""
        for step in self.steps:
            if (step.analysis, step.fault, step.rule) == ("pairs", fault, rule):
                return step
        raise KeyError((fault, rule))

    def at_host_power(self, host_power_w: float, rule: str) -> list[Case]:
        """The cases of one rule at one host power, a node each."""
        return [case for case in self.host_power if (case.host_power_w, case.rule) == (host_power_w, rule)]


@dataclass(frozen=True, slots=True)
class Answer:
    """A question about the published claim, whether the answer is yes, and the saving it rests on.

    Yes needs the whole 95 % interval above `WORTH`.
    """

    question: str
    yes: bool
    saving: Interval


def answers(audited: Audit) -> tuple[Answer, ...]:
    """What a reader wants to know."""
    threshold = audited.step("fault 6", INPUT_RULE).saving_against_a100
    optimum = audited.step("fault 6", OPTIMUM).saving_against_best
    with_node = audited.step("fault 8", OPTIMUM).saving_against_best
    hosted = {rule: audited.at_host_power(STATED_HOST_POWER_W, rule)[0].best_saving for rule in (INPUT_RULE, OPTIMUM)}
    host = f"{STATED_HOST_POWER_W:g} W of host power per A100"
    return (
        _answer("Does the paper's input threshold (32 tokens) save energy on real pairs?", threshold),
        _answer("Does the per-query optimum save energy against the best single system?", optimum),
        _answer("Does it still, once the measured A100 node that was left out may serve?", with_node),
        _answer(f"Does the input threshold save energy with {host}?", hosted[INPUT_RULE]),
        _answer(f"Does the per-query optimum save energy with {host}?", hosted[OPTIMUM]),
    )


def _answer(question: str, saving: Interval) -> Answer:
    return Answer(question, saving.lower > WORTH, saving)


def audit(profile: Profile, workload: Workload) -> Audit:
    """The audit of the paper's data on a workload of real pairs. Takes some ten seconds."""
    lengths, queries = alpaca_input_lengths()
    inputs, outputs = Lengths(lengths, queries), _output_lengths(workload)
    pairs = PairAudit.of(profile, workload)
    host_power = tuple(pairs.host_power_cases())
    optimum = [case for case in host_power if case.rule == OPTIMUM and case.host_power_w == 0]
    return Audit(
        pairs,
        tuple(published_savings(hybrid_points(profile, lengths, queries))),
        (*length_steps(profile, inputs, outputs), *pairs.steps()),
        tuple(pairs.cases()),
        host_power,
        tuple(waiting(case) for case in optimum),
        tuple(findings(profile, inputs)),
    )


def findings(profile: Profile, inputs: Lengths) -> Iterable[Finding]:
    """Faults 2, 7 and 12 to 15: what they are and how much they matter."""
    yield _runtime_finding(profile, inputs)
    saving = published_savings(hybrid_points(profile, inputs.tokens, inputs.queries))[0]
    yield Finding(
        7,
        "The saving is quoted against A100 only; against M1 only, the cheaper of the two, figure 4 gives this.",
        saving.against_m1,
        "fraction",
    )
    trials = [trial for trial in profile.measurements if not trial.warm_up]
    alone = sum(trial.system.concurrency == 1 for trial in trials) / len(trials)
    yield Finding(
        12, "batch_size=32 was given one prompt, so this share of the trials ran at batch 1.", alone, "fraction"
    )
    per_cell = Counter(_cell(trial) for trial in trials)
    yield Finding(
        13,
        "Half-widths use z where 6 trials ask for Student's t: intervals are too narrow by this factor.",
        _t_over_z(6),
        "times",
    )
    many = [count for count in per_cell.values() if count > _STATED_TRIALS]
    yield Finding(
        14, f"Cells with more than the stated {_STATED_TRIALS} trials (up to {max(many)}).", len(many), "cells"
    )
    negative = [trial.cpu_energy_j for trial in profile.measurements if (trial.cpu_energy_j or 0) < 0]
    yield Finding(
        15,
        f"{len(negative)} trials have a negative CPU energy (idle power overestimated); this is the lowest of them.",
        min(energy_j for energy_j in negative if energy_j is not None),
        "J",
    )


def _runtime_finding(profile: Profile, inputs: Lengths) -> Finding:
    curve = sweep_curves(profile, "input")[A100]
    runtime_s = curve.nearest(curve.runtime_s, inputs.tokens)[0]
    published, true_s = runtime_s @ (inputs.tokens * inputs.queries), runtime_s @ inputs.queries
    return Finding(
        2,
        f"Runtime per query is multiplied by the query's length: A100 only is plotted at {published:,.0f}, the same "
        f"curve sums to {true_s:,.0f} s (n = {FROZEN_TOKENS}), this many times less.",
        float(published / true_s),
        "times",
    )


def _output_lengths(workload: Workload) -> Lengths:
    """The histogram of output tokens of a workload."""
    tokens, bucket = np.unique(workload.output_tokens, return_inverse=True)
    counts: Integers = np.bincount(bucket, weights=workload.queries).astype(np.int64)
    return Lengths(tokens, counts)


def _cell(trial: Measurement) -> tuple[str, str, str, int, int]:
    requested = trial.requested_input_tokens, trial.requested_output_tokens
    return trial.system.name, trial.system.model, trial.experiment, *requested


def _t_over_z(trials: int) -> float:
    return float(stdtrit(trials - 1, 0.975) / ndtri(0.975))
