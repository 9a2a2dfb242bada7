"""What `wattshed demo` says of the requests that it served."""

from dataclasses import replace

import pytest
from rich.console import Console

from wattshed.cli.demo_replay import LABELS, replay_document, replay_section, replay_table, replay_words, sampled
from wattshed.datasets.workloads import read_workload
from wattshed.gateway.demo.replaying import RULES, Replayed

KEPT = Replayed("argmin", "least cost", 200, 200, 200, {"mac": 60, "a100": 140}, 9e3, 8e3, 9e3, 10e3, 9e3)


def test_lengths_are_drawn_as_frequent_as_they_are() -> None:
    """One seed draws one sample, whose means are near those of all 52,002 pairs."""
    workload = read_workload("bundled:alpaca")

    queries = sampled(workload, 2000)

    mean = float(workload.queries @ workload.output_tokens) / workload.total_queries
    assert queries == sampled(workload, 2000) != sampled(workload, 2000, seed=1)
    assert sum(query.output_tokens for query in queries) / 2000 == pytest.approx(mean, rel=0.1)


def test_every_policy_has_a_row_and_a_name() -> None:
    """The table holds predicted, attributed and baseline joules, and what was saved."""
    console = Console(width=200, record=True)

    console.print(replay_table([replace(KEPT, rule=rule) for rule in RULES]))

    text = " ".join(console.export_text().split())
    assert all(label in text for label in LABELS.values())
    assert text.count(" ".join(["60", "140", "9.0", "9.0", "10.0", "+10.0"])) == len(RULES)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (KEPT, "least energy, lengths learned saves 10.0 %."),
        (replace(KEPT, attributed_energy_j=12e3), "least energy, lengths learned costs 20.0 % more."),
        (replace(KEPT, attributed_energy_j=10e3), "least energy, lengths learned saves nothing."),
        (replace(KEPT, attributed=199), "1 of 200 requests have no joules, or no answer."),
    ],
)
def test_words_say_what_is_saved_and_what_is_missing(one: Replayed, words: str) -> None:
    """Less, more or the same, and never a saving without the joules of all."""
    assert words in replay_words([one])


def test_page_and_document_say_the_same() -> None:
    """The section and the JSON hold the table's figures."""
    section, document = replay_section([KEPT]), replay_document([KEPT])

    assert "gateway" in section.title
    assert document["policies"] == [
        {
            "rule": "argmin",
            "policy": "least cost",
            "sent": 200,
            "answered": 200,
            "attributed": 200,
            "served": {"mac": 60, "a100": 140},
            "predicted_energy_j": 9e3,
            "hindsight_energy_j": 8e3,
            "attributed_energy_j": 9e3,
            "baseline_energy_j": 10e3,
            "metered_energy_j": 9e3,
            "label": "least energy, lengths learned",
            "saved": pytest.approx(0.1),
        }
    ]
