"""How long the optimum under capacity takes, beside HiGHS's methods on the same instance in the same run.

Run by `make bench`. Times are of the processor, which a busy machine disturbs less: read the ratios. Ours is the
best of seven runs, HiGHS runs once a method, since it takes seconds. It gets the linear program written down as sparse
arrays, which is not counted; ours counts from the cost table on.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from wattshed.domain.cost import CostTable
from wattshed.planner.capacity import CapacityProblem, optimum
from wattshed.planner.capacity_front import capacity_front
from wattshed.planner.capacity_whole import whole_queries

METHODS = ("highs-ds", "highs-ipm")
SIZES = ((1_000, 3), (10_000, 10), (100_000, 10))


def main() -> None:
    """Print the tables."""
    rng = np.random.default_rng(0)
    unlike = [drawn(rng, shapes, systems) for shapes, systems in SIZES]
    for kind, problem in [("costs drawn apart", one) for one in unlike] + [("costs linear in m and n", linear(rng))]:
        shapes, systems = problem.cost.shape
        ours_s = best_of(partial(optimum, problem), runs=7)
        found = optimum(problem)
        proof = found.certificate
        print(
            f"{shapes:>7,} shapes x {systems:2} systems, {kind}: ours {1e3 * ours_s:7.1f} ms  gap {proof.gap:8.1e}  "
            f"overload {proof.most_overload:.1e}  {found.split.size} shapes split"
        )
        if shapes <= 10_000:
            against_highs(problem, ours_s, proof.primal)
        rounded_s = best_of(partial(whole_queries, found), runs=1)
        print(f"          whole queries {1e3 * rounded_s:.1f} ms, {whole_queries(found).dearer:.1e} dearer")
    a_front()


def against_highs(problem: CapacityProblem, ours_s: float, primal: float) -> None:
    """A line a method: its time and ours."""
    for method in METHODS:
        program = written_down(problem)
        began = time.process_time()
        solved = linprog(**program, method=method)
        took_s = time.process_time() - began
        print(
            f"          {method:10} {1e3 * took_s:9.1f} ms = {took_s / ours_s:5.1f} x ours, "
            f"costs {solved.fun / primal - 1:+.0e} more"
        )


def a_front() -> None:
    """How long the points of a front take."""
    problem = drawn(np.random.default_rng(1), 2_000, 5)
    nowhere = np.zeros(problem.cost.shape, np.bool_)
    costs = CostTable(problem.cost, problem.runtime_s, problem.feasible, nowhere)
    began = time.process_time()
    front = capacity_front(problem, costs, points=33)
    took_s = time.process_time() - began
    print(
        f"front of 2,000 x 5, {front.energy_j.size} exact optima: {took_s:.2f} s, off by {front.most_below:.1e} at most"
    )


def drawn(rng: np.random.Generator, shapes: int, systems: int) -> CapacityProblem:
    """Costs and runtimes of one spread; each system has 0.3 to 1.2 of what the unlimited optimum asks of it."""
    cost, runtime_s = (np.asfortranarray(part) for part in rng.lognormal(5, 1, (2, shapes, systems)))
    queries = rng.integers(1, 100, shapes).astype(np.float64)
    feasible = np.asfortranarray(rng.random((shapes, systems)) < 0.95)
    feasible[np.arange(shapes), rng.integers(0, systems, shapes)] = True
    best = np.where(feasible, cost, np.inf).argmin(axis=1)
    asked_slot_s = np.bincount(best, weights=queries * runtime_s[np.arange(shapes), best], minlength=systems)
    names = tuple(f"s{position}" for position in range(systems))
    return CapacityProblem(names, queries, cost, runtime_s, feasible, asked_slot_s * rng.uniform(0.3, 1.2, systems))


def linear(rng: np.random.Generator) -> CapacityProblem:
    """10,000 shapes on 10 systems as predictors have them: dear and cheap systems, and shapes that are nearly alike."""
    m, n = rng.integers(1, 2049, (2, 10_000, 1))
    fixed, of_input, of_output = rng.lognormal(0, 1, (3, 2, 10))
    cost = 50 * fixed[0] + 0.1 * of_input[0] * m + of_output[0] * n
    runtime_s = fixed[1] + 0.001 * of_input[1] * m + 0.02 * of_output[1] * n
    queries = rng.integers(1, 50, 10_000).astype(np.float64)
    everywhere = np.ones(cost.shape, np.bool_)
    capacity_slot_s = 0.15 * (queries @ runtime_s) * rng.uniform(0.7, 1.3, 10)
    return CapacityProblem(tuple("abcdefghij"), queries, cost, runtime_s, everywhere, capacity_slot_s)


def written_down(problem: CapacityProblem) -> dict[str, object]:
    """The linear program for `linprog`."""
    shape, position = np.nonzero(problem.feasible)
    cells = np.arange(shape.size)
    seconds = problem.runtime_s[shape, position]
    return {
        "c": problem.cost[shape, position],
        "A_ub": csr_array((seconds, (position, cells)), shape=(len(problem.names), cells.size)),
        "b_ub": problem.capacity_slot_s,
        "A_eq": csr_array((np.ones(cells.size), (shape, cells)), shape=(problem.queries.size, cells.size)),
        "b_eq": problem.queries,
    }


def best_of(action: Callable[[], object], runs: int) -> float:
    """Seconds of the quickest of some runs."""
    seconds = []
    for _ in range(runs):
        began = time.process_time()
        action()
        seconds.append(time.process_time() - began)
    return min(seconds)


if __name__ == "__main__":
    main()
