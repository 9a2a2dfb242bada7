"""The dashboard's document: unknown is null with a reason, memory is bounded, and nothing is counted twice."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.telemetry.boards import SYSTEMS, MadeUp, busy, row
from wattshed.domain.schema import RECEIPT_REASONS
from wattshed.gateway.ledger.ledger import LedgerState, Row, Settlement
from wattshed.gateway.telemetry.board import MOST_POINTS, MOST_SETTLED, STATE_PERIOD_S, event_of
from wattshed.testing import VirtualClock


def document(made_up: MadeUp) -> dict[str, Any]:
    """What the page is sent, parsed."""
    parsed: dict[str, Any] = json.loads(made_up.state())
    return parsed


def filled(ledger: LedgerState | None = None) -> dict[str, Any]:
    """The document of a fleet that has served 302 requests."""
    made_up = MadeUp(VirtualClock(100.0).now_s, ledger)
    busy(made_up)
    return document(made_up)


def test_before_the_first_request_nothing_is_known() -> None:
    """Joules that nobody has used are null, because no request has ended, and not 0."""
    said = document(MadeUp(VirtualClock(100.0).now_s))

    assert said["totals"]["energy_j"] is None
    assert said["totals"]["saved_j"] is None
    assert said["totals"]["reasons"] == {
        **dict.fromkeys(("energy_j", "energy_per_token_j", "baseline_j", "saved_j"), "no_requests"),
        "power_w": "agent_gone",
    }
    assert said["minute"]["energy_j"] is None
    assert said["recent"] == said["plane"] == []


@pytest.mark.parametrize("part", ["totals", "minute", "systems", "recent"])
def test_every_null_number_has_a_reason(part: str) -> None:
    """Of the joules and watts, null stands beside a known code, and a number beside none."""
    views = filled()[part]

    for view in views if isinstance(views, list) else [views]:
        for name in (name for name in view if name.endswith(("energy_j", "power_w", "per_token_j", "attributed_j"))):
            code = view["reasons"].get(name)
            assert (view[name] is None) == (code is not None), name
            assert code is None or code in {*RECEIPT_REASONS, "no_requests"}


def test_savings_are_those_of_telemetry() -> None:
    """The board passes on what telemetry counted, with its interval around it."""
    made_up = MadeUp(VirtualClock(100.0).now_s)
    busy(made_up)
    snapshot = made_up.telemetry.snapshot()

    totals = document(made_up)["totals"]

    assert (totals["saved_lower_j"], totals["saved_j"], totals["saved_upper_j"]) == pytest.approx(
        (snapshot.saved_j.lower, snapshot.saved_j.value, snapshot.saved_j.upper)
    )
    assert totals["saved_lower_j"] < totals["saved_j"] < totals["saved_upper_j"]
    assert totals["energy_j"] == pytest.approx(snapshot.hindsight_j)


def test_what_has_drifted_is_said_with_what_has_not() -> None:
    """Of each quantity that was checked: how many checks, how many outside on which side, and whether that is drift."""
    drift = {one["system"]: one for one in filled()["drift"]}

    assert drift["m1-pro"] == {
        "system": "m1-pro",
        "model": "llama-2-7b",
        "quantity": "runtime",
        "checks": 5,
        "below": 0,
        "above": 5,
        "drifted": True,
    }
    assert (drift["a100"]["below"], drift["a100"]["above"], drift["a100"]["drifted"]) == (0, 0, False)


def test_systems_show_their_breaker_slots_and_power() -> None:
    """An open breaker says why and for how long; a system without an agent has no watts."""
    desk, rack, spare = filled()["systems"]

    assert (desk["power_w"], rack["power_w"], spare["power_w"]) == (31.0, 412.0, None)
    assert (rack["in_flight"], rack["slots"], rack["waiting"]) == (7, 8, 3)
    assert (rack["asleep"], spare["asleep"]) == (False, True)
    assert (spare["circuit"], spare["failure"], spare["retry_in_s"]) == ("open", "connect_failed", 7.0)
    assert spare["reasons"]["power_w"] == spare["reasons"]["attributed_j"] == "no_agent"


def test_a_shared_node_counts_once() -> None:
    """Watts of the fleet are those of nodes, and say how many of them are metered."""
    totals = filled()["totals"]

    assert totals["power_w"] == 31.0 + 412.0
    assert (totals["metered_nodes"], totals["nodes"]) == (2, 3)


def test_a_system_without_standing_is_not_known() -> None:
    """While a reload swaps the fleet, slots and breaker of a system may be missing: null, with a reason."""
    made_up = MadeUp(VirtualClock(100.0).now_s)
    made_up.conditions.clear()
    made_up.standings = list  # type: ignore[method-assign,assignment]  # nobody stands
    made_up.board = type(made_up.board)(made_up.standings, now_s=lambda: 100.0)

    system = document(made_up)["systems"][0]

    assert (system["circuit"], system["slots"]) == (None, None)
    assert system["reasons"]["circuit"] == "not_known"


def test_the_minute_forgets() -> None:
    """After 60 s without requests nothing has ended in the last minute, and joules per token are not known."""
    clock = VirtualClock(100.0)
    made_up = MadeUp(clock.now_s)
    made_up.tell(row(1, 10, 30))
    spent_j = row(1, 10, 30).hindsight_energy_j

    clock.sleep(30.0)
    minute = document(made_up)["minute"]
    assert (minute["window_s"], minute["requests"], minute["tokens"]) == (30.0, 1, 40)
    assert minute["energy_per_token_j"] == pytest.approx((spent_j or 0.0) / 40)

    clock.sleep(31.0)
    minute = document(made_up)["minute"]
    assert (minute["window_s"], minute["requests"], minute["energy_j"]) == (60.0, 0, None)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.0, 3.0), max_size=80))
def test_the_minute_is_a_sum_over_the_last_seconds(pauses_s: list[float]) -> None:
    """Requests of the minute are those that ended in it, give or take the second in which it begins."""
    clock = VirtualClock(1000.0)
    made_up, ended_at_s = MadeUp(clock.now_s), []
    for number, pause_s in enumerate(pauses_s):
        clock.sleep(pause_s)
        made_up.tell(row(number))
        ended_at_s.append(clock.now_s())

    counted = document(made_up)["minute"]["requests"]

    ages_s = [clock.now_s() - at_s for at_s in ended_at_s]
    assert sum(age_s < 59 for age_s in ages_s) <= counted <= sum(age_s < 60 for age_s in ages_s)


def test_the_plane_keeps_the_last_points() -> None:
    """Points are bounded, newest last, and name their system by its place."""
    made_up = MadeUp(VirtualClock(100.0).now_s)
    for number in range(MOST_POINTS + 10):
        made_up.tell(row(number, 10 + number, 20))

    plane = document(made_up)["plane"]

    assert len(plane) == MOST_POINTS
    assert plane[-1][1:] == [10 + MOST_POINTS + 9, 20]
    assert {SYSTEMS[place] for place, _, _ in plane} == {"m1-pro"}


def test_points_of_systems_that_have_gone_are_left_out() -> None:
    """A point whose system a reload took away has no place."""
    made_up = MadeUp(VirtualClock(100.0).now_s)
    made_up.tell(row(1)._replace(system="sold"))

    assert document(made_up)["plane"] == []


def test_attributed_joules_find_their_request() -> None:
    """A settlement that comes after the row shows beside it; one without joules shows its reason."""
    made_up = MadeUp(VirtualClock(100.0).now_s)
    for number in range(3):
        made_up.tell(row(number))
    made_up.telemetry.tell(Settlement("r0", 12.5, 3.0, None))
    made_up.telemetry.tell(Settlement("r1", None, None, "agent_gone"))

    newest, middle, oldest = document(made_up)["recent"]

    assert oldest["attributed_energy_j"] == 12.5
    assert middle["reasons"]["attributed_energy_j"] == "agent_gone"
    assert newest["reasons"]["attributed_energy_j"] == "pending"


def test_settlements_are_bounded() -> None:
    """However many joules come for rows that are not shown any more, a bounded number is kept."""
    made_up = MadeUp(VirtualClock(100.0).now_s)
    for number in range(3 * MOST_SETTLED):
        made_up.board.heard(Settlement(f"r{number}", 1.0, None, None))

    assert len(made_up.board._settled) == MOST_SETTLED


def test_no_key_is_shown() -> None:
    """Whose request it was stays between the ledger and the operator, and long names are cut."""
    made_up = MadeUp(VirtualClock(100.0).now_s)
    made_up.tell(row(1)._replace(key="hospital", model="x" * 10_000))

    said = made_up.state()

    assert b"hospital" not in said
    assert len(said) < 5_000


def test_the_state_is_made_once_a_second() -> None:
    """However many watch, the same bytes go out until the period is over."""
    clock = VirtualClock(100.0)
    made_up = MadeUp(clock.now_s)
    first = made_up.state()
    made_up.tell(row(1))

    assert made_up.state() is first
    clock.sleep(STATE_PERIOD_S)
    assert json.loads(made_up.state())["totals"]["requests"] == 1


def test_an_event_is_one_line() -> None:
    """A line break within a text does not end the event."""
    made_up = MadeUp(VirtualClock(100.0).now_s)
    made_up.tell(row(1)._replace(choice="two\nlines\r\n"))

    event = event_of(made_up.state())

    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2


def test_the_ledger_s_trouble_is_told() -> None:
    """A ledger that cannot be written says so on the page."""
    said = filled(LedgerState(5, {"dropped": 2}, {}, "the disk is full"))

    assert said["ledger"] == {"waiting": 5, "dropped": 2, "problem": "the disk is full"}


def test_a_refused_request_was_sent_nowhere() -> None:
    """A request that no system got has no joules, for that reason."""
    made_up = MadeUp(VirtualClock(100.0).now_s)
    made_up.tell(Row("r", row(0).arrived_at, outcome="refused", failure="model_not_found"))

    (decision,) = document(made_up)["recent"]

    assert decision["system"] is None
    assert decision["reasons"]["predicted_energy_j"] == decision["reasons"]["hindsight_energy_j"] == "not_placed"
