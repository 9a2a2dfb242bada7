"""Two machines side by side: climbs over company, the picture, the words and the drift, all from known factors."""

from dataclasses import replace

import pytest

from tests.report.machines import IN_FLIGHT, LENGTHS, NEW, OLD, both, machine
from wattshed.domain.measurement import Profile
from wattshed.report.comparison import compare, differs
from wattshed.report.drift import between_campaigns, drifts
from wattshed.report.drift_page import drift_words
from wattshed.report.levels import shared_climbs
from wattshed.report.machines_figure import has_maps, machines_figure
from wattshed.report.machines_words import climb_words


def test_climbs_are_shared_where_both_did_the_same_work() -> None:
    """The batches of both, at the lengths that they have in common; lone cells climb nowhere."""
    ours, theirs = both()

    ((mine, other),) = shared_climbs(ours, theirs, "gpu")

    assert (mine.input_tokens, mine.output_tokens) == LENGTHS[-1]
    assert [level.in_flight for level in other.levels] == list(IN_FLIGHT)
    assert mine.levels[0].joules is not None
    assert mine.levels[0].joules.lower < mine.levels[0].joules.value < mine.levels[0].joules.upper


def test_nothing_is_shared_with_a_machine_that_did_other_work() -> None:
    """No climb, no map, and so no picture."""
    ours, _ = both()
    other = Profile("other", tuple(replace(t, system=replace(t.system, model="toy")) for t in ours.measurements))

    assert shared_climbs(ours, other, "gpu") == []
    assert not has_maps(compare(ours, other, "gpu"))


def test_words_tell_company_from_the_machine() -> None:
    """64 in flight share a step eight ways on either machine; the new one takes 0.80 times the joules at each."""
    (said,) = climb_words(shared_climbs(*both(), "gpu"))

    assert "from 1 to 64 requests in flight the joules of an output token fall by a factor of 8.0 on" in said
    assert "new (graph) takes 0.80 times the joules of old (graph)" in said


def test_the_picture_has_a_climb_and_a_map_each_for_joules_and_seconds() -> None:
    """Two rows of a climb and a map, none where hosts pace all; hatched where devices leave it open: seconds."""
    ours, theirs = both()
    compared = compare(ours, theirs, "gpu")

    drawing = machines_figure(compared, shared_climbs(ours, theirs, "gpu"))

    assert len(drawing.axes) == 4
    hatched = [sum(bool(patch.get_hatch()) for patch in axis.patches) for axis in drawing.axes]
    open_ = sum(not differs(one.seconds_ratio) for one in compared if one.ours.kv_cache is False)
    assert max(hatched) == open_ > 0
    assert sum(hatched) == open_


def test_of_two_hosts_the_picture_has_the_surer() -> None:
    """Where two hosts did the same work, the climb with more windows is drawn, and the words have both."""
    ours, theirs = both()
    again = tuple(replace(trial, system=replace(trial.system, name="twice")) for trial in theirs.measurements)
    more = replace(theirs, measurements=(*theirs.measurements, *again, *again))
    climbs = shared_climbs(ours, more, "gpu")

    drawing = machines_figure(compare(ours, more, "gpu"), climbs)

    named = [text.get_text() for text in drawing.legends[0].get_texts()]
    assert len(list(climb_words(climbs))) == 2
    assert [name for name in named if name in {"old (graph)", "twice"}] == ["twice"]


def test_drift_is_told_by_session() -> None:
    """Two sessions of one system have a row each, and a sentence says how far apart their means lie."""
    first = machine(NEW, joules=1.0)
    again = machine(NEW, joules=1.1, seed=3)
    later = tuple(replace(trial, session=1) for trial in again.measurements)
    found = replace(first, measurements=(*first.measurements, *later))

    rows = drifts(found, "gpu")
    (said,) = drift_words(found, Profile("none", machine(replace(OLD, model="toy")).measurements[:1]), "gpu")

    assert [one.session for one in rows] == [0, 1]
    assert rows[1].mean_energy_j == pytest.approx(1.1 * (rows[0].mean_energy_j or 0), rel=0.01)
    assert "the means of 2 sessions lie" in said


def test_campaigns_of_one_machine_on_two_hosts_are_compared_once() -> None:
    """The same work under the same name on another host: one pair, and its ratio is the factor between them."""
    first, second = machine(NEW), machine(replace(NEW, host="host-z"), joules=1.2, seed=4)
    found = replace(first, measurements=(*first.measurements, *second.measurements))

    (one,) = between_campaigns(found, found, "gpu")

    assert {one.ours.host, one.theirs.host} == {"host-a", "host-z"}
    assert one.joules_ratio is not None
    assert one.joules_ratio.value == pytest.approx(1.2, rel=0.01)
