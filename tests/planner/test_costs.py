"""From predictors to one table of costs."""

import numpy as np
import pytest

from tests.planner.cases import LinearPredictor
from wattshed.domain.cost import CostTable
from wattshed.domain.query import Workload
from wattshed.domain.system import Fleet, Limits, Pool
from wattshed.errors import InfeasibleError
from wattshed.planner.costs import cost_table, require_served

WORKLOAD = Workload.of("three", np.array([10, 10, 600]), np.array([10, 900, 10]), queries=np.array([5, 3, 2]))


def costs(*pools: Pool, limits: list[Limits] | None = None) -> CostTable:
    """Costs of WORKLOAD on pools that all draw 100 W and spend 1 J a token, measured up to 512 tokens."""
    fleet = Fleet("fleet", "profile", "llm", pools)
    predictors = [LinearPredictor(0.0, 1.0, power_w=100.0, measured_tokens=512) for _ in pools]
    return cost_table(fleet, WORKLOAD, limits=limits or [Limits()] * len(pools), predictors=predictors)


def test_host_power_is_charged_for_the_runtime() -> None:
    """A host of 50 W beside a device of 100 W adds half the device's energy and no runtime."""
    table = costs(Pool("bare", "A100"), Pool("hosted", "A100", host_power_w=50.0))

    assert table.energy_j[:, 0].tolist() == [20, 910, 610]
    assert table.energy_j[:, 1].tolist() == [30, 1365, 915]
    assert (table.runtime_s[:, 0] == table.runtime_s[:, 1]).all()


def test_measured_limits_and_those_of_the_pool_both_hold() -> None:
    """A shape is feasible where the profile knows no failure and the pool sets no bound."""
    pools = Pool("M1", "M1", limits=Limits(max_input_tokens=512)), Pool("A100", "A100")

    table = costs(*pools, limits=[Limits(max_output_tokens=512), Limits()])

    assert table.feasible.tolist() == [[True, True], [False, True], [False, True]]


def test_infeasible_cells_are_continued() -> None:
    """What a system cannot run still has a finite cost, for the baselines."""
    table = costs(Pool("M1", "M1"), limits=[Limits(max_output_tokens=512)])

    assert np.isfinite(table.energy_j).all()


def test_shapes_outside_the_measured_range_are_flagged() -> None:
    """The predictors' flags arrive in the table."""
    assert costs(Pool("A100", "A100")).extrapolated[:, 0].tolist() == [False, True, True]


def test_a_predictor_for_every_pool() -> None:
    """Pools and predictors that do not pair up are an error, never cut to the shorter."""
    fleet = Fleet("fleet", "profile", "llm", (Pool("a", "a"), Pool("b", "b")))

    with pytest.raises(ValueError, match="shorter"):
        cost_table(fleet, WORKLOAD, limits=[Limits()] * 2, predictors=[LinearPredictor(0.0, 1.0)])


def test_queries_that_nobody_can_serve_are_refused() -> None:
    """The error counts them, shows the first and says what to do."""
    table = costs(Pool("M1", "M1"), limits=[Limits(max_total_tokens=100)])

    with pytest.raises(
        InfeasibleError,
        match=r"5 of 10 queries .* 10 input and 900 output tokens; add a system .* raise max_\.\.\. in the fleet",
    ):
        require_served(WORKLOAD, table)
