"""`wattshed demo`: the main job on the data that ships with the package, from the paper to a gateway, with one page."""

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
    requests: Annotated[
        int, typer.Option(min=1, max=10_000, help="Requests that each policy serves through the gateway.")
    ] = 200,
    json_: JsonFlag = False,
) -> None:
    """Reproduce the paper, audit it, plan a fleet and serve one; writes one HTML page and names it.

    All on bundled data, and machines that are imitated. Under a minute.
    """
    from wattshed.cli import demo_replay
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
    with stderr().status("1 of 5  reproducing the paper's 604 published values"):
        computed = rules.sweep_points(profile) + rules.hybrid_points(profile, *alpaca_input_lengths())
        figures = rules.by_figure(rules.compare(computed, published_points()))
        claim = claim_statement(rules.published_savings(computed))
    with stderr().status("2 of 5  auditing its saving, one fault after another"):
        audited = audit(profile, workload)
    with stderr().status("3 of 5  planning a fleet of all its machines"):
        planning = _plan(profile, workload)
    stderr().print(f"4 of 5  serving {requests} requests through the gateway, policy by policy")
    replayed = demo_replay.replay_all(demo_replay.sampled(workload, requests))
    with stderr().status("5 of 5  drawing the page"):
        sections = [
            *audit_sections(audited),
            *(section.under("Plan: ") for section in plan_sections(planning)),
            demo_replay.replay_section(replayed),
            *paper_sections(computed, published_points()),
        ]
        lead = "Which machine should a query join? The paper, its audit, a plan and a gateway, from its own trials."
        path = write_page(out / "report.html", page("Wattshed demo", lead, sections))

    summary = [
        f"Reproduced {sum(figure.points for figure in figures)} published values; largest relative difference "
        f"{max(figure.max_relative_difference for figure in figures):.1e}.",
        claim,
        *(f"{a.question} {'Yes' if a.yes else 'No'}: {in_percent_with_bounds(a.saving)}" for a in answers(audited)),
        audit_paragraph(audited),
        plan_advice(planning),
        demo_replay.replay_words(replayed),
        demo_replay.replay_table(replayed),
        demo_replay.CAVEAT,
        f"Open {path}",
    ]
    document = {
        "figures": figures,
        "answers": answers(audited),
        "paragraph": audit_paragraph(audited),
        "plan": plan_advice(planning),
        "replay": demo_replay.replay_document(replayed),
        "report": str(path),
    }
    emit(document, as_json=json_, show=lambda console: console.print(*summary, sep="\n\n"))


def _plan(profile: "Profile", workload: "Workload") -> "Planning":
    from wattshed.domain.cost import Objective
    from wattshed.domain.system import Fleet, Pool
    from wattshed.planner.planning import plan, prepare

    pools = tuple(Pool(name, name) for name in DEMO_SYSTEMS)
    fleet = Fleet("the paper's machines", "bundled:wilkins2024", DEMO_MODEL, pools)
    return plan(prepare(fleet, profile, workload), Objective())
