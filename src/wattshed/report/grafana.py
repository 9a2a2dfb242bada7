"""A Grafana dashboard and Prometheus rules for the gateway, made from the table of its metrics.

    python -m wattshed.report.grafana dashboard > wattshed.json
    python -m wattshed.report.grafana rules > wattshed-rules.yaml

The dashboard has a row of figures that people ask for first and then one panel for every metric of `schema.METRICS`, so
none is forgotten: rates of counters (joules a second are watts), gauges as they are, and the median and 95th percentile
of histograms.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from wattshed.domain.schema import METRICS, Metric
from wattshed.errors import InputError

Json = dict[str, object]

WINDOW: Final = "5m"
"""What rates are taken over in rules; panels leave it to Grafana."""

MOST_OUTSIDE: Final = 0.2
"""Share of live values outside their 95 % interval that counts as drift: four times as many as there should be."""

WIDE: Final = 24
"""Columns of a Grafana row."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number at the top: a PromQL expression and Grafana's name of its unit."""

    title: str
    expression: str
    unit: str


TOKENS: Final = 'sum(rate(wattshed_tokens_total{kind=~"input|output"}[%s]))'
FIGURES: Final = (
    Figure("Power, metered", "sum(wattshed_power_watts)", "watt"),
    Figure(
        "Energy per token, predicted",
        f"sum(rate(wattshed_hindsight_joules_total[{WINDOW}])) / {TOKENS % WINDOW}",
        "joule",
    ),
    Figure("Saved against the baseline", "sum(wattshed_saved_joules)", "joule"),
    Figure("at least (95 %)", "sum(wattshed_saved_lower_joules)", "joule"),
    Figure("at most (95 %)", "sum(wattshed_saved_upper_joules)", "joule"),
    Figure("Systems that take requests", "sum(wattshed_available)", "short"),
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule: what is wrong where the expression has a value for so long, and what to do."""

    name: str
    expression: str
    lasting: str
    severity: str
    summary: str


RECORDED: Final = {
    "wattshed:joules_per_token:rate5m": FIGURES[1].expression,
    "wattshed:saved_share": "sum(wattshed_saved_joules) / sum(wattshed_baseline_joules_total)",
    "wattshed:failed_share:rate5m": (
        f'sum(rate(wattshed_requests_total{{outcome=~"failed|broken|overloaded"}}[{WINDOW}]))'
        f" / sum(rate(wattshed_requests_total[{WINDOW}]))"
    ),
    "wattshed:outside_share:rate1h": (
        'sum by (system, quantity) (rate(wattshed_drift_checks_total{side!="inside"}[1h]))'
        " / sum by (system, quantity) (rate(wattshed_drift_checks_total[1h]))"
    ),
}
"""Recorded series by name; alerts below read some of them."""

ALERTS: Final = (
    Alert(
        "WattshedSystemDown",
        "wattshed_available == 0",
        "2m",
        "warning",
        "{{ $labels.system }} takes no requests: see its last failure on /dashboard, and its own log.",
    ),
    Alert(
        "WattshedNobodyServes",
        "sum(wattshed_available) == 0",
        "1m",
        "critical",
        "No system takes requests: clients are turned away.",
    ),
    Alert(
        "WattshedRequestsFail",
        "wattshed:failed_share:rate5m > 0.05",
        "5m",
        "warning",
        "More than 5 % of requests fail, break off or are turned away: see wattshed_attempts_total by failure.",
    ),
    Alert(
        "WattshedDrift",
        f"wattshed:outside_share:rate1h > {MOST_OUTSIDE}",
        "1h",
        "warning",
        "Live {{ $labels.quantity }} of {{ $labels.system }} has left its predictions: refit them from the ledger.",
    ),
    Alert(
        "WattshedMeterSilent",
        f'sum by (node) (rate(wattshed_energy_windows_total{{reason!="counted"}}[{WINDOW}])) > 0'
        f' unless on (node) sum by (node) (rate(wattshed_energy_windows_total{{reason="counted"}}[{WINDOW}])) > 0',
        "5m",
        "warning",
        "No joules come from {{ $labels.node }}: see that `wattshed agent` runs there and may read its meters.",
    ),
    Alert(
        "WattshedLedgerFails",
        f"sum by (failure) (increase(wattshed_ledger_failures_total[{WINDOW}])) > 0",
        "5m",
        "warning",
        "The ledger cannot be written ({{ $labels.failure }}); rows wait in memory.",
    ),
    Alert(
        "WattshedRowsLost",
        f'sum(increase(wattshed_ledger_rows_total{{result=~"dropped|refused"}}[{WINDOW}])) > 0',
        "0m",
        "critical",
        "Rows of the ledger are lost: the store is too slow, away, or refuses them.",
    ),
)


def dashboard(metrics: Iterable[Metric] = METRICS) -> Json:
    """The dashboard, as Grafana (10 or later) imports it."""
    top = [_figure(figure, place) for place, figure in enumerate(FIGURES)]
    panels = [_panel(metric, place) for place, metric in enumerate(metrics)]
    return {
        "uid": "wattshed",
        "title": "Wattshed",
        "tags": ["energy", "llm"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [{**panel, "id": number} for number, panel in enumerate([*top, *panels], start=1)],
    }


def rules() -> Json:
    """Recording rules and alerts, as Prometheus reads them."""
    recorded: Sequence[Json] = [{"record": name, "expr": expression} for name, expression in RECORDED.items()]
    alerts: Sequence[Json] = [
        {
            "alert": alert.name,
            "expr": alert.expression,
            "for": alert.lasting,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary},
        }
        for alert in ALERTS
    ]
    return {"groups": [{"name": "wattshed", "rules": recorded}, {"name": "wattshed-alerts", "rules": alerts}]}


def _figure(figure: Figure, place: int) -> Json:
    width = WIDE // len(FIGURES)
    return {
        **_framed("stat", figure.title, figure.unit, [(figure.expression, "")]),
        "gridPos": {"x": width * place, "y": 0, "w": width, "h": 4},
    }


def _panel(metric: Metric, place: int) -> Json:
    """The panel of one metric, two side by side."""
    width = WIDE // 2
    return {
        **_framed("timeseries", metric.meaning, _unit(metric), _series(metric)),
        "description": metric.name,
        "gridPos": {"x": width * (place % 2), "y": 4 + 8 * (place // 2), "w": width, "h": 8},
    }


def _framed(kind: str, title: str, unit: str, series: Iterable[tuple[str, str]]) -> Json:
    """A panel with its source, unit and series; each of these is an expression and the pattern of its name."""
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "type": kind,
        "title": title,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend, "datasource": source}
            for number, (expression, legend) in enumerate(series)
        ],
    }


def _series(metric: Metric) -> list[tuple[str, str]]:
    by = f"by ({', '.join(metric.labels)}) " if metric.labels else ""
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels) or metric.name
    if metric.kind == "histogram":
        by = f"by ({', '.join(('le', *metric.labels))}) "
        rate = f"sum {by}(rate({metric.name}_bucket[$__rate_interval]))"
        return [(f"histogram_quantile({p}, {rate})", f"{legend} p{round(100 * p)}") for p in (0.5, 0.95)]
    if metric.kind == "counter":
        return [(f"sum {by}(rate({metric.name}[$__rate_interval]))", legend)]
    return [(f"sum {by}({metric.name})", legend)]


def _unit(metric: Metric) -> str:
    """Grafana's name of the unit that a panel shows."""
    if metric.name.endswith("_seconds"):
        return "s"
    if metric.name.endswith(("_watts", "_joules_total")):
        return "watt"  # a counter of joules is shown as a rate
    return "joule" if metric.name.endswith("_joules") else "cps" if metric.kind == "counter" else "short"


def text_of(name: str) -> str:
    """The `dashboard` in JSON or the `rules` in YAML; InputError for any other name."""
    if name == "dashboard":
        return json.dumps(dashboard(), indent=2) + "\n"
    if name == "rules":
        return yaml.safe_dump(rules(), sort_keys=False, width=120)
    raise InputError(f"there is a dashboard and there are rules, no {name!r}; say `dashboard` or `rules`")


if __name__ == "__main__":
    sys.stdout.write(text_of(" ".join(sys.argv[1:])))
