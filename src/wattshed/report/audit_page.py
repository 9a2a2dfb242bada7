"""The sections of a page that show the audit."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from wattshed.planner.audit import Audit, answers
from wattshed.planner.audit_lengths import Step
from wattshed.planner.audit_pairs import Case
from wattshed.planner.published import A100, M1
from wattshed.report.audit_figures import host_power_figure, line_figure, steps_figure
from wattshed.report.audit_words import IDLE_A100_W, audit_paragraph
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.words import in_percent, in_percent_with_bounds
from wattshed.units import hours, kwh, percent


def audit_pictures(audited: Audit) -> dict[str, Picture]:
    """The three pictures of the audit by name."""
    return {
        "line": Picture(
            line_figure(audited.pairs, M1, A100),
            f"Where each machine needs less energy for a query of m input and n output tokens, mean of both models; "
            f"dots are the queries of {audited.pairs.workload.name}. The published rule sends all to the left of the "
            "dashed line to the M1.",
            "Map over input and output tokens; the M1 is cheaper only in the lower left corner, where both are short.",
        ),
        "steps": Picture(
            steps_figure(audited),
            "Left and middle: what the best threshold saves as the faults of Figures 4 and 5 are undone in turn. "
            "Right: three rules on real pairs, as more is billed. Bars are 95 % intervals.",
            "Savings against A100 only and M1 only; on real pairs the input threshold is far below zero.",
        ),
        "host-power": Picture(
            host_power_figure(audited),
            "The same rules as the A100 node is billed for more of its host.",
            "Savings against the best single system rise with host power, then fall as the M1 becomes the best system; "
            "the picture is cut at the bottom.",
        ),
    }


IDLE_POWERS_W: Final = (0.0, 5.0, 10.0, 20.0, IDLE_A100_W)
"""Idle powers of the sensitivity table, up to an idle A100 board."""

STEP_NOTES: Final = {
    "as published": "J per token at the nearest power of two, times input length, for both figures.",
    "fault 4": "The A100's mean held Falcon, which the M1 never ran; both now average the same two models.",
    "fault 3": "J per token is interpolated between measured lengths, not taken at the nearest power of two.",
    "fault 1": "J per token of the whole query is billed for all its tokens, not for one side of them.",
    "fault 2": "The measured energy of a query directly, with no J per token between.",
    "fault 5": "The axis of Figure 5 says output; now the lengths are output lengths too.",
    "fault 6": "Both lengths of every real query, by the prefix predictor, instead of one with the other frozen at 32.",
    "fault 8": "The Intel node with an A100 was measured and left out; it may serve too.",
    "fault 9": "Of the AMD host only a few cores were billed; a stated power is added for its busy seconds. "
    "Where the Intel node already serves in its place, nothing changes.",
    "fault 10": "Idle power was subtracted on Intel alone; its packages are now billed gross.",
    "fault 11": "M1 runtimes hold some 2.8 s of sleep and meter start; only hours change.",
}
"""What each step changes, in words; fault numbers are METHOD's."""


def audit_sections(audited: Audit) -> list[Section]:
    """The audit in the order of its argument: the answer, the way there, the cases, what was not billed, the rest."""
    pictures = audit_pictures(audited)
    verdicts = Table(
        "Questions",
        ("question", "answer", "saving, 95 % interval"),
        [(a.question, "yes" if a.yes else "no", in_percent_with_bounds(a.saving)) for a in answers(audited)],
    )
    lengths = [step for step in audited.steps if step.analysis != "pairs"]
    pairs = [step for step in audited.steps if step.analysis == "pairs"]
    return [
        Section("The answer", [Prose(audit_paragraph(audited), quote=True), verdicts, pictures["line"]]),
        Section("One fault undone after another", [pictures["steps"], _notes(), *_length_tables(lengths)]),
        Section("Real pairs, as more is billed", _pair_tables(pairs)),
        Section("Every policy, model and pair of systems", [_cases(audited.cases)]),
        Section("What was not billed", [pictures["host-power"], _waits(audited), Prose(IDLE_NOTE)]),
        Section("Other findings", [_findings(audited)]),
    ]


IDLE_NOTE = (
    "Idle power: with one machine of each kind, the one that finishes first waits for the other. The break-even is the "
    "power it may draw while it waits before the optimum's saving is gone."
)


def _notes() -> Table:
    return Table("What each step changes", ("step", "change"), list(STEP_NOTES.items()), folded=True)


def _length_tables(steps: Sequence[Step]) -> Iterable[Table]:
    for analysis, rows in groupby(steps, key=lambda step: step.analysis):
        yield Table(
            f"Figure {4 if analysis == 'input' else 5}, {analysis} lengths; each row keeps what those above it undid",
            ("step", "best hybrid", "A100 kWh", "M1 kWh", "hybrid kWh", "against A100", "against M1"),
            [(f"{step.fault}: {step.title}", step.policy, *_energies(step)) for step in rows],
        )


def _pair_tables(steps: Sequence[Step]) -> list[Table]:
    return [_pair_table(list(rows)) for _, rows in groupby(steps, key=lambda step: step.fault)]


def _pair_table(steps: Sequence[Step]) -> Table:
    first = steps[0]
    return Table(
        f"{first.fault}: {first.title}. A100 only is {first.a100_system}.",
        ("rule", "hours", "A100 kWh", "M1 kWh", "hybrid kWh", "against A100", "against M1"),
        [
            (
                f"{step.rule}: {step.policy}" if step.rule.startswith("best") else step.rule,
                f"{hours(step.hybrid_runtime_s or 0.0):.1f}",
                *_energies(step),
            )
            for step in steps
        ],
    )


def _energies(step: Step) -> tuple[str, ...]:
    energies = (step.a100_energy_j, step.m1_energy_j, step.hybrid_energy_j)
    savings = (step.saving_against_a100, step.saving_against_m1)
    return (*(f"{kwh(e.value):.3f}" for e in energies), *(in_percent_with_bounds(saving) for saving in savings))


def _cases(cases: Sequence[Case]) -> Table:
    return Table(
        "As billed, no host power added",
        ("model", "small to", "others to", "rule", "kWh", "hours", "saved against the best single"),
        [
            (
                case.model,
                case.below_system,
                case.above_system,
                case.rule,
                f"{kwh(case.plan.energy_j.value):.3f}",
                f"{hours(case.plan.runtime_s.value):.1f}",
                in_percent_with_bounds(case.best_saving),
            )
            for case in cases
        ],
        folded=True,
    )


def _waits(audited: Audit) -> Table:
    """The optimum's saving at several idle powers, and where it is gone."""
    return Table(
        "The optimum of M1 and A100 node, one machine each: saving against the best single system by idle power",
        ("A100 node", "hours of waiting", "break-even", *(f"{w:g} W" for w in IDLE_POWERS_W), "M1s to finish together"),
        [
            (
                wait.case.above_system,
                "–" if wait.idle_s is None else f"{hours(wait.idle_s):.1f}",
                "–" if wait.break_even_w is None else f"{wait.break_even_w:.1f} W",
                *(in_percent(wait.saving_at(idle_power_w)) for idle_power_w in IDLE_POWERS_W),
                "–" if wait.replicas_to_match is None else f"{wait.replicas_to_match:.1f}",
            )
            for wait in audited.waits
        ],
    )


def _findings(audited: Audit) -> Table:
    rows = [
        (
            str(finding.fault),
            finding.statement,
            f"{percent(finding.value):.2f} %" if finding.unit == "fraction" else f"{finding.value:.3g} {finding.unit}",
        )
        for finding in audited.findings
    ]
    return Table("Faults that change no sum above", ("fault", "finding", "figure"), rows)
