"""The sections of a page that show the audit."""

from collections.abc import Sequence

from wattshed.planner.audit import Audit, answers
from wattshed.planner.audit_lengths import Step
from wattshed.planner.audit_pairs import Case
from wattshed.planner.published import A100, M1
from wattshed.report.audit_figures import host_power_figure, line_figure, steps_figure
from wattshed.report.audit_words import audit_paragraph
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.words import in_percent_with_bounds
from wattshed.units import hours, kwh


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
            "Energy saved by the best published-style hybrid after each undone fault, with 95 % intervals.",
            "Savings against A100 only and M1 only; on real pairs the input threshold is far below zero.",
        ),
        "host-power": Picture(
            host_power_figure(audited),
            "The same rules as the A100 node is billed for more of its host.",
            "Savings against the best single system rise with host power, then fall as the M1 becomes the best system.",
        ),
    }


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
        Section("One fault undone after another", [pictures["steps"], _steps(lengths), _steps(pairs)]),
        Section("Every policy, model and pair of systems", [_cases(audited.cases)]),
        Section("What was not billed", [pictures["host-power"], _idle(audited), Prose(IDLE_NOTE)]),
        Section("Other findings", [_findings(audited)]),
    ]


IDLE_NOTE = (
    "Idle: a hybrid of one machine each waits for its slower half. The break-even is the average power per idle second "
    "at which the optimum's saving is gone; an idle A100 board alone draws about 56 W."
)


def _steps(steps: Sequence[Step]) -> Table:
    return Table(
        "Energy in kWh; savings in per cent with 95 % intervals; each row keeps what the rows above it undid",
        (
            "fault",
            "what changes",
            "hybrid",
            "A100 only",
            "M1 only",
            "hybrid kWh",
            "against A100",
            "against M1",
            "hours",
        ),
        [
            (
                f"{step.analysis}: {step.fault}",
                step.title,
                step.policy,
                f"{kwh(step.a100_energy_j.value):.4f}",
                f"{kwh(step.m1_energy_j.value):.4f}",
                f"{kwh(step.hybrid_energy_j.value):.4f}",
                in_percent_with_bounds(step.saving_against_a100),
                in_percent_with_bounds(step.saving_against_m1),
                "–" if step.hybrid_runtime_s is None else f"{hours(step.hybrid_runtime_s):.1f}",
            )
            for step in steps
        ],
    )


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


def _idle(audited: Audit) -> Table:
    return Table(
        "Idle power that cancels the optimum's saving",
        ("A100 node", "saved kWh", "idle hours, one machine each", "break-even W", "M1s that finish together"),
        [
            (
                idle.case.above_system,
                f"{kwh(idle.saved_energy_j):.3f}",
                f"{hours(idle.idle_s):.1f}",
                f"{idle.break_even_w:.1f}",
                f"{idle.replicas_to_match:.1f}",
            )
            for idle in audited.idle
        ],
    )


def _findings(audited: Audit) -> Table:
    return Table(
        "Faults that change no sum above",
        ("fault", "finding", "figure", "unit"),
        [
            (str(finding.fault), finding.statement, f"{finding.value:.4g}", "" if finding.unit == "1" else finding.unit)
            for finding in audited.findings
        ],
    )
