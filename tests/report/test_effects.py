"""What one change does to an output token, cell by cell."""

from dataclasses import replace

import pytest

from tests.report.contrasting import EAGER, GRAPH, SHAPES, UNCACHED, contrasting, measured_on
from wattshed.domain.measurement import Profile
from wattshed.domain.system import System
from wattshed.report.effects import Effect, batches, contrasts
from wattshed.report.effects_figures import contrast_figure
from wattshed.report.effects_page import TITLES, effect_pictures, effect_sections
from wattshed.report.effects_words import batch_words, contrast_table, contrast_words
from wattshed.report.page import Prose
from wattshed.report.profile_points import measured

TRIALS = measured(contrasting())


@pytest.mark.parametrize(
    ("effect", "sides", "shapes", "ratio"),
    [("cache", (UNCACHED, EAGER), SHAPES, 3.0), ("launch", (EAGER, GRAPH), SHAPES[1::2], 2.0)],
)
def test_a_contrast_pairs_what_both_sides_measured(
    effect: Effect, sides: tuple[System, System], shapes: tuple[tuple[int, int], ...], ratio: float
) -> None:
    """Two systems that differ in one thing, only in the cells of both, and the ratio that follows."""
    (found,) = contrasts(TRIALS, effect, "total")

    assert (found.before, found.after) == sides
    assert tuple(pair.shape for pair in found.pairs) == shapes
    assert [pair.joules_ratio for pair in found.pairs] == pytest.approx([ratio] * len(shapes))
    assert [pair.seconds_ratio for pair in found.pairs] == pytest.approx([ratio] * len(shapes))


def test_the_hosts_own_contrast_is_preferred() -> None:
    """Across hosts a contrast is drawn only where no host measured both sides."""
    elsewhere = replace(UNCACHED, host="host-b")
    both = Profile("p", (*contrasting().measurements, *measured_on(elsewhere, 20.0)))
    apart = Profile("p", (*measured_on(elsewhere, 20.0), *measured_on(EAGER, 4.0)))

    (at_home,) = contrasts(measured(both), "cache", "total")
    (across,) = contrasts(measured(apart), "cache", "total")

    assert at_home.before.host == "host-a"
    assert across.before.host == "host-b"
    assert "different host labels" in contrast_words(across, "cache")


def test_a_cell_is_contrasted_across_hosts_once() -> None:
    """Where two hosts have the same cells with a cache, the one that has more of them stands for both."""
    first, second = (replace(EAGER, name=name, host=name) for name in ("first", "second"))
    trials = (*measured_on(UNCACHED, 12.0), *measured_on(first, 4.0), *measured_on(second, 4.0, shapes=SHAPES[:1]))

    (found,) = contrasts(measured(Profile("p", trials)), "cache", "total")

    assert found.after == first


def test_the_same_cells_are_contrasted_across_hosts_once() -> None:
    """Where two hosts have just the same cells with a cache, the first stands for both."""
    first, second = (replace(EAGER, name=name, host=name) for name in ("first", "second"))
    trials = (*measured_on(UNCACHED, 12.0), *measured_on(first, 4.0), *measured_on(second, 4.0))

    (found,) = contrasts(measured(Profile("p", trials)), "cache", "total")

    assert found.after == first


def test_rows_of_one_model_are_told_apart() -> None:
    """Two contrasts of a model have the names of their sides above them; one has the model's alone."""
    other = replace(UNCACHED, name="other", host="host-b"), replace(EAGER, name="else", host="host-b")
    pairs = (*measured_on(other[0], 9.0), *measured_on(other[1], 3.0))
    both = measured(Profile("p", (*contrasting().measurements, *pairs)))

    two, one = (contrast_figure(contrasts(trials, "cache", "total"), "cache") for trials in (both, TRIALS))

    names = [axes.get_title(loc="left").splitlines()[:-1] for axes in two.axes[::3]]
    assert [EAGER.model, "box", "box"] in names
    assert [EAGER.model, "other", "else"] in names
    assert one.axes[0].get_title(loc="left").splitlines()[0] == EAGER.model


def test_lone_points_are_left_to_the_words() -> None:
    """A contrast without two cells in a line has no row where another has; the caption counts it."""
    other = replace(UNCACHED, name="other", host="host-b"), replace(EAGER, name="else", host="host-b")
    lone = (*measured_on(other[0], 9.0, shapes=SHAPES[:1]), *measured_on(other[1], 3.0, shapes=SHAPES[:1]))
    both = measured(Profile("p", (*contrasting().measurements, *lone)))

    figure = contrast_figure(contrasts(both, "cache", "total"), "cache")

    assert len(contrasts(both, "cache", "total")) == 2
    assert len(figure.axes) == 3
    assert "1 pair of systems without two cells in a line" in effect_pictures(both, "total")["cache"].caption


def test_requests_in_flight_share_a_batch() -> None:
    """A shape at several concurrencies is one line, rising; joules are those of one request."""
    (found,) = batches(TRIALS, "total")

    assert (found.system, found.shape) == (GRAPH, (512, 128))
    assert [cost.runtime.at for cost in found.costs] == [1, 4]
    assert [cost.energy.mean for cost in found.costs if cost.energy] == pytest.approx([2.0, 0.5])


def test_what_the_host_paced_is_counted() -> None:
    """Words and table name the side that the host paced, and no mean hides it."""
    (found,) = contrasts(TRIALS, "cache", "total")

    words = contrast_words(found, "cache")
    table = contrast_table(found, "cache")

    assert "The host set the pace of 0 of 4 cells without a KV cache and of 4 with one" in words
    assert "in every pair a side tells of the host as well" in words
    assert {row[-1] for row in table.rows} == {"with it"}


def test_pairs_of_the_device_alone_are_told_apart() -> None:
    """Where the device paced both sides, their factor is said by itself."""
    mixed = Profile("p", (*measured_on(UNCACHED, 12.0), *measured_on(EAGER, 4.0, shapes=SHAPES[:3], bound="host"),
                          *measured_on(EAGER, 6.0, shapes=SHAPES[3:])))  # fmt: skip
    (found,) = contrasts(measured(mixed), "cache", "total")

    assert "in the one pair that it left to the device the factor in joules is 2.00." in contrast_words(found, "cache")


def test_batches_are_told_in_joules_and_time() -> None:
    """How many times less energy, and how much longer each waits."""
    (found,) = batches(TRIALS, "total")

    assert batch_words(found).startswith(f"{GRAPH.model}, {GRAPH.engine} on {GRAPH.name}, ")
    assert "from 2 J to 0.5 J, 4.0 times less" in batch_words(found)
    assert "The device set the pace" in batch_words(found)


def test_every_effect_has_its_section() -> None:
    """A paragraph, a picture and every cell, in the order of the page."""
    sections = effect_sections(TRIALS, "total", effect_pictures(TRIALS, "total"))

    assert list(sections) == list(TITLES)
    assert all(isinstance(section.blocks[0], Prose) for section in sections.values())


def test_without_a_meter_the_seconds_remain() -> None:
    """Trials without joules still show their time; the words leave joules out."""
    bare = [replace(one, gpu_energy_j=None, cpu_energy_j=None) for one in contrasting().measurements]
    trials = measured(Profile("bare", tuple(bare)))

    sections = effect_sections(trials, "total", effect_pictures(trials, "total"))

    assert list(sections) == list(TITLES)
    assert "joules" not in sections["cache"].blocks[0].text  # type: ignore[union-attr]  # the first block is prose


def test_a_lone_trial_has_no_interval() -> None:
    """One trial is called one, not an interval of no width."""
    lone = Profile("p", (*measured_on(UNCACHED, 12.0)[:1], *measured_on(EAGER, 4.0)[:2]))
    (found,) = contrasts(measured(lone), "cache", "total")

    row = contrast_table(found, "cache").rows[0]

    assert "(one trial)" in row[2]
    assert "±" in row[3]


def test_nothing_to_compare_is_left_out() -> None:
    """A profile of one configuration has no effects."""
    assert effect_pictures(measured(Profile("p", tuple(measured_on(EAGER, 4.0)))), "total") == {}


def test_a_length_keeps_its_colour_in_every_row() -> None:
    """The legend names every length of any model, though the first lacks some."""
    short = replace(UNCACHED, model="a"), replace(EAGER, model="a")
    few = [one for system in short for one in measured_on(system, 4.0, shapes=SHAPES[2:])]
    trials = measured(Profile("p", (*few, *contrasting().measurements)))

    figure = contrast_figure(contrasts(trials, "cache", "total"), "cache")

    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named[:2] == ["m = 8", "m = 512"]
    colours = {line.get_color() for axes in (figure.axes[0], figure.axes[3]) for line in axes.lines[:1]}
    assert len(colours) == 2


def test_words_end_where_they_end() -> None:
    """A paragraph has no trailing blank, whatever it leaves out."""
    words = [
        contrast_words(one, effect) for effect in ("cache", "launch") for one in contrasts(TRIALS, effect, "total")
    ]

    assert words
    assert all(said == said.strip() and "  " not in said for said in words)
