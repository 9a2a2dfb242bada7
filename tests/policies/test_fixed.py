"""One system for all, by lot, by turns."""

import numpy as np

from wattshed.domain.arrays import Integers
from wattshed.domain.cost import CostTable
from wattshed.policies.fixed import AllTo, Random, RoundRobin
from wattshed.policies.policy import Policy, place

QUERIES = 12


def table(feasible: tuple[bool, ...]) -> CostTable:
    """QUERIES shapes of equal cost on as many systems as `feasible` has entries."""
    shape = (QUERIES, len(feasible))
    return CostTable(np.ones(shape), np.ones(shape), np.tile(feasible, (QUERIES, 1)), np.zeros(shape, np.bool_))


def placed(policy: Policy, feasible: tuple[bool, ...], draw: float = 0.0) -> list[int]:
    """Positions of QUERIES queries that arrive one after the other."""
    tokens: Integers = np.arange(1, QUERIES + 1)
    return place(policy, tokens, tokens, table(feasible), serial=np.arange(QUERIES), draw=draw).tolist()


def test_all_queries_go_to_one_system() -> None:
    """`AllTo` uses no other system while its own can serve."""
    assert placed(AllTo(1, "A100"), (True, True, True)) == [1] * QUERIES


def test_others_serve_what_the_one_cannot() -> None:
    """`AllTo` falls back on the first system that can serve."""
    assert placed(AllTo(0, "M1"), (False, True, True)) == [1] * QUERIES


def test_turns_go_round_the_fleet() -> None:
    """`RoundRobin` gives query k to system k modulo S."""
    assert placed(RoundRobin(), (True, True, True)) == [0, 1, 2] * (QUERIES // 3)


def test_a_lost_turn_falls_to_the_next_system() -> None:
    """Where the system whose turn it is cannot serve, the next in order does."""
    assert placed(RoundRobin(), (True, False, True)) == [0, 2, 2] * (QUERIES // 3)
    assert placed(RoundRobin(), (True, True, False)) == [0, 1, 0] * (QUERIES // 3)


def test_lots_are_fair() -> None:
    """`Random` cuts [0, 1) into equal parts, one a system, in order of position."""
    draws = (np.arange(300) + 0.5) / 300

    systems = [placed(Random(), (True, True, True), draw)[0] for draw in draws]

    assert systems == [0] * 100 + [1] * 100 + [2] * 100


def test_a_draw_just_below_one_is_in_range() -> None:
    """The largest lot below 1 belongs to a system of the fleet, whatever rounding does to it."""
    assert set(placed(Random(), (True,) * 3, draw=np.nextafter(1.0, 0.0))) <= {0, 1, 2}
