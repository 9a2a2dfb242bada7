"""`wattshed demo`: the main job on the data that ships with the package, from the paper to a plan, with one page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, emit, stderr

if TYPE_CHECKING:
    from wattshed.domain.measurement import Profile
    from wattshed.domain.query import Workload
    from wattshed.planner.planning import Planning

EXAMPLES: Final = "Examples: [bold]wattshed demo[/]  ·  [bold]wattshed demo --out pages/ --json[/]"

DEMO_MODEL: Final = "Llama-2 (7B)"
DEMO_SYSTEMS: Final = ("M1-Pro", "Swing AMD+A100", "Palmetto Intel+A100", "Palmetto Intel+V100")
"""The fleet of the demo: every node that the paper's authors measured, for one model that all of them ran."""


def command(
    out: Annotated[Path, typer.Option(help="Directory for the page.")] = Path("wattshed-demo"),
    json_: JsonFlag = False,
) -> None:
    """Reproduce the paper, audit it, and plan a fleet, all on bundled data; writes one HTML page and names it."""
    from wattshed.datasets.profiles import read_profile
    from wattshed.datasets.published import alpaca_input_lengths, published_points
    from wattshed.datasets.workloads import read_workload
    from wattshed.planner import published as rules
    from wattshed.planner.audit import answers, audit
    from wattshed.report.audit_page import audit_sections
    from wattshed.report.audit_words import audit_paragraph
    from wattshed.report.page import page, write_page
    from wattshed.report.paper_page import paper_sections
    from wattshed.report.plan_page import plan_sections
    from wattshed.report.words import claim_statement, in_percent_with_bounds, plan_advice

    profile, workload = read_profile("bundled:wilkins2024"), read_workload("bundled:alpaca")
    with stderr().status("1 of 4  reproducing the paper's 604 published values"):
        computed = rules.sweep_points(profile) + rules.hybrid_points(profile, *alpaca_input_lengths())
        figures = rules.by_figure(rules.compare(computed, published_points()))
        claim = claim_statement(rules.published_savings(computed))
    with stderr().status("2 of 4  auditing its saving, one fault after another"):
        audited = audit(profile, workload)
    with stderr().status("3 of 4  planning a fleet of all its machines"):
        planning = _plan(profile, workload)
    with stderr().status("4 of 4  drawing the page"):
        sections = [
            *audit_sections(audited),
            *(section.under("Plan: ") for section in plan_sections(planning)),
            *paper_sections(computed, published_points()),
        ]
        lead = "Which machine should a query join? The paper, its audit and a plan, from the trials that it published."
        path = write_page(out / "report.html", page("Wattshed demo", lead, sections))

    summary = [
        f"Reproduced {sum(figure.points for figure in figures)} published values; largest relative difference "
        f"{max(figure.max_relative_difference for figure in figures):.1e}.",
        claim,
        *(f"{a.question} {'Yes' if a.yes else 'No'}: {in_percent_with_bounds(a.saving)}" for a in answers(audited)),
        audit_paragraph(audited),
        plan_advice(planning),
        f"Open {path}",
    ]
    document = {
        "figures": figures,
        "answers": answers(audited),
        "paragraph": audit_paragraph(audited),
        "plan": plan_advice(planning),
        "report": str(path),
    }
    emit(document, as_json=json_, show=lambda console: console.print("\n\n".join(summary)))


def _plan(profile: "Profile", workload: "Workload") -> "Planning":
    from wattshed.domain.cost import Objective
    from wattshed.domain.system import Fleet, Pool
    from wattshed.planner.planning import plan, prepare

    pools = tuple(Pool(name, name) for name in DEMO_SYSTEMS)
    fleet = Fleet("the paper's machines", "bundled:wilkins2024", DEMO_MODEL, pools)
    return plan(prepare(fleet, profile, workload), Objective())
