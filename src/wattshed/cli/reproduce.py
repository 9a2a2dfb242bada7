"""`wattshed reproduce`: the paper's table and figures from its own trials, each point against the published one."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, emit, table
from wattshed.errors import CheckFailedError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.datasets.published import PublishedPoint
    from wattshed.planner.published import PublishedSaving, Reproduced

EXAMPLES: Final = (
    "Examples: [bold]wattshed reproduce[/]  ·  [bold]wattshed reproduce --out out/[/] (draws the figures)  ·  "
    "[bold]wattshed reproduce --json[/]"
)

TOLERANCE: Final = 1e-5
"""Largest relative difference that counts as reproduced: the published values were read from vector plots."""


def command(
    out: Annotated[Path | None, typer.Option(help="Draw Figures 1 to 5 and a page that shows them, here.")] = None,
    profile: Annotated[str, typer.Option(help="Profile to take the trials from.")] = "bundled:wilkins2024",
    json_: JsonFlag = False,
) -> None:
    """Reproduce Table 1 and Figures 1 to 5 of the paper from its trials, by its own rules.

    Every one of the 604 published values is compared; exit code 1 if any differs by more than 1e-5 relative.
    """
    from wattshed.datasets.profiles import read_manifest, read_profile
    from wattshed.datasets.published import alpaca_input_lengths, published_points
    from wattshed.planner import published as rules
    from wattshed.report.words import claim_statement

    trials = read_profile(profile)
    lengths, queries = alpaca_input_lengths()
    computed = rules.sweep_points(trials) + rules.hybrid_points(trials, lengths, queries)
    figures = rules.by_figure(rules.compare(computed, published_points()))
    savings = rules.published_savings(computed)
    statement = claim_statement(savings)
    table_1 = read_manifest("bundled:wilkins2024").systems
    reproduced = all(figure.max_relative_difference <= TOLERANCE for figure in figures)
    files = _draw(out, computed) if out else []

    document = {
        "profile": profile,
        "tolerance": TOLERANCE,
        "reproduced": reproduced,
        "table_1": [row.model_dump() for row in table_1],
        "figures": [asdict(figure) for figure in figures],
        "figure_3": {"lengths": int(lengths.size), "queries": int(queries.sum()), "published_values": None},
        "savings": [asdict(s) | {"against_a100": s.against_a100, "against_m1": s.against_m1} for s in savings],
        "statement": statement,
        "files": [str(file) for file in files],
    }
    emit(document, as_json=json_, show=lambda console: show(console, figures, savings, statement, files))
    if not reproduced:
        worst = max(figures, key=lambda figure: figure.max_relative_difference)
        raise CheckFailedError(
            f"{worst.figure} differs from the published values by up to {worst.max_relative_difference:.3g} relative, "
            f"more than {TOLERANCE:g}; check the trials of {profile}"
        )


def show(
    console: "Console",
    figures: "list[Reproduced]",
    savings: "list[PublishedSaving]",
    statement: str,
    files: list[Path],
) -> None:
    """Print what came out, for people."""
    from wattshed.report.words import in_percent

    rows = table("Published values reproduced from the trials", "figure", "points", "largest relative\ndifference")
    for figure in figures:
        rows.add_row(figure.figure, str(figure.points), f"{figure.max_relative_difference:.1e}")
    console.print(rows)
    for saving in savings:
        console.print(
            f"{saving.figure}: best threshold {saving.threshold_tokens} tokens, "
            f"{saving.hybrid_energy_kwh:.5f} kWh; saves {in_percent(saving.against_a100)} against A100 only, "
            f"{in_percent(saving.against_m1)} against M1 only (as published)"
        )
    console.print(statement)
    for file in files:
        console.print(f"wrote {file}")


def _draw(out: Path, computed: "list[PublishedPoint]") -> list[Path]:
    from wattshed.datasets.published import published_points
    from wattshed.report.page import page, write_page, write_pictures
    from wattshed.report.paper_page import paper_pictures, paper_sections

    lead = "Figures 1 to 5 of Wilkins, Keshav and Mortier (2024), redrawn from the trials by the published rules."
    text = page("The paper, reproduced", lead, paper_sections(computed, published_points()))
    pictures = write_pictures(out, paper_pictures(computed, published_points()))
    return [*pictures, write_page(out / "reproduce.html", text)]
