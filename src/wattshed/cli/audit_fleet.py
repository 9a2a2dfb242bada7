"""`wattshed audit --fleet`: what the paper's rules save on other machines, and where the line between them runs."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from wattshed.cli.frame import emit, stderr, table
from wattshed.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from wattshed.planner.audit_fleet import FleetAudit
    from wattshed.report.page import Table


def run(fleet: Path, workload: str, out: Path | None, *, as_json: bool) -> None:
    """Audit the fleet in a file on a workload, and print or write what was found; `InputError` for a lone system."""
    from wattshed.datasets.fleets import read_fleet, read_fleet_profile, resolve
    from wattshed.datasets.workloads import read_workload
    from wattshed.planner.audit_fleet import audit_fleet

    wanted = read_fleet(fleet)
    if len(wanted.pools) < 2:
        problem = "is a fleet of one system, and an audit compares two or more"
        raise InputError(problem, path=fleet, field="systems", fix="add the machines to compare it with")
    profile = read_fleet_profile(wanted)
    with stderr().status("auditing: fitting, placing, resampling"):
        audited = audit_fleet(resolve(wanted, profile), profile, read_workload(workload))
    files = _write(out, audited) if out else []
    document = _document(audited) | {"files": [str(file) for file in files]}
    emit(document, as_json=as_json, show=lambda console: _show(console, audited, files))


def _show(console: "Console", audited: "FleetAudit", files: "Sequence[Path]") -> None:
    from wattshed.planner.regions import regions
    from wattshed.report.fleet_page import line_table, line_words, pairs_table, powers_table
    from wattshed.report.words import plan_advice, plan_changes

    planning = audited.planning
    console.print(plan_advice(planning))
    _print(console, pairs_table(audited))
    console.print(line_words(regions(planning.evaluator, planning.objective)))
    _print(console, line_table(audited.line))
    for sentence in plan_changes(planning):
        console.print(sentence)
    _print(console, powers_table(planning))
    console.print(f"Boundary: {planning.chosen.boundary}. Infinite capacity: nobody waits.")
    for file in files:
        console.print(f"wrote {file}")


def _print(console: "Console", shown: "Table") -> None:
    """A table of the page, on the terminal."""
    rows = table(shown.caption, *shown.header, names=2)
    for row in shown.rows:
        rows.add_row(*row)
    console.print(rows)


def _write(out: Path, audited: "FleetAudit") -> list[Path]:
    from wattshed.report.fleet_page import fleet_sections
    from wattshed.report.page import page, write_page

    fleet = audited.planning.evaluator.fleet
    lead = f"What rules save on {', '.join(fleet.names)} for {fleet.model}, and where the line between them runs."
    return [write_page(out / "audit.html", page(fleet.name, lead, fleet_sections(audited)))]


def _document(audited: "FleetAudit") -> dict[str, object]:
    from wattshed.planner.changes import host_powers, idle_change, power_changes

    planning = audited.planning
    return {
        "fleet": planning.evaluator.fleet.name,
        "workload": planning.evaluator.workload.name,
        "boundary": planning.chosen.boundary,
        "shares": planning.chosen.shares,
        "energy_j": planning.chosen.energy_j,
        "savings": planning.chosen.savings,
        "pairs": [
            {
                "below_system": case.below_system,
                "above_system": case.above_system,
                "rule": case.rule,
                "policy": case.plan.policy,
                "energy_j": case.plan.energy_j,
                "saving_against_best": case.best_saving,
            }
            for case in audited.cases
        ],
        "line": [asdict(stretch) for stretch in audited.line],
        "changes": {"powers": power_changes(planning), "idle": idle_change(planning)},
        "host_powers": [
            {"power_w": one.power_w, "shares": one.plan.shares, "savings": one.plan.savings}
            for one in host_powers(planning)
        ],
    }
