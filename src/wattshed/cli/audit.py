"""`wattshed audit`: from the published saving to the true one, one fault at a time."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, emit, stderr, table

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.planner.audit import Audit
    from wattshed.planner.audit_pairs import Case, Waiting

EXAMPLES: Final = (
    "Examples: [bold]wattshed audit[/]  ·  [bold]wattshed audit --out out/[/] (draws the page)  ·  "
    "[bold]wattshed audit --workload my_pairs.csv --json[/]  ·  [bold]wattshed audit --fleet fleet.yaml[/]"
)


def command(
    workload: Annotated[str, typer.Option(help="Real (input, output) pairs to audit on.")] = "bundled:alpaca",
    fleet: Annotated[
        Path | None, typer.Option(readable=False, help="Audit the paper's rules on these machines (YAML) instead.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write audit.html and its figures here.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Audit the paper's saving: undo its faults one by one, then evaluate every policy on real query pairs.

    With --fleet: what the paper's rules save on other machines, and where the line between them runs.
    """
    if fleet is not None:
        from wattshed.cli.audit_fleet import run

        run(fleet, workload, out, as_json=json_)
        return
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
    from wattshed.planner.audit import answers
    from wattshed.planner.audit_pairs import INPUT_RULE
    from wattshed.planner.planning import OPTIMUM
    from wattshed.report.audit_words import audit_paragraph
    from wattshed.report.words import in_percent, in_percent_with_bounds
    from wattshed.units import kwh

    rows = table("From the published saving to the true one", "step", "hybrid", "A100\nkWh", "M1\nkWh", "hybrid\nkWh",
                 "against\nA100", "against\nM1", names=2)  # fmt: skip
    for step in audited.steps:
        if step.analysis == "pairs" and step.rule not in (INPUT_RULE, OPTIMUM):
            continue  # the page and the JSON have every rule
        energies = (step.a100_energy_j, step.m1_energy_j, step.hybrid_energy_j)
        savings = (step.saving_against_a100, step.saving_against_m1)
        rows.add_row(
            f"{step.analysis}: {step.title}",
            step.policy.partition(" to ")[0],
            *(f"{kwh(energy.value):.3f}" for energy in energies),
            *(in_percent(saving.value) for saving in savings),
        )
    console.print(rows)
    for answer in answers(audited):
        console.print(f"{answer.question} {'Yes' if answer.yes else 'No'}: {in_percent_with_bounds(answer.saving)}")
    console.print()
    console.print(audit_paragraph(audited))
    for file in files:
        console.print(f"wrote {file}")


def draw(out: Path, audited: "Audit") -> list[Path]:
    """Write the page and its pictures; returns their paths, the page last."""
    from wattshed.report.audit_page import audit_pictures, audit_sections
    from wattshed.report.page import page, write_page, write_pictures

    lead = "What Wilkins, Keshav and Mortier (2024) report, and what their own trials say once each fault is undone."
    text = page("The published saving, audited", lead, audit_sections(audited))
    return [*write_pictures(out, audit_pictures(audited)), write_page(out / "audit.html", text)]


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
        "idle": [_wait(wait) for wait in audited.waits],
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


def _wait(wait: "Waiting") -> dict[str, object]:
    from wattshed.report.audit_page import IDLE_POWERS_W

    return {
        "a100_system": wait.case.above_system,
        "saved_energy_j": wait.saved_energy_j,
        "idle_s": wait.idle_s,
        "break_even_w": wait.break_even_w,
        "replicas_to_match": wait.replicas_to_match,
        "saving_by_idle_power_w": [{"idle_power_w": w, "saving": wait.saving_at(w)} for w in IDLE_POWERS_W],
    }
