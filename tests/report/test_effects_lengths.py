"""Windows that met new lengths are found by the order of trials, and stand beside those that had met them."""

from dataclasses import replace

import pytest

from tests.predictors.cases import trial
from tests.report.contrasting import EAGER, GRAPH
from wattshed.datasets.profiles import read_profile
from wattshed.domain.measurement import Measurement
from wattshed.domain.system import System
from wattshed.report.effects_lengths import MOST_NEW, lengths_section, meetings, new_shares
from wattshed.report.page import Prose, Table


def window(order: int, shape: tuple[int, int], energy_j: float, system: System = EAGER) -> Measurement:
    """One whole window of 6 s at 100 W in the first session."""
    one = trial("grid", shape, order, energy_j, system=system)
    return replace(one, session=0, order=order, window_s=6.0, window_queries=1)


FIRST = window(0, (64, 16), 32.0)
"""The first of the session, at lengths of its own."""


def test_new_lengths_follow_from_the_order() -> None:
    """A length is new once in a session; half of a later cell's may have been met before."""
    trials = [window(1, (24, 16), 32.0), window(0, (16, 16), 32.0), window(2, (16, 16), 32.0)]

    assert [share for _, share in new_shares(trials)] == pytest.approx([1.0, 0.5, 0.0])


def test_each_session_loads_its_model_anew() -> None:
    """What one session met is new to the next."""
    first = window(0, (16, 16), 32.0)

    assert [share for _, share in new_shares([first, replace(first, session=1)])] == [1.0, 1.0]


def test_queries_after_the_first_meet_nothing_new() -> None:
    """A window of four rounds meets a new length in a quarter of its steps."""
    ((_, share),) = new_shares([replace(window(0, (16, 16), 32.0), window_queries=4)])

    assert share == 0.25


def test_a_new_window_stands_beside_its_own_cell() -> None:
    """The cell itself shares all lengths; what differs is the order."""
    cold, warm, other = window(1, (16, 16), 64.0), window(2, (16, 16), 32.0), window(3, (24, 8), 8.0)

    (found,) = meetings([FIRST, cold, warm, other])

    assert found.common_share == 1.0
    assert found.token_j("total") == pytest.approx((4.0, 2.0))
    assert found.step_s == pytest.approx((0.04, 0.02))


def test_the_first_window_of_a_session_is_left_out() -> None:
    """It pays for what the engine does once as well, and its lengths cannot be told from that."""
    first, again = window(0, (16, 16), 64.0), window(1, (16, 16), 32.0)

    assert meetings([again, first]) == []


def test_a_graph_has_no_new_lengths() -> None:
    """A static graph's shapes never change, so none of its windows is shown."""
    cold, warm = window(1, (16, 16), 64.0, GRAPH), window(2, (16, 16), 32.0, GRAPH)

    assert lengths_section([FIRST, cold, warm], "total") is None


def test_the_section_says_how_much() -> None:
    """A paragraph a model, with one window in the singular."""
    section = lengths_section([FIRST, window(1, (16, 16), 64.0), window(2, (16, 16), 32.0)], "total")

    assert section is not None
    assert isinstance(section.blocks[0], Prose)
    assert "in 1 window, 100 % of the steps" in section.blocks[0].text
    assert "2.00 times the joules" in section.blocks[0].text
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert table.rows[0][:4] == ("box", "16, 16", "1", "100 %")


@pytest.mark.parametrize("name", ["h100", "h200"])
def test_the_bundle_marks_what_the_rule_finds(name: str) -> None:
    """In our profiles every window of Llama and Mistral that met new lengths is a warm-up, as decision 0008 says."""
    shares = new_shares(read_profile(f"bundled:{name}").measurements)

    cold = [one for one, share in shares if share > MOST_NEW and "falcon" not in one.system.model]

    assert cold
    assert all(one.warm_up for one in cold if (one.system.engine or "").endswith("eager"))
