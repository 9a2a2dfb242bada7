"""What runs of one policy come to: percentiles of times, joules by system and state, each with its interval over seeds.

Every figure is worked out run by run and then averaged over the R seeds, so that its interval says what another seed
would change. Two policies that met the same arrivals are compared seed by seed: what the arrivals did to both cancels.
Times count queries that were completed and that came after the warm-up; joules and seconds of machines are of the whole
run. A figure that is not known is `None`, with the reason; nothing is taken to be 0.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from wattshed.domain.arrays import Booleans, Floats
from wattshed.domain.plan import Interval
from wattshed.simulator.scenario import OUTCOMES, MachineTotals, Run

IntervalOf = Callable[[Floats], Interval]
"""The interval of the mean of R values, shape (R,): Student's, passed in."""

TIMES: Final = {
    "wait_s": "arrival to a slot",
    "ttft_s": "arrival to the first token",
    "tpot_s": "between two tokens of an answer, on average",
    "runtime_s": "arrival to the last token",
}
"""The times of a query, and what each spans."""

STATISTICS: Final = {"mean": None, "p50": 50, "p95": 95, "p99": 99}
"""What is said of each time; percentiles are the smallest value that so many per cent of queries do not exceed."""

NO_QUERIES: Final = "no query that came after the warm-up was completed"
NO_TOKENS: Final = "a machine that serves without steps, by a predictor that may fall, does not say when tokens come"
SHORT_ANSWERS: Final = "no answer has a second token"


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over seeds with its 95 % interval; all `None` where any seed does not know it, for the `reason`."""

    value: float | None
    lower: float | None
    upper: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SystemSummary:
    """What one system did: queries served, share of its slot-seconds in use, replica-seconds and joules by state."""

    name: str
    queries: Figure
    utilisation: Figure
    seconds: Mapping[str, Figure]
    energy_j: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Summary:
    """What one policy came to over `seeds` runs; `times` has a figure a statistic for each of `TIMES`.

    `energy_j` is that of all systems in all states, and `served_energy_j` without idling, sleeping and waking.
    What a machine draws while it is down is in none. `outcomes` counts queries, and `compiled` says whether the policy
    ran as machine code.
    """

    policy: str
    seeds: int
    compiled: bool
    warm_up_s: float
    times: Mapping[str, Mapping[str, Figure]]
    systems: tuple[SystemSummary, ...]
    outcomes: Mapping[str, Figure]
    energy_j: Figure
    served_energy_j: Figure
    energy_per_query_j: Figure
    throughput_per_s: Figure
    output_tokens_per_s: Figure


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What one run says: numbers by name, and reasons for those that are not known."""

    known: Mapping[str, float]
    reasons: Mapping[str, str]


def told(run: Run, *, warm_up_s: float = 0.0) -> Told:
    """Every figure of one run, by the names that `summary` reads."""
    known: dict[str, float] = {}
    reasons: dict[str, str] = {}
    counted = _counted(run, warm_up_s)
    for name, (values, reason) in _times(run, counted).items():
        for statistic, per_cent in STATISTICS.items():
            if reason is None:
                known[f"{name}.{statistic}"] = _statistic(values, per_cent)
            else:
                reasons[f"{name}.{statistic}"] = reason
    known |= dict(_of_fleet(run))
    for position, totals in enumerate(run.totals):
        known[f"{totals.name}.queries"] = float(((run.service.position == position) & _completed(run)).sum())
        known[f"{totals.name}.utilisation"] = _utilisation(run, position)
        for state, seconds in totals.seconds.items():
            known[f"{totals.name}.{state}_s"] = seconds
        for name, joules in _joules(totals):
            known |= {} if joules is None else {name: joules}
            reasons |= {name: _unknown_power(totals, name)} if joules is None else {}
    _add_up(run, known, reasons)
    return Told(known, reasons)


def summary(runs: Sequence[Told], run: Run, *, warm_up_s: float, interval: IntervalOf) -> Summary:
    """The figures of one policy over R seeds; `run` is any of its runs, and says what systems and states there are."""

    def figure(name: str) -> Figure:
        return figure_of([(one.known.get(name), one.reasons.get(name)) for one in runs], interval)

    return Summary(
        run.scenario.policy.name,
        len(runs),
        run.compiled,
        warm_up_s,
        {time: {statistic: figure(f"{time}.{statistic}") for statistic in STATISTICS} for time in TIMES},
        tuple(_system(totals, figure) for totals in run.totals),
        {outcome: figure(outcome) for outcome in OUTCOMES},
        *(figure(name) for name in _TOTALS),
    )


def differences(ours: Sequence[Told], theirs: Sequence[Told], *, interval: IntervalOf) -> dict[str, Figure]:
    """By how much ours is more than theirs, seed by seed, for the figures by which policies are judged."""
    found = {}
    for name in (*_TOTALS, *(f"{time}.{statistic}" for time in TIMES for statistic in STATISTICS)):
        pairs: list[tuple[float | None, str | None]] = []
        for one, other in zip(ours, theirs, strict=True):
            both = one.known.get(name), other.known.get(name)
            reason = one.reasons.get(name) or other.reasons.get(name)
            pairs.append((None, reason) if None in both else (both[0] - both[1], None))  # type: ignore[operator]  # neither is None
        found[name] = figure_of(pairs, interval)
    return found


def figure_of(values: Sequence[tuple[float | None, str | None]], interval: IntervalOf) -> Figure:
    """The figure of R values, each of which may be unknown for a reason."""
    known = [value for value, _ in values if value is not None]
    if len(known) < len(values):
        return Figure(None, None, None, next((reason for _, reason in values if reason), "not known"))
    found = interval(np.array(known))
    return Figure(found.value, found.lower, found.upper)


_TOTALS: Final = ("energy_j", "served_energy_j", "energy_per_query_j", "throughput_per_s", "output_tokens_per_s")


def _completed(run: Run) -> Booleans:
    found: Booleans = run.service.outcome == OUTCOMES.index("completed")
    return found


def _counted(run: Run, warm_up_s: float) -> Booleans:
    """Queries whose times count."""
    arrival_s = run.scenario.arrival_s
    found: Booleans = _completed(run) & (arrival_s >= arrival_s[0] + warm_up_s)
    return found


def _times(run: Run, counted: Booleans) -> dict[str, tuple[Floats, str | None]]:
    """Each time of the queries that count, or why it is not known."""
    service, arrival_s = run.service, run.scenario.arrival_s[counted]
    first_s, last_s = service.first_token_at_s[counted], service.finished_at_s[counted]
    tokens = run.scenario.output_tokens[run.scenario.bucket[counted]]
    several = tokens > 1
    without = NO_TOKENS if counted.any() and np.isnan(first_s).any() else None if counted.any() else NO_QUERIES
    with np.errstate(invalid="ignore"):
        per_token_s = (last_s - first_s)[several] / (tokens[several] - 1)
    return {
        "wait_s": (service.started_at_s[counted] - arrival_s, None if counted.any() else NO_QUERIES),
        "ttft_s": (first_s - arrival_s, without),
        "tpot_s": (per_token_s, without or (None if several.any() else SHORT_ANSWERS)),
        "runtime_s": (last_s - arrival_s, None if counted.any() else NO_QUERIES),
    }


def _statistic(values: Floats, per_cent: float | None) -> float:
    return float(values.mean() if per_cent is None else np.percentile(values, per_cent, method="inverted_cdf"))


def _of_fleet(run: Run) -> Iterator[tuple[str, float]]:
    completed, scenario = _completed(run), run.scenario
    for position, outcome in enumerate(OUTCOMES):
        yield outcome, float((run.service.outcome == position).sum())
    if run.horizon_s > 0:
        yield "throughput_per_s", completed.sum() / run.horizon_s
        tokens = scenario.output_tokens[scenario.bucket[completed]].sum()
        yield "output_tokens_per_s", float(tokens) / run.horizon_s


def _utilisation(run: Run, position: int) -> float:
    """Slot-seconds in use over those that there were."""
    service, machine = run.service, run.scenario.machines[position]
    here = (service.position == position) & np.isfinite(service.finished_at_s) & np.isfinite(service.started_at_s)
    used_s = (service.finished_at_s[here] - service.started_at_s[here]).sum()
    slots = machine.replicas * machine.operation.slots
    return float(used_s / (slots * run.horizon_s)) if run.horizon_s > 0 else 0.0


def _joules(totals: MachineTotals) -> Iterator[tuple[str, float | None]]:
    for state, energy_j in totals.energy_j.items():
        if state == "down":
            continue  # what a broken machine draws is nobody's to say, and is left out of every sum
        nothing = totals.seconds.get(state, 0.0) == 0
        yield f"{totals.name}.{state}_j", 0.0 if energy_j is None and nothing else energy_j


def _unknown_power(totals: MachineTotals, name: str) -> str:
    state = name.rpartition(".")[2].removesuffix("_j")
    return f"nobody gave the power of {totals.name} while {state}; set {_POWER_OF[state]} in the fleet file"


_POWER_OF: Final = {"idle": "idle_power_w", "asleep": "sleep.power_w", "waking": "sleep.wake_energy_j"}


def _add_up(run: Run, known: dict[str, float], reasons: dict[str, str]) -> None:
    """Joules of the fleet; unknown where any part is."""
    names = [f"{totals.name}.{state}_j" for totals in run.totals for state in totals.energy_j if state != "down"]
    missing = [reasons[name] for name in names if name in reasons]
    known["served_energy_j"] = sum(known[name] for name in names if name.endswith(".busy_j"))
    if missing:
        reasons |= dict.fromkeys(("energy_j", "energy_per_query_j"), "; ".join(missing))
        return
    known["energy_j"] = sum(known[name] for name in names)
    if known["completed"]:
        known["energy_per_query_j"] = known["energy_j"] / known["completed"]
    else:
        reasons["energy_per_query_j"] = NO_QUERIES


def _system(totals: MachineTotals, figure: Callable[[str], Figure]) -> SystemSummary:
    return SystemSummary(
        totals.name,
        figure(f"{totals.name}.queries"),
        figure(f"{totals.name}.utilisation"),
        {state: figure(f"{totals.name}.{state}_s") for state in totals.seconds},
        {state: figure(f"{totals.name}.{state}_j") for state in totals.energy_j if state != "down"},
    )
