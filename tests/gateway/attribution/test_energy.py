"""Windows of a node are split over the requests in it, and no joule is made or lost on the way."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.domain.attribution import Weights
from wattshed.gateway.attribution.energy import NodeEnergy, Terms, Tokens, Window
from wattshed.gateway.attribution.split import split
from wattshed.gateway.ledger.ledger import Settlement

SHORT = Tokens(100, 11)
BY_WORK = Terms(Weights(1.0, 10.0, 0.0), idle_power_w=50.0, patience_s=5.0)


def node(terms: Terms = BY_WORK) -> NodeEnergy:
    """A node watched from 0 s on."""
    return NodeEnergy(terms, 0.0)


def settle(energy: NodeEnergy, now_s: float) -> list[Settlement]:
    """Split what is due and say who is settled, as the polling does."""
    due = energy.due(now_s)
    energy.take(due, split(due, energy.terms))
    return energy.settled(now_s)


def test_one_request_gets_all_that_was_counted_while_it_ran() -> None:
    """A request alone has all joules but the idle ones of the time before and after it, which are nobody's."""
    energy = node()
    energy.began("a", 2.0, SHORT)
    energy.first_token("a", 3.0)
    energy.finished("a", 6.0, SHORT)
    energy.counted(Window(0.0, 10.0, 2000.0))

    (settlement,) = settle(energy, 10.0)

    assert settlement == Settlement("a", pytest.approx(1700.0), pytest.approx(200.0), None)
    assert energy.joules.unattributed_j == pytest.approx(300.0)


def test_idle_power_is_learned_from_windows_without_requests() -> None:
    """The least power of empty windows is idle power, and what a request is given is above it, or in its own time."""
    energy = node(Terms())
    energy.counted(Window(0.0, 10.0, 900.0))
    energy.counted(Window(10.0, 20.0, 400.0))
    energy.counted(Window(20.0, 30.0, 600.0))
    assert settle(energy, 30.0) == []
    energy.began("a", 32.0, SHORT)
    energy.finished("a", 34.0, SHORT)
    energy.counted(Window(30.0, 40.0, 1320.0))

    (settlement,) = settle(energy, 40.0)

    assert energy.terms.idle_power_w == 40.0
    assert settlement == Settlement("a", pytest.approx(1000.0), pytest.approx(80.0), None)


def test_a_window_below_idle_power_takes_no_joules_from_anybody() -> None:
    """Where less was counted than idle power says, the time without requests has its part of what there was."""
    energy = node()
    energy.began("a", 0.0, SHORT)
    energy.finished("a", 5.0, SHORT)
    energy.counted(Window(0.0, 10.0, 100.0))

    (settlement,) = settle(energy, 10.0)

    assert settlement.energy_j == pytest.approx(50.0)


def test_a_request_gets_its_part_of_every_window() -> None:
    """Joules of a request that outlasts a window are added up, and come once the last window is split."""
    energy = node()
    energy.began("a", 0.0, SHORT)
    energy.counted(Window(0.0, 1.0, 100.0))
    assert settle(energy, 1.0) == []

    energy.finished("a", 2.0, SHORT)
    assert settle(energy, 2.0) == []
    energy.counted(Window(1.0, 2.0, 300.0))

    (settlement,) = settle(energy, 2.0)
    assert settlement.energy_j == pytest.approx(400.0)


def test_work_decides_between_two() -> None:
    """Of two side by side, whoever did three times the work has three times the active joules, half the idle ones."""
    energy = node()
    for name, tokens in (("a", Tokens(1, 31)), ("b", Tokens(1, 11))):
        energy.began(name, 0.0, tokens)
        energy.first_token(name, 0.0)
        energy.finished(name, 10.0, tokens)
    energy.counted(Window(0.0, 10.0, 900.0))

    by_name = {one.request: one for one in settle(energy, 10.0)}

    assert by_name["a"].energy_j == pytest.approx(300 + 250)
    assert by_name["b"].energy_j == pytest.approx(100 + 250)


def test_answers_in_one_piece_count_their_work_too() -> None:
    """Without a first token to see, prefill and decoding still weigh as they do in a stream."""
    energy = node(Terms(Weights(1.0, 10.0, 0.0)))
    for name, tokens in (("whole", Tokens(100, 31)), ("stream", Tokens(100, 1))):
        energy.began(name, 0.0, tokens)
        energy.finished(name, 10.0, tokens)
    energy.counted(Window(0.0, 10.0, 500.0))

    by_name = {one.request: one.energy_j for one in settle(energy, 10.0)}

    assert by_name == {"whole": pytest.approx(400.0), "stream": pytest.approx(100.0)}


def test_a_window_waits_for_those_in_it_but_not_for_ever() -> None:
    """A window is split when all in it have ended, or after the patience, with what is expected of who still runs."""
    energy = node()
    energy.began("long", 0.0, Tokens(100, 1000))
    energy.began("short", 0.0, SHORT)
    energy.finished("short", 1.0, SHORT)
    energy.counted(Window(0.0, 1.0, 100.0))

    assert settle(energy, 5.9) == []
    (settlement,) = settle(energy, 6.0)

    assert settlement.request == "short"
    assert settlement.energy_j is not None
    assert energy.joules.pending_j == pytest.approx(100 - settlement.energy_j)


def test_a_window_without_joules_leaves_everyone_without() -> None:
    """Part of the joules is no receipt: a request with a gap is told the gap's reason, and the rest is undelivered."""
    energy = node()
    energy.began("a", 0.0, SHORT)
    energy.finished("a", 2.0, SHORT)
    energy.counted(Window(0.0, 1.0, 100.0))
    energy.counted(Window(1.0, 2.0, None, "counter_reset"))

    assert settle(energy, 2.0) == [Settlement("a", None, None, "counter_reset")]
    assert energy.joules.undelivered_j == pytest.approx(100.0)


def test_nobody_waits_for_windows_that_do_not_come() -> None:
    """After twice the patience a request is told once that its joules are pending; later ones go to nobody else."""
    energy = node()
    energy.began("a", 0.0, SHORT)
    energy.finished("a", 1.0, SHORT)
    assert settle(energy, 10.9) == []
    assert settle(energy, 11.0) == [Settlement("a", None, None, "pending")]

    energy.counted(Window(0.0, 20.0, 1000.0))

    assert settle(energy, 20.0) == []
    assert energy.joules.undelivered_j == pytest.approx(50.0)
    assert energy.joules.unattributed_j == pytest.approx(950.0)  # 19 s at 50 W


def test_a_request_of_no_time_has_no_joules_rather_than_zero() -> None:
    """Who began and ended between two windows is told why, not 0 J."""
    energy = node()
    energy.counted(Window(0.0, 1.0, 1.0))
    energy.began("a", 1.0, SHORT)
    energy.finished("a", 1.0)
    energy.counted(Window(1.0, 2.0, 1.0))

    assert settle(energy, 2.0) == [Settlement("a", None, None, "window_too_short")]


def test_strangers_and_second_ends_change_nothing() -> None:
    """An end that comes twice, or for nobody, is harmless; a second beginning is a mistake of the caller."""
    energy = node()
    energy.began("a", 0.0, SHORT)
    energy.finished("a", 1.0, SHORT)
    energy.finished("a", 9.0, Tokens(1, 1))
    energy.finished("b", 1.0)
    energy.first_token("b", 1.0)
    energy.counted(Window(0.0, 1.0, 10.0))

    with pytest.raises(ValueError, match="name its attempts apart"):
        energy.began("a", 2.0, SHORT)
    assert [one.request for one in settle(energy, 1.0)] == ["a"]


def test_windows_tile_time() -> None:
    """A window that leaves a hole, overlaps or takes no time is refused."""
    with pytest.raises(ValueError, match="tile"):
        node().counted(Window(1.0, 2.0, 1.0))
    with pytest.raises(ValueError, match="takes time"):
        Window(1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="not both"):
        Window(0.0, 1.0, None)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "token", "finish", "window", "gap", "settle"]),
        st.integers(0, 7),
        st.floats(0.01, 8.0),
        st.floats(-5.0, 1000.0),
    ),
    max_size=60,
)
WEIGHTS = st.builds(Weights, *[st.sampled_from([0.0, 0.5, 3.0])] * 3)


@settings(deadline=None, max_examples=50)
@given(STEPS, WEIGHTS, st.sampled_from([0.0, 40.0]))
def test_joules_are_conserved(
    steps: Iterable[tuple[str, int, float, float]], weights: Weights, idle_power_w: float
) -> None:
    """However requests and windows interleave, counted joules are delivered, undelivered, nobody's or pending.

    And everyone who ended is settled exactly once.
    """
    energy = node(Terms(weights, idle_power_w, patience_s=3.0))
    now_s, serial, delivered_j = 0.0, 0, 0.0
    begun: dict[int, str] = {}
    ended, settled = set[str](), list[Settlement]()
    for step, who, wait_s, energy_j in steps:
        now_s += wait_s
        match step:
            case "begin" if who not in begun:
                serial += 1
                begun[who] = f"{who}.{serial}"
                energy.began(begun[who], now_s, Tokens(50 + who, 10 * who, who))
            case "token" if who in begun:
                energy.first_token(begun[who], now_s)
            case "finish" if who in begun:
                ended.add(begun[who])
                energy.finished(begun.pop(who), now_s, Tokens(60, who, 3) if who % 2 else None)
            case "window":
                energy.counted(Window(energy.until_s, now_s, energy_j))
            case "gap":
                energy.counted(Window(energy.until_s, now_s, None, "sampling_gap"))
            case "settle":
                settled += settle(energy, now_s)
        joules = energy.joules
        parts_j = (joules.delivered_j, joules.undelivered_j, joules.unattributed_j, joules.pending_j)
        assert sum(parts_j) == pytest.approx(joules.counted_j, abs=1e-6)
    for name in begun.values():
        energy.finished(name, now_s + 1)
    energy.counted(Window(energy.until_s, now_s + 2, 123.0))
    settled += settle(energy, now_s + 100)

    delivered_j = sum(one.energy_j or 0.0 for one in settled)
    assert delivered_j == pytest.approx(energy.joules.delivered_j, abs=1e-6)
    assert energy.joules.pending_j == pytest.approx(0.0, abs=1e-6)
    assert sorted(one.request for one in settled) == sorted(ended | set(begun.values()))
