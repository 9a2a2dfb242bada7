"""The page of simulated runs: what the policies came to, how busy the fleet was, and who served what."""

from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.simulation_figures import energy_figure, served_figure, timeline_figure, times_figure
from wattshed.report.simulation_words import caveats, shown, shown_in_kwh, verdicts
from wattshed.simulator.results import STATISTICS, TIMES
from wattshed.simulator.results_comparison import Comparison
from wattshed.units import percent


def simulation_sections(comparison: Comparison) -> list[Section]:
    """Everything a reader of a simulation asks, in the order they ask it."""
    return [
        Section("What came of it", [*map(Prose, verdicts(comparison)), _policies(comparison), *_qualified(comparison)]),
        Section("How long it took", [_times_picture(comparison), _times(comparison)]),
        Section("What it cost", [_energy_picture(comparison), _systems(comparison)]),
        Section("Load and power", [_timeline(comparison)]),
        Section("Who served what", [_served(comparison)]),
    ]


def lead(comparison: Comparison) -> str:
    """The first sentence of the page."""
    own = comparison.summaries[comparison.chosen]
    queries = sum(figure.value or 0 for figure in own.outcomes.values())
    policies = ", ".join(comparison.summaries)
    return f"{queries:,.0f} queries, arrivals {comparison.arrivals}, {own.seeds} seeds; policies: {policies}."


def _qualified(comparison: Comparison) -> list[Prose]:
    return [Prose(line) for line in caveats(comparison)]


def _policies(comparison: Comparison) -> Table:
    return Table(
        "Every policy under the same arrivals (mean of the seeds ± half its 95 % interval)",
        ("policy", "rule", "energy (kWh)", "J a query", "completed", "turned away", "lost", "queries a second"),
        [
            (
                name,
                one.policy,
                shown_in_kwh(one.energy_j),
                shown(one.energy_per_query_j),
                *(shown(one.outcomes[outcome], digits=7) for outcome in ("completed", "turned_away", "lost")),
                shown(one.throughput_per_s),
            )
            for name, one in comparison.summaries.items()
        ],
    )


def _times(comparison: Comparison) -> Table:
    return Table(
        "Times in seconds",
        ("policy", "from", *STATISTICS),
        [
            (name, meaning, *(shown(one.times[time][statistic]) for statistic in STATISTICS))
            for name, one in comparison.summaries.items()
            for time, meaning in TIMES.items()
        ],
    )


def _systems(comparison: Comparison) -> Table:
    states = ("busy", "idle", "asleep", "waking")
    return Table(
        "What each system did",
        ("policy", "system", "queries", "slots in use (%)", *(f"{state} (kWh)" for state in states)),
        [
            (
                name,
                system.name,
                shown(system.queries, digits=7),
                shown(system.utilisation, scale=percent(1)),
                *(shown_in_kwh(system.energy_j.get(state)) for state in states),
            )
            for name, one in comparison.summaries.items()
            for system in one.systems
        ],
    )


def _times_picture(comparison: Comparison) -> Picture:
    return Picture(
        times_figure(comparison.summaries),
        "Bars are 95 % intervals over seeds.",
        "Mean and percentiles of waiting, first token, time between tokens and last token, a series a policy.",
    )


def _energy_picture(comparison: Comparison) -> Picture:
    return Picture(
        energy_figure(comparison.summaries),
        "Colours are systems, hatching is what they were doing. What is not known is left out.",
        "Stacked bars of energy by system and state, a bar a policy.",
    )


def _timeline(comparison: Comparison) -> Picture:
    return Picture(
        timeline_figure(comparison.runs),
        "The first seed. A query's joules are spread evenly over its time in a slot; idling is not in the power.",
        "Requests running and waiting, and power, over time, a row a policy and a line a system.",
    )


def _served(comparison: Comparison) -> Picture:
    return Picture(
        served_figure(comparison.runs[comparison.chosen]),
        f"The first seed of {comparison.chosen}.",
        "Scatter of queries over input and output tokens, coloured by the system that served most of each shape.",
    )
