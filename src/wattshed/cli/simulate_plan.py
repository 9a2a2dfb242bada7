"""`wattshed plan --simulate`: whether a plan, made as if nobody waited, still holds where queries queue.

The plan's policy and its hardest baseline, the single system of least energy, meet the same arrivals. Waiting changes
the verdict if a system is asked for more than it has, or if the saving is gone once queues, batches and idling count.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wattshed.errors import UsageError

if TYPE_CHECKING:
    from wattshed.planner.capacity_plan import CapacityPlanning
    from wattshed.planner.planning import Planning
    from wattshed.simulator.results import Figure
    from wattshed.simulator.results_comparison import Comparison

Verdict = Literal["holds", "overloaded", "no_saving", "uncertain"]
"""The plan saves here too; a system is full; the baseline costs no more; other seeds decide otherwise."""

PLAN = "the plan"
SEEDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class PlanCheck:
    """What came of it: `saving` is the fraction of the baseline's energy that the plan saves under queueing."""

    verdict: Verdict
    baseline: str
    planned_saving: float
    saving: "Figure"
    full: tuple[str, ...]
    comparison: "Comparison"

    @property
    def document(self) -> dict[str, object]:
        """As plain values, without the queries."""
        return {
            "verdict": self.verdict,
            "arrivals": self.comparison.arrivals,
            "baseline": self.baseline,
            "planned_saving": self.planned_saving,
            "saving": self.saving,
            "full": self.full,
            "policies": self.comparison.summaries,
        }

    def lines(self) -> Iterator[str]:
        """In words, the verdict first."""
        from wattshed.report.simulation_words import caveats, shown

        own = self.comparison.summaries[self.comparison.chosen]
        yield f"Simulated with queues, arrivals {self.comparison.arrivals}: {_VERDICTS[self.verdict](self)}"
        wait, last = own.times["wait_s"], own.times["runtime_s"]
        yield (
            f"Queries wait {shown(wait['mean'])} s on average and {shown(wait['p95'])} s at the 95th percentile; "
            f"95 % have their last token within {shown(last['p95'])} s."
        )
        yield from caveats(self.comparison)


def check_arrivals(arrivals: str | None, *, simulate: bool) -> None:
    """`UsageError` for arrivals that nobody simulates, or that are none."""
    from wattshed.simulator.arrivals import process

    if arrivals is None:
        return
    if not simulate:
        raise UsageError("--arrivals says how queries come in a simulation; give --simulate as well")
    process(arrivals)


def check_plan(
    planning: "Planning",
    arrivals: str | None = None,
    *,
    capacity: "CapacityPlanning | None" = None,
    queries: int | None = None,
    seed: int = 0,
) -> PlanCheck:
    """The check of a plan, or of the one under `capacity`; `UsageError` where the workload has not such arrivals."""
    from wattshed.cli.simulate import with_progress
    from wattshed.cli.simulate_policies import Rule
    from wattshed.cli.simulate_scenario import Chances
    from wattshed.planner.evaluate import best_baseline
    from wattshed.planner.planning import OPTIMUM
    from wattshed.simulator.arrivals import process

    plan, policy = planning.chosen, planning.policies[OPTIMUM]
    if capacity is not None:
        plan, policy = capacity.plan, capacity.policy
    best = best_baseline(plan)
    alone = f"all to {best.baseline}"
    rules = [Rule(PLAN, policy), Rule(alone, planning.policies[alone])]
    text = arrivals or "trace"
    chances = Chances(text, process(text), SEEDS, seed, queries)
    comparison = with_progress(planning.evaluator, rules, chances, planning.objective)
    return _judged(comparison, best.energy.value)


def _judged(comparison: "Comparison", planned_saving: float) -> PlanCheck:
    from wattshed.report.simulation_words import FULL
    from wattshed.simulator.results import Figure

    own, other = comparison.summaries.values()
    name = "energy_j" if own.energy_j.value is not None and other.energy_j.value is not None else "served_energy_j"
    spent, difference = getattr(other, name).value, comparison.differences[other_name(comparison)][name]
    saving = Figure(*_shares(difference, spent)) if spent else Figure(None, None, None, "the baseline spends nothing")
    full = tuple(one.name for one in own.systems if (one.utilisation.value or 0.0) >= FULL)
    return PlanCheck(_verdict(saving, full), other_name(comparison), planned_saving, saving, full, comparison)


def other_name(comparison: "Comparison") -> str:
    """The policy that the plan is compared with."""
    return next(iter(comparison.differences))


def _shares(difference: "Figure", of: float) -> tuple[float, float, float]:
    """A difference in joules as a saving, with its bounds in order."""
    assert difference.value is not None
    assert difference.lower is not None
    assert difference.upper is not None
    return -difference.value / of, -difference.upper / of, -difference.lower / of


def _verdict(saving: "Figure", full: tuple[str, ...]) -> Verdict:
    if full:
        return "overloaded"
    if saving.lower is None or saving.upper is None:
        return "uncertain"
    if saving.lower > 0:
        return "holds"
    return "no_saving" if saving.upper <= 0 else "uncertain"


def _saved(check: PlanCheck) -> str:
    from wattshed.report.simulation_words import shown
    from wattshed.units import percent

    planned = f"where nobody waits it saves {percent(check.planned_saving):.3g} %"
    if check.verdict == "no_saving":
        return f"it takes {shown(check.saving, scale=-percent(1))} % more energy than {check.baseline}; {planned}"
    return f"it saves {shown(check.saving, scale=percent(1))} % of the energy against {check.baseline}; {planned}"


_VERDICTS = {
    "holds": lambda check: f"waits do not change the verdict; {_saved(check)}.",
    "overloaded": lambda check: (
        f"waits change the verdict: {', '.join(check.full)} is asked for all that it can do, or more; plan again with "
        f"--capacity, or add replicas. In this run {_saved(check)}."
    ),
    "no_saving": lambda check: f"queues, batches and idling change the verdict; {_saved(check)}.",
    "uncertain": lambda check: f"waits leave the verdict open; {_saved(check)}.",
}
