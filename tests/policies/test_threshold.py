"""Thresholds: what counts as small, and who serves it."""

import numpy as np
import pytest

from wattshed.domain.cost import CostTable
from wattshed.policies.policy import Policy, place
from wattshed.policies.threshold import Pair, ProductThreshold, Threshold, TwoThresholds

NAMES = ("V100", "M1", "A100")
PAIR = Pair.of(NAMES, 1, 2)
M1, A100 = 1, 2


def placed(policy: Policy, m: int, n: int, feasible: tuple[bool, ...] = (True, True, True)) -> int:
    """Position that serves one query; every system costs the same."""
    ones = np.ones((1, len(feasible)))
    costs = CostTable(ones, ones, np.array([feasible]), np.zeros(ones.shape, np.bool_))
    return int(place(policy, np.array([m]), np.array([n]), costs)[0])


@pytest.mark.parametrize(
    ("policy", "small", "large"),
    [
        (Threshold(PAIR, 32), (32, 500), (33, 1)),
        (Threshold(PAIR, 32, input_weight=0, output_weight=1), (500, 32), (1, 33)),
        (Threshold(PAIR, 32.5, output_weight=0.5), (32, 1), (32, 2)),
        (ProductThreshold(PAIR, 100), (10, 10), (1, 101)),
        (TwoThresholds(PAIR, 32, 16, "and"), (32, 16), (32, 17)),
        (TwoThresholds(PAIR, 32, 16, "and"), (1, 1), (33, 16)),
        (TwoThresholds(PAIR, 32, 16, "or"), (32, 500), (33, 17)),
        (TwoThresholds(PAIR, 32, 16, "or"), (500, 16), (500, 17)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_limit_itself_is_small(policy: Policy, small: tuple[int, int], large: tuple[int, int]) -> None:
    """A query at the threshold goes below it, the next larger one above."""
    assert placed(policy, *small) == M1
    assert placed(policy, *large) == A100


@pytest.mark.parametrize("policy", [Threshold(PAIR, 32), ProductThreshold(PAIR, 100), TwoThresholds(PAIR, 32, 32)])
@pytest.mark.parametrize(
    ("feasible", "small", "large"),
    [((True, False, True), 2, 2), ((True, True, False), 1, 1), ((True, False, False), 0, 0)],
)
def test_the_other_of_the_pair_serves_before_a_third(
    policy: Policy, feasible: tuple[bool, ...], small: int, large: int
) -> None:
    """What the preferred system cannot run goes to the other of the pair, and to a third only if that fails too."""
    assert placed(policy, 1, 1, feasible) == small
    assert placed(policy, 99, 99, feasible) == large


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        (Threshold(PAIR, 32), "m <= 32 to M1, else A100"),
        (Threshold(PAIR, 32.5, output_weight=0.5), "m + 0.5 n <= 32.5 to M1, else A100"),
        (Threshold(PAIR, 12345678, 0, 2), "2 n <= 12345678 to M1, else A100"),
        (ProductThreshold(PAIR, 1024), "m n <= 1024 to M1, else A100"),
        (TwoThresholds(PAIR, 32, 64, "or"), "m <= 32 or n <= 64 to M1, else A100"),
        (TwoThresholds(PAIR, 1234567, 64), "m <= 1234567 and n <= 64 to M1, else A100"),
    ],
)
def test_the_name_is_the_rule(policy: Policy, name: str) -> None:
    """A report can print the name and nothing else: it holds the rule, all its numbers and both systems."""
    assert policy.name == name


def test_a_pair_is_two_systems() -> None:
    """A threshold between a system and itself is refused."""
    with pytest.raises(ValueError, match="'M1' twice"):
        Pair.of(NAMES, 1, 1)


@pytest.mark.parametrize("weights", [(0, 0), (-1, 1), (1, -0.5)])
def test_weights_measure_a_size(weights: tuple[float, float]) -> None:
    """Weights that make nothing larger, or something smaller, are refused."""
    with pytest.raises(ValueError, match="weights"):
        Threshold(PAIR, 32, *weights)
