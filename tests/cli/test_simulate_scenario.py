"""From fleets to scenarios: who batches, what memory holds, and the runs of several policies."""

from pathlib import Path

import numpy as np
import pytest

from tests.predictors.batches import PAIR, batches, truth
from wattshed.cli.simulate_policies import Rule, rules
from wattshed.cli.simulate_scenario import Chances, compared, machines, scenario
from wattshed.datasets.fleets import read_fleet, read_fleet_profile
from wattshed.domain.arrays import Floats
from wattshed.domain.cost import Objective
from wattshed.domain.operation import Operation
from wattshed.domain.query import Workload
from wattshed.planner.evaluate import Evaluator
from wattshed.planner.planning import prepare
from wattshed.policies.policy import Candidate
from wattshed.simulator.arrivals import process

FLEET = f"""\
model: {PAIR[1]}
systems:
  - {{system: {PAIR[0]}, name: batching, predictor: batch, slots: 8, kv_tokens: 700, idle_power_w: 110}}
"""
WORKLOAD = Workload.of(
    "some", np.array([128, 512, 512, 512]), np.array([32, 32, 128, 512]), queries=np.array([9, 9, 9, 3])
)


@pytest.fixture
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    """One machine that batches, with memory for 700 tokens, fitted to a known truth."""
    path = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    path.write_text(FLEET)
    return prepare(read_fleet(path), batches(truth), WORKLOAD)


def test_batch_predictors_make_machines_that_batch(evaluator: Evaluator) -> None:
    """A machine takes its operation from the fleet file, and its steps from a predictor of kind batch."""
    (machine,) = machines(evaluator)

    assert machine.operation == Operation(8, kv_tokens=700, idle_power_w=110.0)
    assert machine.steps is not None
    assert machine.steps.runtime.per_step == pytest.approx(0.008, rel=0.05)


def test_what_memory_does_not_hold_cannot_run(evaluator: Evaluator) -> None:
    """1,024 tokens are more than 700: such queries are nobody's, and are told as infeasible."""
    chances = Chances("poisson:1", process("poisson:1"), seeds=2)
    (rule,) = rules(["least-cost"], evaluator, Objective())

    scene = scenario(evaluator, chances.arrivals_of(evaluator, 0), rule)
    found = compared(evaluator, [rule], chances, objective=Objective())

    assert scene.costs.feasible[:, 0].tolist() == [True, True, True, False]
    outcomes = found.summaries["least-cost"].outcomes
    assert (outcomes["completed"].value, outcomes["infeasible"].value) == (27, 3)


def test_company_makes_queries_cheaper_than_their_prices(evaluator: Evaluator) -> None:
    """Queries that share steps take fewer joules than the cost table has for them, which is that of one alone."""
    chances = Chances("poisson:20", process("poisson:20"), seeds=2)
    (rule,) = rules(["all-to:batching"], evaluator, Objective())

    run = compared(evaluator, [rule], chances, objective=Objective()).runs["all-to:batching"]

    served = run.service.position == 0
    alone_j = run.scenario.costs.energy_j[run.scenario.bucket[served], 0].sum()
    assert run.service.energy_j[served].sum() < 0.95 * alone_j


def test_one_fleet_may_have_predictors_of_several_kinds(root: Path) -> None:
    """The example sets a machine that batches beside one that does not, each with the predictor of its entry."""
    fleet = read_fleet(root / "examples" / "fleet-serving.yaml")

    found = prepare(fleet, read_fleet_profile(fleet), WORKLOAD)

    batching = {machine.name: machine.steps is not None for machine in machines(found)}
    assert batching == {"h100": True, "mac": False}
    assert [predictor.kind for predictor in found.predictors] == ["batch", "prefix"]


class Looked:
    """A policy that asks for the name of a type, which numba cannot compile."""

    name, parameters, rotates = "looked up", (), False

    @staticmethod
    def score(candidate: Candidate, _: tuple[float, ...]) -> Floats:
        """The same for all."""
        return np.float64(len(type(candidate).__name__))  # type: ignore[return-value]  # a number


def test_what_cannot_be_compiled_runs_all_the_same(evaluator: Evaluator) -> None:
    """At Python speed, and the summary says so."""
    chances = Chances("poisson:1", process("poisson:1"), seeds=2, queries=10)

    found = compared(evaluator, [Rule("mine", Looked())], chances, objective=Objective())  # type: ignore[arg-type]  # a class will do

    assert not found.summaries["mine"].compiled
    assert sum(figure.value or 0 for figure in found.summaries["mine"].outcomes.values()) == 10
