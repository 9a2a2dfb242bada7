"""The Grafana dashboard and the Prometheus rules speak of the metrics that there are, and of all of them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import yaml

from wattshed.domain.schema import LABELS, METRICS, OUTCOMES, Metric
from wattshed.errors import InputError
from wattshed.report.grafana import RECORDED, dashboard, rules, text_of

NAMES = {metric.name for metric in METRICS}


def expressions() -> list[str]:
    """Every PromQL expression of both."""
    return [str(text) for name, text in _leaves([dashboard(), rules()]) if name == "expr"]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_has_its_panel(metric: Metric) -> None:
    """A metric that the table gains is on the dashboard, with what it means."""
    panels = [panel for panel in _panels() if panel.get("description") == metric.name]

    assert [panel["title"] for panel in panels] == [metric.meaning]


def test_only_metrics_of_the_table_are_named() -> None:
    """Expressions name what the gateway exports, or what a rule records."""
    named = {name for text in expressions() for name in re.findall(r"wattshed[\w:]+", text)}

    assert {name.removesuffix("_bucket") for name in named} <= NAMES | set(RECORDED)


def test_labels_are_those_of_the_metric() -> None:
    """A filter or a grouping speaks of labels that the table has, and of outcomes that there are."""
    texts = expressions()

    filtered = {label for text in texts for label in re.findall(r"[{,]\s*(\w+)[=!]", text)}
    grouped = {
        label for text in texts for group in re.findall(r"(?:by|on) \(([^)]*)\)", text) for label in group.split(", ")
    }
    outcomes = {
        code for text in texts for codes in re.findall(r'outcome=~"([^"]+)"', text) for code in codes.split("|")
    }
    assert filtered | grouped <= {*LABELS, "le"}
    assert outcomes <= set(OUTCOMES)


def test_panels_do_not_overlap() -> None:
    """Two panels never share a place of Grafana's grid, and no two an id."""
    cells = [cell for panel in _panels() for cell in _cells(panel["gridPos"])]

    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in _panels()}) == len(_panels())


def test_both_can_be_written_to_files() -> None:
    """`python -m` prints JSON that parses; the rules are YAML; anything else is an error that says what there is."""
    command = [sys.executable, "-m", "wattshed.report.grafana", "dashboard"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert json.loads(printed) == dashboard()
    assert yaml.safe_load(text_of("rules")) == rules()
    with pytest.raises(InputError, match="dashboard"):
        text_of("graphs")


def _panels() -> list[dict[str, object]]:
    panels = dashboard()["panels"]
    assert isinstance(panels, list)
    return panels


def _cells(place: object) -> Iterator[tuple[int, int]]:
    assert isinstance(place, dict)
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            assert x < 24
            yield x, y


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, name)
    else:
        yield name, value
