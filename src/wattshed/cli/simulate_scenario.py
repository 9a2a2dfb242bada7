"""From a fleet, its predictors and a workload to what is simulated, and the runs of several policies side by side.

A system of a `batch` predictor batches continuously, step by step; of any other it serves a query in each slot, alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wattshed.cli.simulate_policies import Rule
    from wattshed.domain.arrays import Floats
    from wattshed.domain.cost import CostTable, Objective
    from wattshed.domain.query import Arrivals
    from wattshed.planner.evaluate import Evaluator
    from wattshed.predictors.predictor import Predictor
    from wattshed.predictors.steps import StepCosts
    from wattshed.simulator.arrivals import Process
    from wattshed.simulator.results_comparison import Comparison, Tried
    from wattshed.simulator.scenario import Machine, Run, Scenario


@dataclass(frozen=True, slots=True)
class Chances:
    """How often, and by which chance: run k of every policy draws from (`seed`, k), so that all meet the same.

    `text` is what the user called the arrivals.
    """

    text: str
    arrivals: "Process"
    seeds: int
    seed: int = 0
    queries: int | None = None
    warm_up_s: float = 0.0

    def arrivals_of(self, evaluator: "Evaluator", number: int) -> "Arrivals":
        """What run `number` of every policy meets."""
        import numpy as np

        return self.arrivals.arrivals(evaluator.workload, np.random.default_rng((self.seed, number)), self.queries)


def machines(evaluator: "Evaluator") -> "tuple[Machine, ...]":
    """The machines of a fleet, in order of position."""
    from wattshed.simulator.scenario import Machine

    return tuple(
        Machine(pool.name, pool.operation, pool.count, _steps(predictor), pool.host_power_w)
        for pool, predictor in zip(evaluator.fleet.pools, evaluator.predictors, strict=True)
    )


def scenario(evaluator: "Evaluator", arrivals: "Arrivals", rule: "Rule") -> "Scenario":
    """What is simulated."""
    from wattshed.simulator.scenario import Scenario

    workload, systems = evaluator.workload, machines(evaluator)
    costs, shapes = _held(evaluator, systems), (workload.input_tokens, workload.output_tokens)
    return Scenario(systems, costs, *shapes, arrivals.arrival_s, arrivals.bucket, rule.policy)


def compared(
    evaluator: "Evaluator",
    rules: Sequence["Rule"],
    chances: Chances,
    *,
    objective: "Objective",
    ended: Callable[[], None] = lambda: None,
) -> "Comparison":
    """Every policy under the same arrivals, seed by seed; `ended` hears of each run."""
    from wattshed.planner.evaluate import boundary
    from wattshed.profiler.interval import random_interval
    from wattshed.simulator.results_comparison import Comparison

    tried = _tried(evaluator, rules, chances, objective, ended)
    return Comparison.of(
        tried,
        interval=random_interval,
        warm_up_s=chances.warm_up_s,
        arrivals=(chances.text, chances.arrivals.random),
        boundary=boundary(evaluator.fleet),
    )


def _tried(
    evaluator: "Evaluator",
    rules: Sequence["Rule"],
    chances: Chances,
    objective: "Objective",
    ended: Callable[[], None],
) -> "list[Tried]":
    from wattshed.simulator.results import told
    from wattshed.simulator.results_comparison import Tried

    found: list[list[Tried]] = [[] for _ in rules]
    first_token_s = _first_token_s(evaluator)
    for number in range(chances.seeds):
        arrivals = chances.arrivals_of(evaluator, number)
        for tried, rule in zip(found, rules, strict=True):
            run = _ran(scenario(evaluator, arrivals, rule), rule, objective, seed=chances.seed + number)
            run = _with_first_tokens(run, first_token_s)
            tried.append(
                Tried(rule.text, (told(run, warm_up_s=chances.warm_up_s),), run if not number else tried[0].first)
            )
            ended()
    return [Tried(first.name, tuple(one.told[0] for one in (first, *others)), first.first) for first, *others in found]


def _ran(scene: "Scenario", rule: "Rule", objective: "Objective", *, seed: int) -> "Run":
    from wattshed.simulator.run import simulate

    if rule.period_s is None:
        return simulate(scene, seed=seed)
    from wattshed.cli.simulate_tuned import simulate_tuned

    return simulate_tuned(scene, objective, period_s=rule.period_s, seed=seed)


def _first_token_s(evaluator: "Evaluator") -> "Floats":
    """Seconds in a slot until the first token, shape (B, S): R(m, 1) by predictors that never fall, else NaN."""
    import numpy as np

    m = evaluator.workload.input_tokens
    return np.column_stack(
        [
            one.expect(m, np.ones_like(m)).runtime_s if one.monotone else np.full(m.size, np.nan)
            for one in evaluator.predictors
        ]
    )


def _with_first_tokens(run: "Run", first_token_s: "Floats") -> "Run":
    """The run with first tokens also where it simulated no steps: when the gateway's prices expect them."""
    import numpy as np

    service = run.service
    here = np.isnan(service.first_token_at_s) & np.isfinite(service.finished_at_s) & (service.position >= 0)
    expected_s = first_token_s[run.scenario.bucket[here], service.position[here]]
    first_token_at_s = service.first_token_at_s.copy()
    first_token_at_s[here] = np.minimum(service.started_at_s[here] + expected_s, service.finished_at_s[here])
    return replace(run, service=replace(service, first_token_at_s=first_token_at_s))


def _steps(predictor: "Predictor") -> "StepCosts | None":
    from wattshed.predictors.batch import BatchPredictor
    from wattshed.predictors.curve import CurvePredictor
    from wattshed.predictors.steps import StepCosts

    if not isinstance(predictor, CurvePredictor) or predictor.kind != "batch":
        return None
    return StepCosts.of(BatchPredictor(predictor))


def _held(evaluator: "Evaluator", systems: "tuple[Machine, ...]") -> "CostTable":
    """The cost table; a query that a machine's memory does not hold cannot run there."""
    costs, tokens = evaluator.costs, evaluator.workload.input_tokens + evaluator.workload.output_tokens
    feasible = costs.feasible.copy()
    for position, machine in enumerate(systems):
        most = machine.operation.kv_tokens
        if machine.steps is not None and most is not None:
            feasible[:, position] &= tokens <= most
    return replace(costs, feasible=feasible)
