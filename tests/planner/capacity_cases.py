"""Capacity problems for tests: drawn at random with ties, gaps and empty systems, and the bundled workload."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, linprog
from scipy.sparse import csr_array

from tests.planner.cases import Case
from wattshed.datasets.profiles import read_profile
from wattshed.datasets.workloads import read_workload
from wattshed.domain.arrays import Floats
from wattshed.domain.cost import CostTable
from wattshed.domain.operation import Operation
from wattshed.domain.query import Workload
from wattshed.domain.system import Fleet, Pool
from wattshed.planner.capacity import CapacityProblem
from wattshed.planner.evaluate import Evaluator
from wattshed.planner.planning import prepare


@st.composite
def problems(draw: st.DrawFn, *, most_shapes: int = 12, most_systems: int = 4) -> CapacityProblem:
    """Random problems, half of them in small whole numbers and so full of ties; some systems have no capacity."""
    seed, whole = draw(st.integers(0, 2**32 - 1)), draw(st.booleans())
    shapes, systems = draw(st.integers(1, most_shapes)), draw(st.integers(1, most_systems))
    return drawn(np.random.default_rng(seed), shapes, systems, whole=whole)


def drawn(rng: np.random.Generator, shapes: int, systems: int, *, whole: bool = False) -> CapacityProblem:
    """One random problem; mostly it can be solved, and mostly some capacity binds."""
    size = (shapes, systems)
    cost, runtime_s = rng.integers(1, 9, (2, *size)).astype(np.float64) if whole else rng.lognormal(2, 1, (2, *size))
    queries = rng.integers(1, 50, shapes).astype(np.float64)
    feasible = rng.random(size) < 0.8
    feasible[np.arange(shapes), rng.integers(0, systems, shapes)] = True
    alone_s = queries @ runtime_s
    capacity_slot_s = alone_s * rng.uniform(0.1, 2.0, systems) * (rng.random(systems) < 0.9)
    names = tuple(f"s{position}" for position in range(systems))
    return CapacityProblem(names, queries, cost, runtime_s, feasible, capacity_slot_s)


def solved_by_highs(problem: CapacityProblem, method: str = "highs") -> OptimizeResult:
    """The whole linear program as HiGHS solves it; `fun` is the optimum where `status` is 0, and 2 is infeasible."""
    shape, position = np.nonzero(problem.feasible)
    cells = np.arange(shape.size)
    size = (len(problem.names), shape.size)
    return linprog(  # type: ignore[call-overload,no-any-return]  # the stubs know no sparse matrices
        problem.cost[shape, position],
        A_ub=csr_array((problem.runtime_s[shape, position], (position, cells)), shape=size),
        b_ub=problem.capacity_slot_s,
        A_eq=csr_array((np.ones(shape.size), (shape, cells)), shape=(problem.queries.size, shape.size)),
        b_eq=problem.queries,
        method=method,
    )


def case_of(problem: CapacityProblem) -> Case:
    """The same as a workload and a table, whose energy is the cost."""
    shapes = np.arange(1, problem.queries.size + 1)
    workload = Workload.of("drawn", shapes, np.ones_like(shapes), queries=problem.queries.astype(np.int64))
    nowhere = np.zeros(problem.cost.shape, np.bool_)
    return Case(workload, CostTable(problem.cost, problem.runtime_s, problem.feasible, nowhere))


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """A workload's queries in random order: `bucket` (Q,) and their costs (Q, S)."""

    bucket: Floats
    costs: CostTable

    @classmethod
    def of(cls, problem: CapacityProblem, rng: np.random.Generator, times: int = 1) -> "Replay":
        """Every query of a problem, `times` over."""
        bucket = rng.permutation(np.repeat(np.arange(problem.queries.size), problem.queries.astype(np.int64) * times))
        parts = problem.cost[bucket], problem.runtime_s[bucket], problem.feasible[bucket]
        return cls(bucket, CostTable(*parts, np.zeros(parts[0].shape, np.bool_)))


def lab(slots: int = 1, macs: int = 4) -> Fleet:
    """Macs and an A100 of the bundled profile."""
    pools = (
        Pool("mac", "M1-Pro", count=macs, operation=Operation(slots=slots)),
        Pool("a100", "Swing AMD+A100", host_power_w=40.0),
    )
    return Fleet("lab", "bundled:wilkins2024", "Llama-2 (7B)", pools)


def bundled(fleet: Fleet) -> Evaluator:
    """The fleet under the Alpaca workload."""
    return prepare(fleet, read_profile(fleet.profile), read_workload("bundled:alpaca"))
