"""Slots that cost something: what `Priced` makes of prices, tilts and waits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.system import FleetState
from wattshed.policies.argmin import Argmin
from wattshed.policies.policy import Candidate, place
from wattshed.policies.priced import Priced

ENERGY = Objective(1.0)
ONE = np.array([1])


def table(energy_j: list[float], runtime_s: list[float]) -> CostTable:
    """One query on each system."""
    everywhere = np.ones((1, len(energy_j)), np.bool_)
    return CostTable(np.array([energy_j]), np.array([runtime_s]), everywhere, ~everywhere)


def test_a_price_is_paid_for_every_second() -> None:
    """30 J on the first for 10 s beat 50 J on the second until a second on the first costs 2 J."""
    costs = table([30.0, 50.0], [10.0, 1.0])

    at = [int(place(Priced(ENERGY, (price, 0.0)), ONE, ONE, costs)[0]) for price in (0.0, 1.9, 2.1)]

    assert at == [0, 0, 1]


def test_a_tilt_splits_ties_by_lot() -> None:
    """Two systems that tie share the lots in proportion; queries that do not tie never notice."""
    policy = Priced(ENERGY, (1e-6 * 0.3, 0.0), (-1e-6, 0.0))
    lots = (np.arange(1000) + 0.5) / 1000

    tied = [int(place(policy, ONE, ONE, table([5.0, 5.0], [1.0, 1.0]), draw=lot)[0]) for lot in lots]
    apart = {int(place(policy, ONE, ONE, table([5.0, 5.1], [1.0, 1.0]), draw=lot)[0]) for lot in lots}

    assert sum(tied) == 300
    assert apart == {0}


def test_waiting_costs_time_and_no_slot() -> None:
    """A wait counts in U as `Argmin` counts it, whatever the price."""
    costs = table([1.0, 1.0], [1.0, 1.0])
    state = FleetState(np.array([5.0, 0.0]), np.zeros(2, np.int64), np.ones(2, np.bool_))

    cares, ignores = Priced(Objective(0.5), (0.0, 4.0)), Priced(ENERGY, (0.0, 4.0))

    assert place(cares, ONE, ONE, costs, state=state).tolist() == [0]
    assert place(Priced(Objective(0.5), (0.0, 3.0)), ONE, ONE, costs, state=state).tolist() == [0]
    assert place(Priced.free(Objective(0.5), 2), ONE, ONE, costs, state=state).tolist() == [1]
    assert place(ignores, ONE, ONE, costs, state=state).tolist() == [0]


def test_free_slots_are_argmin() -> None:
    """At prices of 0 every decision is `Argmin`'s."""
    rng = np.random.default_rng(0)
    energy_j, runtime_s = rng.lognormal(1, 1, (2, 200, 3))
    costs = CostTable(energy_j, runtime_s, rng.random((200, 3)) < 0.8, np.zeros((200, 3), np.bool_))
    m = np.ones(200, np.int64)

    free, argmin = (place(policy, m, m, costs) for policy in (Priced.free(ENERGY, 3), Argmin(ENERGY)))

    assert free.tolist() == argmin.tolist()


@pytest.mark.parametrize(
    ("prices", "tilts", "message"),
    [
        ((), (), "one a system"),
        ((-1.0,), (), "at least 0"),
        ((float("nan"),), (), "finite"),
        ((1.0, 2.0), (0.5,), "2 prices take as many finite tilts"),
    ],
)
def test_prices_that_cannot_be_are_refused(prices: tuple[float, ...], tilts: tuple[float, ...], message: str) -> None:
    """Prices are finite and at least 0, and tilts as many."""
    with pytest.raises(ValueError, match=message):
        Priced(ENERGY, prices, tilts)


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        (Priced(ENERGY, (2.5, 0.0)), "least cost at lambda 1 with slots at 2.5 W, 0 W"),
        (
            Priced(Objective(0.5), (2.5, 0.0), names=("mac", "a100")),
            "least cost at lambda 0.5 with slots at 2.5 U/s on mac, 0 U/s on a100",
        ),
    ],
    ids=["watts", "names"],
)
def test_the_name_says_whose_prices_in_which_unit(policy: Priced, name: str) -> None:
    """Reports show lambda and what a second in a slot costs, on which system where that is known."""
    assert policy.name == name


def test_as_many_names_as_prices() -> None:
    """A name too few would put prices beside the wrong systems."""
    with pytest.raises(ValueError, match="2 prices are of as many systems"):
        Priced(ENERGY, (1.0, 2.0), names=("mac",))


LAMS = st.floats(0.01, 1.0)
SCALES = st.floats(0.1, 10.0)
OBJECTIVES = st.builds(Objective, LAMS, SCALES, SCALES)


@settings(deadline=None, max_examples=50)
@given(OBJECTIVES, OBJECTIVES, st.floats(0.0, 100.0), st.floats(0.1, 100.0))
def test_a_slot_costs_as_many_joules_whoever_asks(ours: Objective, theirs: Objective, price_w: float, s: float) -> None:
    """Under another objective a slot of so many watts adds those to the watts that a second is worth there."""
    priced = Priced(ours, (price_w * ours.lam / ours.energy_ref_j,)).under(theirs)

    candidate = Candidate(1, 1, 7.0, s, 0.0, 0, 0, 1, 0, 0.0)
    cost_j = priced.score(candidate, priced.parameters) * theirs.energy_ref_j / theirs.lam

    assert cost_j == pytest.approx(7.0 + (theirs.exchange_w + price_w) * s, rel=1e-9)


def test_an_objective_of_its_own() -> None:
    """The policy's own changes nothing; speed alone pays no joules; prices in seconds stay seconds."""
    priced, timed = Priced(Objective(0.5), (3.0, 1.0), (0.1, 0.0), ("a", "b")), Priced(Objective(0.0), (2.0,))

    assert priced.under(Objective(0.5)) == priced
    assert priced.under(Objective(0.0)) == Priced(Objective(0.0), (0.0, 0.0), (0.0, 0.0))
    assert priced.under(ENERGY) == Priced(ENERGY, (6.0, 2.0), (0.2, 0.0))
    assert priced.under(ENERGY).names == ("a", "b")
    assert timed.under(Objective(0.75)) == Priced(Objective(0.75), (0.5,))
