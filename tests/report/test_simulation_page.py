"""The page of a simulation: its sections, and the words that qualify its numbers."""

from dataclasses import replace

import pytest

from tests.simulator.runs import run
from wattshed.profiler.interval import random_interval
from wattshed.report.page import page
from wattshed.report.simulation_page import lead, simulation_sections
from wattshed.report.simulation_words import caveats, shown, verdicts
from wattshed.simulator.results import Figure, told
from wattshed.simulator.results_comparison import Comparison, Tried


def comparison(*, idle_power_w: float | None = 7.0, warm_up_s: float = 0.0) -> Comparison:
    """A policy that takes twice as long as the other, three seeds each."""
    tried = []
    for name, by in (("slow", 2.0), ("fast", 1.0)):
        runs = [run(by * scale, idle_power_w) for scale in (1.0, 1.02, 1.04)]
        tried.append(Tried(name, tuple(told(one, warm_up_s=warm_up_s) for one in runs), runs[0]))
    return Comparison.of(
        tried, interval=random_interval, warm_up_s=warm_up_s, arrivals=("trace", False), boundary="GPU"
    )


def test_the_page_says_everything_once() -> None:
    """Verdict, times, joules, load and who served what, under a title of their own, with four pictures."""
    found = comparison()

    sections = simulation_sections(found)
    text = page("simulated", lead(found), sections)

    titles = ["What came of it", "How long it took", "What it cost", "Load and power", "Who served what"]
    assert [section.title for section in sections] == titles
    assert text.count("<img") == 4
    assert "4 queries, arrivals trace, 3 seeds; policies: slow, fast." in text
    assert "slow against fast: energy the same; 95 % of queries" in text


def test_a_verdict_has_a_size_and_bounds() -> None:
    """What is certain is said with its interval, as a share of what the other policy has."""
    (words,) = verdicts(comparison())

    assert words.endswith("95 % of queries within a time 8.16 s longer (100 %, 95.1 to 105).")


def test_numbers_are_qualified() -> None:
    """Boundary, what the intervals mean, what was left out, who serves alone, and what is not known."""
    words = list(caveats(comparison(idle_power_w=None, warm_up_s=1)))

    assert words[0].startswith("Boundary: GPU. Intervals are 95 %, Student's t over 3 seeds: the arrivals are the same")
    assert words[1] == "Times leave out queries of the first 1 s; joules are of the whole run."
    assert words[2].startswith("A query holds a slot of mac, a100 by itself")
    assert words[-1] == "Not known: nobody gave the power of a100 while idle; set idle_power_w in the fleet file."


def test_slow_policies_and_full_systems_are_named() -> None:
    """A policy at Python speed is named, and so is a system without a free slot."""
    found = comparison()
    own = found.summaries["slow"]
    full = replace(own.systems[0], utilisation=Figure(0.99, 0.98, 1.0))
    summaries = {**found.summaries, "slow": replace(own, compiled=False, systems=(full, own.systems[1]))}

    words = "\n".join(caveats(replace(found, summaries=summaries)))

    assert "slow cannot be compiled and ran at Python speed." in words
    assert "Under slow mac has hardly a free slot" in words
    assert "Under fast" not in words


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (Figure(None, None, None, "no"), "–"),
        (Figure(12.0, 12.0, 12.0), "12"),
        (Figure(1234.5, 1230.0, 1239.0), "1,234 ± 4.5"),
        (Figure(0.5, 0.49, 0.51), "0.5 ± 0.01"),
    ],
)
def test_a_figure_is_shown_with_half_its_interval(figure: Figure, words: str) -> None:
    """Nothing is invented for what is not known, and what no seed changes has no interval."""
    assert shown(figure) == words
