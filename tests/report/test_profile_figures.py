"""A legend says what tells its systems apart, and a bar is drawn where it can be read."""

from dataclasses import replace

from matplotlib.figure import Figure

from tests.report.contrasting import EAGER, UNCACHED, measured_on
from wattshed.report.canvas import drawn, panels
from wattshed.report.marks import LEAST_FOR_BARS, draw_points
from wattshed.report.profile_figures import first_token_figure, legend_names, power_figure
from wattshed.report.profile_points import Point


def test_a_name_suffices_where_names_differ() -> None:
    """Neither engine nor host stands in a legend that needs neither."""
    one, other = replace(EAGER, name="a"), replace(UNCACHED, name="b", host="host-b")

    assert legend_names([one, other]) == {one: "a", other: "b"}


def test_namesakes_are_told_apart_by_what_differs() -> None:
    """The cache tells, and the host only where nothing else does."""
    elsewhere = replace(EAGER, host="host-b")

    names = legend_names([EAGER, UNCACHED, elsewhere])

    assert names == {
        EAGER: "box · KV cache · host-a",
        UNCACHED: "box · no cache · host-a",
        elsewhere: "box · KV cache · host-b",
    }


@drawn
def barred(trials: int) -> Figure:
    """Two points of so many trials each."""
    figure, (axis,) = panels(1)
    draw_points(axis, [Point(at, 1.0, 0.1, trials) for at in (8, 32)], shown="C0", mark="o")
    return figure


def test_bars_start_at_three_trials() -> None:
    """The interval of two trials spans decades: it is left to the tables."""
    drawn_bars = {trials: sum(len(c.get_segments()) for c in barred(trials).axes[0].collections) for trials in (2, 3)}

    assert drawn_bars == {LEAST_FOR_BARS - 1: 0, LEAST_FOR_BARS: 2}


def test_prefill_stands_beside_decoding() -> None:
    """Two panels, a line a system in each."""
    trials = [replace(one, ttft_s=0.01) for one in measured_on(EAGER, 4.0)]

    figure = first_token_figure({EAGER: trials})

    assert [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes] == [
        "To the first token (ms)",
        "Each token after it (ms)",
    ]


def test_a_channel_that_stood_still_is_not_drawn() -> None:
    """A frozen counter has no line and no name in the legend."""
    figure = power_figure({"gpu0": [(0.0, 60.0), (1.0, 300.0)], "psys": [(0.0, 0.0), (1.0, 0.0)]})

    assert [line.get_label() for line in figure.axes[0].lines] == ["gpu0"]
