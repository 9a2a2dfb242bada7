"""`wattshed audit`: from the published saving to the true one, one fault at a time."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, emit, stderr

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.planner.audit import Audit
    from wattshed.planner.audit_pairs import Case, IdleBreakEven

EXAMPLES: Final = (
    "Examples: [bold]wattshed audit[/]  ·  [bold]wattshed audit --out out/[/] (draws the page)  ·  "
    "[bold]wattshed audit --workload my_pairs.csv --json[/]"
)


def command(
    workload: Annotated[str, typer.Option(help="Real (input, output) pairs to audit on.")] = "bundled:alpaca",
    out: Annotated[Path | None, typer.Option(help="Write audit.html and its figures here.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Audit the paper's saving: undo its faults one by one, then evaluate every policy on real query pairs."""
    from wattshed.datasets.profiles import read_profile
    from wattshed.datasets.workloads import read_workload
    from wattshed.planner.audit import audit

    with stderr().status("auditing: fitting, placing, resampling"):
        audited = audit(read_profile("bundled:wilkins2024"), read_workload(workload))
    files = draw(out, audited) if out else []
    document = _document(audited) | {"files": [str(file) for file in files]}
    emit(document, as_json=json_, show=lambda console: show(console, audited, files))


def show(console: "Console", audited: "Audit", files: list[Path]) -> None:
    """Print the way from the published saving to the true one, and the paragraph to quote."""
    from rich.table import Table

    from wattshed.planner.audit import answers
    from wattshed.report.audit_words import audit_paragraph
    from wattshed.report.words import in_percent_with_bounds
    from wattshed.units import kwh

    table = Table(
        "analysis", "fault undone", "hybrid", "A100 kWh", "M1 kWh", "hybrid kWh", "against A100", "against M1"
    )
    for step in audited.steps:
        energies = (step.a100_energy_j, step.m1_energy_j, step.hybrid_energy_j)
        savings = (step.saving_against_a100, step.saving_against_m1)
        table.add_row(
            step.analysis,
            step.fault,
            step.policy,
            *(f"{kwh(energy.value):.4f}" for energy in energies),
            *(in_percent_with_bounds(saving) for saving in savings),
        )
    console.print(table)
    for answer in answers(audited):
        console.print(f"{answer.question} {'Yes' if answer.yes else 'No'}: {in_percent_with_bounds(answer.saving)}")
    console.print()
    console.print(audit_paragraph(audited))
    for file in files:
        console.print(f"wrote {file}")


def draw(out: Path, audited: "Audit") -> list[Path]:
    """Write the page and its pictures; returns their paths, the page last."""
    from wattshed.report.audit_page import audit_pictures, audit_sections
    from wattshed.report.canvas import save
    from wattshed.report.page import page, write_page

    out.mkdir(parents=True, exist_ok=True)
    files = []
    for name, picture in audit_pictures(audited).items():
        files.append(out / f"{name}.png")
        save(picture.figure, files[-1])
    lead = "What Wilkins, Keshav and Mortier (2024) report, and what their own trials say once each fault is undone."
    text = page("The published saving, audited", lead, audit_sections(audited))
    return [*files, write_page(out / "audit.html", text)]


def _document(audited: "Audit") -> dict[str, object]:
    from wattshed.planner.audit import answers
    from wattshed.report.audit_words import audit_paragraph

    return {
        "workload": audited.pairs.workload.name,
        "published": [
            asdict(s) | {"against_a100": s.against_a100, "against_m1": s.against_m1} for s in audited.published
        ],
        "steps": [asdict(s) | {"saving_against_best": s.saving_against_best} for s in audited.steps],
        "cases": [_case(case) for case in audited.cases],
        "host_power": [_case(case) for case in audited.host_power],
        "idle": [_idle(idle) for idle in audited.idle],
        "findings": audited.findings,
        "answers": answers(audited),
        "paragraph": audit_paragraph(audited),
    }


def _case(case: "Case") -> dict[str, object]:
    plan = case.plan
    return {
        "model": case.model,
        "below_system": case.below_system,
        "above_system": case.above_system,
        "rule": case.rule,
        "policy": plan.policy,
        "host_power_w": case.host_power_w,
        "energy_j": plan.energy_j,
        "runtime_s": plan.runtime_s,
        "shares": plan.shares,
        "savings": plan.savings,
        "saving_against_best": case.best_saving,
    }


def _idle(idle: "IdleBreakEven") -> dict[str, object]:
    return {
        "a100_system": idle.case.above_system,
        "saved_energy_j": idle.saved_energy_j,
        "idle_s": idle.idle_s,
        "break_even_w": idle.break_even_w,
        "replicas_to_match": idle.replicas_to_match,
    }
