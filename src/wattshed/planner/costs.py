"""What every shape of a workload costs on every system of a fleet: from predictors to one table."""

from collections.abc import Sequence

import numpy as np

from wattshed.domain.cost import CostTable
from wattshed.domain.query import Workload
from wattshed.domain.system import Fleet, Limits
from wattshed.errors import InfeasibleError
from wattshed.predictors.predictor import Predictor


def cost_table(
    fleet: Fleet, workload: Workload, *, limits: Sequence[Limits], predictors: Sequence[Predictor]
) -> CostTable:
    """E and R of B shapes on S systems; `limits` (measured) and `predictors` have one entry a pool, in its order.

    Energy includes each pool's host power over the runtime. A shape is feasible where both the measured limits and
    those of the pool allow it.
    """
    m, n = workload.input_tokens, workload.output_tokens
    shape = (m.size, len(fleet.pools))
    energy_j, runtime_s = np.empty(shape, order="F"), np.empty(shape, order="F")  # read system by system
    feasible, extrapolated = np.empty(shape, np.bool_, order="F"), np.empty(shape, np.bool_, order="F")
    for position, (pool, limit, predictor) in enumerate(zip(fleet.pools, limits, predictors, strict=True)):
        expected = predictor.expect(m, n)
        energy_j[:, position] = expected.energy_j + pool.host_power_w * expected.runtime_s
        runtime_s[:, position] = expected.runtime_s
        feasible[:, position] = limit.tightened(pool.limits).allow(m, n)
        extrapolated[:, position] = ~predictor.support.inside(m, n)
    return CostTable(energy_j, runtime_s, feasible, extrapolated)


def require_served(workload: Workload, costs: CostTable) -> None:
    """Raise `InfeasibleError` where some query of the workload fits no system."""
    unserved = np.flatnonzero(~costs.feasible.any(axis=1))
    if unserved.size:
        m, n = workload.input_tokens[unserved[0]], workload.output_tokens[unserved[0]]
        raise InfeasibleError(
            f"no system can serve {workload.queries[unserved].sum()} of {workload.total_queries} queries of workload "
            f"{workload.name!r}, first one of {m} input and {n} output tokens; add a system with higher limits, raise "
            f"max_... in the fleet file if it sets them, or delete these rows from the workload"
        )
