"""The map of the cheapest systems, where the answer is known by hand."""

import numpy as np
import pytest

from tests.planner.cases import LinearPredictor
from wattshed.domain.cost import Objective
from wattshed.domain.query import Workload
from wattshed.domain.system import Fleet, Limits, Pool
from wattshed.planner.evaluate import Evaluator
from wattshed.planner.regions import line, regions, regions_at

SMALL = LinearPredictor(0.0, 1.0)
"""E = m + n."""

LARGE = LinearPredictor(60.0, 0.5)
"""E = 60 + (m + n) / 2: cheaper from m + n = 121 on."""

ENERGY = Objective(lam=1.0)


def evaluator(*predictors: LinearPredictor, limits: Limits | None = None) -> Evaluator:
    """A fleet of these; `limits` are those of the first."""
    pools = tuple(Pool(f"s{position}", f"s{position}") for position in range(len(predictors)))
    once = Workload("one", np.array([1]), np.array([1]), np.array([1]))
    each = [limits or Limits(), *(Limits() for _ in pools[1:])]
    return Evaluator.of(Fleet("f", "p", "m", pools), once, limits=each, predictors=predictors)


def test_the_line_is_told_to_the_token() -> None:
    """Small queries up to m + n = 120 join the first, which wins ties; the others the second."""
    told = {one.system: one for one in line(evaluator(SMALL, LARGE), ENERGY) if one.output_tokens == 32}

    assert (told["s0"].first_input_tokens, told["s0"].last_input_tokens) == (1, 88)
    assert (told["s1"].first_input_tokens, told["s1"].last_input_tokens) == (89, 2048)


def test_the_map_agrees_with_the_line() -> None:
    """Every shape of the map lies on its side of m + n = 120, with the margin that follows."""
    found = regions(evaluator(SMALL, LARGE), ENERGY)

    total = found.input_tokens[:, None] + found.output_tokens[None, :]
    assert np.array_equal(found.position, np.where(total <= 120, 0, 1))


def test_host_power_moves_the_line() -> None:
    """Watts that meters did not see count as they do in plans."""
    plain = evaluator(SMALL, LARGE)
    pools = (plain.fleet.pools[0], Pool("s1", "s1", host_power_w=1.0))
    hosted = Evaluator.of(Fleet("f", "p", "m", pools), plain.workload, limits=plain.limits, predictors=plain.predictors)

    found = regions(hosted, ENERGY)

    assert (found.position == 0).all()


def test_what_cannot_be_served_is_nobodys() -> None:
    """Beyond the limits of the only system the position is -1, and the line leaves such lengths out."""
    alone = evaluator(SMALL, limits=Limits(max_output_tokens=100))

    found = regions_at(alone, ENERGY, input_tokens=np.array([8]), output_tokens=np.array([100, 101]))

    assert found.position.tolist() == [[0, -1]]
    assert found.decided[0, 0]
    assert {one.output_tokens for one in line(alone, ENERGY)} == {8, 32}


def test_measured_and_certain_are_told_apart() -> None:
    """Exact predictors are certain wherever they differ; what lies beyond the measured square is marked."""
    near = LinearPredictor(60.0, 0.5, measured_tokens=64)

    found = regions(evaluator(SMALL, near), ENERGY)

    assert found.extrapolated[-1, -1]
    assert not found.extrapolated[0, 0]
    tied = found.input_tokens[:, None] + found.output_tokens[None, :] == 120
    assert np.array_equal(found.decided, ~tied)


@pytest.mark.parametrize("lam", [0.0, 0.5])
def test_any_objective_can_be_mapped(lam: float) -> None:
    """At equal power runtime ranks systems as energy does, so the map is the same at every lambda."""
    both = evaluator(SMALL, LARGE)

    assert np.array_equal(regions(both, Objective(lam=lam)).position, regions(both, ENERGY).position)
