"""The page of a plan: what to do, what it saves against whom, and the pictures behind it."""

from wattshed.domain.plan import Plan
from wattshed.planner.evaluate import best_baseline
from wattshed.planner.planning import Planning
from wattshed.policies.threshold import TwoThresholds
from wattshed.report.fleet_page import line_section
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.plan_figures import curves_figure, front_figure, placement_figure, surface_figure
from wattshed.report.words import in_percent_with_bounds, plan_advice, plan_changes
from wattshed.units import hours, kwh, percent

BOTH_LENGTHS = "best threshold on m and n"
"""The plan whose pair of systems the threshold surface is drawn for."""


def plan_sections(planning: Planning) -> list[Section]:
    """Everything a reader of a plan asks, in the order they ask it."""
    return [
        Section(
            "What to do", [Prose(plan_advice(planning), quote=True), _shares(planning.chosen), _placement(planning)]
        ),
        Section("What would change its mind", [Prose(sentence) for sentence in plan_changes(planning)]),
        Section("What it saves", [savings_table(planning.chosen), Prose(_boundary(planning)), _policies(planning)]),
        line_section(planning.evaluator, planning.objective),
        Section("Thresholds", _surface(planning)),
        Section("Energy against runtime", [_front(planning)]),
        Section("What a token costs", [_curves(planning)]),
    ]


def _boundary(planning: Planning) -> str:
    outside = sum(share.extrapolated_queries for share in planning.chosen.shares)
    return (
        f"Boundary: {planning.chosen.boundary}. Intervals are 95 % and resample the trials behind the predictors. "
        f"{outside:,} of {planning.chosen.queries:,} queries lie outside the measured range of their system."
    )


def _shares(plan: Plan) -> Table:
    return Table(
        "Who serves what",
        ("system", "queries", "share", "energy (kWh)", "busy (h)", "outside measured range"),
        [
            (
                share.system,
                f"{share.queries:,}",
                f"{percent(share.queries / plan.queries):.1f} %",
                f"{kwh(share.energy_j):.4g}",
                f"{hours(share.runtime_s):.3g}",
                f"{share.extrapolated_queries:,}",
            )
            for share in plan.shares
        ],
    )


def savings_table(plan: Plan) -> Table:
    """What a plan saves against every system of its fleet alone."""
    return Table(
        "Against every system alone (positive is less)",
        ("baseline", "energy saved", "runtime saved", "queries it cannot run"),
        [
            (
                saving.baseline,
                in_percent_with_bounds(saving.energy),
                in_percent_with_bounds(saving.runtime),
                f"{saving.infeasible_queries:,}",
            )
            for saving in plan.savings
        ],
    )


def _policies(planning: Planning) -> Table:
    return Table(
        "Every policy on the same workload",
        ("policy", "rule", "energy (kWh)", "saved against the best single", "mean runtime (s)", "p95 (s)"),
        [
            (
                name,
                plan.policy,
                f"{kwh(plan.energy_j.value):.4g}",
                in_percent_with_bounds(best_baseline(plan).energy),
                f"{plan.mean_runtime_s:.3g}",
                f"{plan.p95_runtime_s:.3g}",
            )
            for name, plan in planning.plans.items()
        ],
    )


def _placement(planning: Planning) -> Picture:
    return Picture(
        placement_figure(planning),
        "Each dot is a shape of the workload, in the colour of the system that serves it.",
        "Scatter of queries over input and output tokens, coloured by the system that serves them.",
    )


def _surface(planning: Planning) -> list[Prose | Table | Picture]:
    policy = planning.policies.get(BOTH_LENGTHS)
    if not isinstance(policy, TwoThresholds):
        return [Prose("A fleet of one system has no threshold to choose.")]
    below, above = policy.pair.below_system, policy.pair.above_system
    return [
        Picture(
            surface_figure(planning, policy.pair),
            f"Small queries to {below}, the others to {above}. Stars: the best of all thresholds. Line: no saving.",
            "Two maps of the energy saved over input and output thresholds.",
        )
    ]


def _front(planning: Planning) -> Picture:
    return Picture(
        front_figure(planning),
        "The line is the exact front: no placement of whole queries that weighs energy and runtime lies below it.",
        "Energy of the workload against mean runtime for every policy, with the optimal front below them.",
    )


def _curves(planning: Planning) -> Picture:
    return Picture(
        curves_figure(planning.evaluator),
        "Predicted from the profile, with 95 % intervals; dashed outside the measured range.",
        "Energy and runtime per token against input tokens and against output tokens, a line a system.",
    )
