"""Small planning problems for the planner's tests: by hand, and drawn at random for properties."""

from dataclasses import dataclass

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.choices import PredictorKind
from wattshed.domain.cost import CostTable
from wattshed.domain.prediction import Expectation, Prediction, Totals
from wattshed.domain.query import Workload
from wattshed.domain.system import Fleet, Limits, Pool
from wattshed.planner.evaluate import Evaluator
from wattshed.policies.policy import Policy, place
from wattshed.predictors.predictor import Support

PROPERTY = settings(deadline=None, max_examples=50, derandomize=True)

REPLICATES = 200


@dataclass(frozen=True, slots=True)
class LinearPredictor:
    """E = `fixed_energy_j` + `energy_per_token_j` (m + n), R = E / `power_w`; exact, so that tests know the answer.

    Its replicates scale both by 1 - `spread` ... 1 + `spread`, evenly. Queries above `measured_tokens` on either side
    are extrapolated.
    """

    fixed_energy_j: float
    energy_per_token_j: float
    power_w: float = 1.0
    spread: float = 0.0
    measured_tokens: int = 2048
    kind: PredictorKind = "prefix"
    monotone: bool = True

    @property
    def support(self) -> Support:
        """The measured square."""
        most = self.measured_tokens
        return Support(1, most, 1, most, 2 * most)

    def predict(self, input_tokens: Integers, output_tokens: Integers) -> Prediction:
        """The line."""
        energy_j = self.fixed_energy_j + self.energy_per_token_j * (input_tokens + output_tokens)
        nothing = np.zeros(energy_j.shape)
        outside = ~self.support.inside(input_tokens, output_tokens)
        return Prediction(energy_j, energy_j / self.power_w, nothing, nothing, outside)

    def expect(self, input_tokens: Integers, output_tokens: Integers) -> Expectation:
        """The line, without its error."""
        said = self.predict(input_tokens, output_tokens)
        return Expectation(said.energy_j, said.runtime_s)

    def totals(self, input_tokens: Integers, output_tokens: Integers, queries: Integers) -> Totals:
        """The sum of the line, scaled."""
        energy_j = float(queries @ self.predict(input_tokens, output_tokens).energy_j)
        replicates_j = energy_j * np.linspace(1 - self.spread, 1 + self.spread, REPLICATES)
        return Totals(replicates_j, replicates_j / self.power_w)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A workload of B shapes and its costs on S systems."""

    workload: Workload
    costs: CostTable

    def bill(self, policy: Policy) -> tuple[float, float]:
        """Energy and runtime of the workload under a policy, summed shape by shape."""
        positions = place(policy, self.workload.input_tokens, self.workload.output_tokens, self.costs)
        assert (positions >= 0).all()
        return self.total(self.costs.energy_j, positions), self.total(self.costs.runtime_s, positions)

    def total(self, cost: Floats, positions: Integers) -> float:
        """Sum of `cost` (B, S) over the workload with each shape on the system at its position (B,)."""
        return float(sum(cost[row, at] * self.workload.queries[row] for row, at in enumerate(positions)))


@st.composite
def cases(draw: st.DrawFn, *, most_shapes: int = 12, least_systems: int = 1, most_systems: int = 4) -> Case:
    """Random cases of up to 9 tokens a side, each query servable; costs are small whole numbers, so ties are common."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries = draw(st.integers(1, most_shapes))
    systems = draw(st.integers(least_systems, most_systems))
    m, n = rng.integers(1, 10, (2, queries))
    workload = Workload.of("random", m, n, queries=rng.integers(1, 5, queries))
    shape = (workload.queries.size, systems)
    energy_j, runtime_s = rng.integers(1, 12, (2, *shape)).astype(np.float64)
    feasible = rng.random(shape) < draw(st.sampled_from([1.0, 0.7]))
    feasible[np.arange(shape[0]), rng.integers(0, systems, shape[0])] = True
    return Case(workload, CostTable(energy_j, runtime_s, feasible, np.zeros(shape, np.bool_)))


@st.composite
def evaluators(draw: st.DrawFn) -> Evaluator:
    """Random fleets of linear systems, the first of them limited, under random workloads."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    systems = draw(st.integers(2, 4))
    predictors = [
        LinearPredictor(*rng.uniform(1, 50, 3), spread=rng.uniform(0, 0.2), measured_tokens=400) for _ in range(systems)
    ]
    hosts_w = rng.choice([0.0, 40.0], systems)
    pools = tuple(Pool(f"s{at}", f"s{at}", host_power_w=float(host_w)) for at, host_w in enumerate(hosts_w))
    limits = [Limits(max_output_tokens=300), *[Limits()] * (systems - 1)]
    m, n = rng.integers(1, 500, (2, draw(st.integers(1, 30))))
    workload = Workload.of("random", m, n, queries=rng.integers(1, 9, m.size))
    return Evaluator.of(Fleet("fleet", "profile", "llm", pools), workload, limits=limits, predictors=predictors)
