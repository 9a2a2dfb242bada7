"""The page of a fleet's audit: where the line between its machines runs, and what rules save on each pair of them."""

from collections.abc import Iterable

from wattshed.domain.cost import Objective
from wattshed.planner.audit_fleet import FleetAudit
from wattshed.planner.audit_pairs import INPUT_RULE
from wattshed.planner.changes import host_powers
from wattshed.planner.evaluate import Evaluator, best_baseline
from wattshed.planner.planning import OPTIMUM, Planning
from wattshed.planner.regions import Regions, Stretch, line, regions
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.region_figures import regions_figure
from wattshed.report.words import in_percent_with_bounds, plan_advice, plan_changes
from wattshed.units import percent

PAIR_RULES = (INPUT_RULE, "best threshold of any kind", OPTIMUM)
"""The rules that a table of pairs shows; JSON has all of them."""


def fleet_sections(audited: FleetAudit) -> list[Section]:
    """The audit of a fleet: the answer, the line, every pair, and what would change the answer."""
    planning = audited.planning
    return [
        Section(
            "What to do", [Prose(plan_advice(planning), quote=True), Prose(f"Boundary: {planning.chosen.boundary}.")]
        ),
        line_section(planning.evaluator, planning.objective),
        Section("What rules save on each pair", [pairs_table(audited)]),
        Section(
            "What would change its mind",
            [*(Prose(sentence) for sentence in plan_changes(planning)), powers_table(planning)],
        ),
    ]


def line_section(evaluator: Evaluator, objective: Objective) -> Section:
    """Who serves what for least, all over the plane: the map in words, as a picture and to the token."""
    found = regions(evaluator, objective)
    stretches = list(line(evaluator, objective))
    return Section("Where the line runs", [Prose(line_words(found)), line_picture(found), line_table(stretches)])


def line_words(found: Regions) -> str:
    """How much of the map each system holds, and how much of it is certain."""
    shares = [
        f"{name} {percent(float((found.position == position).mean())):.0f} %"
        for position, name in enumerate(found.fleet.names)
    ]
    return (
        f"Of the plane of {found.input_tokens[0]} to {found.input_tokens[-1]:,} input and {found.output_tokens[0]} to "
        f"{found.output_tokens[-1]:,} output tokens, even in logarithms, the cheapest system is: {', '.join(shares)}. "
        f"On {percent(float(found.decided.mean())):.0f} % of it the second cheapest costs more beyond the 95 % "
        f"interval of the difference; elsewhere the line is not certain. On "
        f"{percent(float(found.extrapolated.mean())):.0f} % the cheapest was not measured at such lengths."
    )


def line_picture(found: Regions) -> Picture:
    """The map."""
    return Picture(
        regions_figure(found),
        "The cheapest system for every query. Pale: the second cheapest lies within the 95 % interval of the "
        "difference. Hatched: beyond what was measured on the cheapest.",
        "Map of input and output tokens in the colours of the cheapest systems.",
    )


def line_table(stretches: Iterable[Stretch]) -> Table:
    """The line to the token."""
    return Table(
        "Who serves which input lengths for least",
        ("output tokens", "system", "input tokens from", "to", "certain on", "not measured on"),
        [
            (
                str(one.output_tokens),
                one.system,
                str(one.first_input_tokens),
                str(one.last_input_tokens),
                f"{percent(one.decided):.0f} %",
                f"{percent(one.extrapolated):.0f} %",
            )
            for one in stretches
        ],
    )


def pairs_table(audited: FleetAudit) -> Table:
    """What the paper's rule and better ones save against the best single system of each pair."""
    rows = []
    for below, above in audited.pairs:
        cases = audited.pair(below, above)
        best = best_baseline(cases[OPTIMUM].plan).baseline
        savings = (in_percent_with_bounds(cases[rule].best_saving) for rule in PAIR_RULES)
        rows.append((f"{below}, {above}", best, *savings))
    header = ("small to, others to", "best alone", *(f"saved by {rule}" for rule in PAIR_RULES))
    return Table("Energy saved against the best single system of the pair", header, rows)


def powers_table(planning: Planning) -> Table:
    """Who would serve what, and what that would save, if every host drew power that no meter saw."""
    names = planning.evaluator.fleet.names
    rows = []
    for hosted in host_powers(planning):
        queries = {share.system: share.queries for share in hosted.plan.shares}
        shares = (f"{percent(queries[name] / hosted.plan.queries):.1f} %" for name in names)
        best = best_baseline(hosted.plan)
        rows.append((f"{hosted.power_w:g}", *shares, best.baseline, in_percent_with_bounds(best.energy)))
    header = ("W more of every host", *names, "best alone", "saved against it")
    return Table("If every system drew so much more while it serves", header, rows)
