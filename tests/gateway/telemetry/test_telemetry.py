"""What is told is what happened: counts, gauges, bounded labels, and a page that Prometheus reads."""

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from wattshed.domain.plan import Interval
from wattshed.domain.schema import AGENT_METRICS, ENERGY_REASONS, LABELS, LEDGER_FAILURES, METRICS, OUTCOMES, Metric
from wattshed.gateway.attribution.energy import Window
from wattshed.gateway.events import Attempted, Event, Names, NodeWindow, Placed, SystemLoad
from wattshed.gateway.ledger.ledger import LedgerState, Row, Settlement
from wattshed.gateway.metrics.counts import Counts, page
from wattshed.gateway.telemetry.telemetry import MOST_RECENT, MOST_TOLD, Telemetry
from wattshed.testing import VirtualClock

NAMES = Names(frozenset({"llama"}), frozenset({"m1", "a100"}), frozenset({"team"}))
ROW = Row(
    request="r",
    arrived_at=datetime(2026, 11, 23, tzinfo=UTC),
    key="team",
    model="llama",
    system="m1",
    baseline="a100",
    shadow="a100",
    wait_s=0.5,
    ttft_s=0.7,
    runtime_s=2.5,
    input_tokens=10,
    output_tokens=20,
    predicted_energy_j=11.0,
    hindsight_energy_j=10.0,
    hindsight_energy_lower_j=9.0,
    hindsight_energy_upper_j=11.0,
    hindsight_runtime_lower_s=1.0,
    hindsight_runtime_upper_s=1.5,
    baseline_energy_j=30.0,
    baseline_energy_lower_j=27.0,
    baseline_energy_upper_j=33.0,
)

VARIED: tuple[Event, ...] = (
    ROW,
    ROW._replace(system="a100", outcome="broken", ttft_s=None, cached_tokens=4),
    ROW._replace(key=None, shadow="m1", shadow_energy_j=9.0, wasted_energy_j=2.5, baseline_energy_j=None),
    Row("lost", ROW.arrived_at, model="made up", outcome="refused"),
    Placed(15e-6),
    Attempted("m1"),
    Attempted("a100", "timed_out"),
    Settlement("r", 15.0, 3.0, None),
)


def said(telemetry: Telemetry) -> dict[str, float]:
    """Every series of the page by its name and labels."""
    text = asyncio.run(telemetry.page()).decode()
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_ended_request_is_counted() -> None:
    """One row counts its outcome, times, tokens and joules, by the names of its system and model."""
    telemetry = Telemetry(NAMES)
    telemetry.tell(ROW)
    telemetry.tell(Attempted("m1"))
    telemetry.tell(Attempted("a100", "timed_out"))
    telemetry.tell(Placed(15e-6))

    page = said(telemetry)

    assert page["wattshed_requests_total llama done m1"] == 1
    assert page["wattshed_key_joules_total team"] == 10
    assert page["wattshed_tokens_total output llama m1"] == 20
    assert page["wattshed_ttft_seconds_sum llama m1"] == 0.7
    assert page["wattshed_ttft_seconds_bucket 0.5 llama m1"] == 0
    assert page["wattshed_ttft_seconds_bucket 1 llama m1"] == 1
    assert page["wattshed_attempts_total timed_out a100"] == 1
    assert page["wattshed_decision_seconds_bucket 2e-05"] == 1
    assert page["wattshed_shadow_disagreements_total m1"] == 1


def test_savings_have_an_interval() -> None:
    """Saved joules are the baseline's less ours, with the bounds that suit us least; none where it chose the same."""
    telemetry = Telemetry(NAMES)
    telemetry.tell(ROW)
    telemetry.tell(ROW._replace(system="a100"))
    telemetry.tell(ROW._replace(baseline_energy_lower_j=None))

    assert telemetry.snapshot().saved_j == Interval(20.0, 16.0, 24.0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(VARIED), max_size=40))
def test_together_is_as_one_by_one(events: list[Event]) -> None:
    """Events that are counted together make the numbers that they make when each is counted as it comes."""
    together, singly = Telemetry(NAMES), Telemetry(NAMES)
    for event in events:
        together.tell(event)
        singly.tell(event)
        singly.snapshot()  # who reads the numbers has all of them counted

    assert said(together) == pytest.approx(said(singly))


def test_what_waits_is_bounded() -> None:
    """Nobody need ask for the numbers: what was told is counted in the end, all of it."""
    telemetry = Telemetry(NAMES)
    for _ in range(3 * MOST_TOLD + 1):
        telemetry.tell(Placed(1e-5))

    assert len(telemetry._told) == 1
    assert said(telemetry)["wattshed_decision_seconds_count"] == 3 * MOST_TOLD + 1


def test_old_names_hold_for_what_was_told_under_them() -> None:
    """Requests that ended before the settings were read again are counted by the names of then."""
    telemetry = Telemetry(NAMES)
    telemetry.tell(ROW)
    telemetry.names = Names()
    telemetry.tell(ROW)

    page = said(telemetry)

    assert page["wattshed_requests_total llama done m1"] == 1
    assert page["wattshed_requests_total other done other"] == 1


def test_unknown_names_are_other() -> None:
    """What a client makes up never becomes a label; a request without system or key has an empty one."""
    telemetry = Telemetry(NAMES)
    for number in range(100):
        telemetry.tell(Row(str(number), ROW.arrived_at, model=f"m{number}", key=f"k{number}", outcome=f"o{number}"))

    page = said(telemetry)

    assert page["wattshed_requests_total other other "] == 100
    assert page["wattshed_key_requests_total other other"] == 100


def test_series_of_a_metric_are_bounded() -> None:
    """Whatever values a label takes, new series beyond the bound are one: `other`."""
    counts = Counts(
        [Metric("a_total", "counter", ("x",), "a"), Metric("h", "histogram", ("x",), "h", (1.0,))], most_series=3
    )
    for number in range(10):
        counts.add("a_total", 1.0, str(number))
        counts.observe("h", [1.0], str(number))

    assert counts.value("a_total", "other") == 7
    assert counts.total("a_total") == 10
    assert page(counts).count(b"h_count") == 4


def test_joules_are_counted_as_they_come() -> None:
    """A settlement counts the joules for its request's system, and once only."""
    telemetry = Telemetry(NAMES)
    telemetry.tell(ROW)
    telemetry.tell(Settlement("r", 15.0, 3.0, None))

    page = said(telemetry)

    assert page["wattshed_attributed_joules_total m1"] == 15
    assert page["wattshed_energy_receipts_total attributed m1"] == 1


@pytest.mark.parametrize(
    ("settlement", "how"),
    [(Settlement("r", 15.0, 3.0, None), "assumed"), (Settlement("r", None, None, "pending"), "pending")],
)
def test_assumed_watts_are_called_so(settlement: Settlement, how: str) -> None:
    """A receipt of a system whose watts nobody measured is assumed, and not attributed; one without joules says why."""
    telemetry = Telemetry(replace(NAMES, assumed=frozenset({"m1"})))
    telemetry.tell(ROW)
    telemetry.tell(settlement)

    page = said(telemetry)

    assert [name for name in page if "receipts_total" in name] == [f"wattshed_energy_receipts_total {how} m1"]


def test_counters_never_fall() -> None:
    """Attributed joules may be negative; their counter stands still until the sum has caught up."""
    telemetry = Telemetry(NAMES, fleet=lambda: (SystemLoad("m1", 0, 0, True),))
    values = []
    for energy_j in (5.0, -3.0, 2.0, 4.0):
        telemetry.tell(ROW)
        telemetry.tell(Settlement("r", energy_j, 0.0, None))
        values.append(telemetry.snapshot().systems[0].attributed_j)

    assert values == [5.0, 5.0, 5.0, 8.0]


def test_power_is_of_the_last_window() -> None:
    """A window gives its mean power; after one without joules the power is not known, and not the old one."""
    telemetry = Telemetry(NAMES, fleet=lambda: (SystemLoad("m1", 2, 1, True, "node"),))
    telemetry.tell(NodeWindow("node", Window(0.0, 2.0, 100.0), 30.0, 0.0))
    known = telemetry.snapshot().systems[0].power_w
    telemetry.tell(NodeWindow("node", Window(2.0, 3.0, None, "agent_gone")))

    assert known == 50.0
    assert telemetry.snapshot().systems[0].power_w is None
    page = said(telemetry)
    assert page["wattshed_unattributed_joules_total node"] == 30
    assert page["wattshed_energy_windows_total node agent_gone"] == 1
    assert page["wattshed_in_flight m1"] == 2


def test_the_page_is_written_once_a_second() -> None:
    """Within a second the same bytes are told, whoever asks; then new ones."""
    clock = VirtualClock()
    telemetry = Telemetry(NAMES, now_s=clock.now_s)

    def seen() -> float | None:
        return said(telemetry).get("wattshed_requests_total llama done m1")

    telemetry.tell(ROW)
    first = seen()
    telemetry.tell(ROW)
    clock.sleep(0.9)
    within = seen()
    clock.sleep(0.1)

    assert (first, within, seen()) == (1, 1, 2)


def test_the_ledger_is_told_of() -> None:
    """Dropped rows and failures stand on the page, zeros included, so that an alarm can wait for them."""
    state = LedgerState(3, {"dropped": 2, "written": 5}, dict.fromkeys(LEDGER_FAILURES, 0) | {"locked": 4}, "held")
    telemetry = Telemetry(NAMES, ledger=lambda: state)

    page = said(telemetry)

    assert page["wattshed_ledger_waiting"] == 3
    assert page["wattshed_ledger_rows_total dropped"] == 2
    assert page["wattshed_ledger_failures_total locked"] == 4
    assert page["wattshed_ledger_failures_total disk_full"] == 0
    assert telemetry.snapshot().ledger == state


def test_hooks_hear_everything_and_break_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Each hook gets each event in order; one that fails is counted, and the others still hear."""
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("a bug of somebody else")

    telemetry = Telemetry(NAMES, hooks=(broken, heard.append))
    telemetry.tell(ROW)
    telemetry.tell(Attempted("m1"))

    assert heard == [ROW, Attempted("m1")]
    assert said(telemetry)["wattshed_hook_failures_total"] == 2


def test_records_hear_of_rows_and_joules_alone() -> None:
    """What keeps rows is not asked about what is only counted."""
    heard: list[Event] = []
    telemetry, settlement = Telemetry(NAMES, records=(heard.append,)), Settlement("r", 15.0, 3.0, None)

    for event in (Placed(15e-6), Attempted("m1"), ROW, settlement):
        telemetry.tell(event)

    assert heard == [ROW, settlement]


def test_the_snapshot_keeps_the_last_rows() -> None:
    """The dashboard sees the last decisions, and no more than it can show."""
    telemetry = Telemetry(NAMES)
    for number in range(MOST_RECENT + 10):
        telemetry.tell(ROW._replace(request=str(number)))

    recent = telemetry.snapshot().recent

    assert (len(recent), recent[-1].request) == (MOST_RECENT, str(MOST_RECENT + 9))
    assert replace(telemetry.snapshot(), recent=()).requests == MOST_RECENT + 10


@pytest.mark.parametrize("metric", [*METRICS, *AGENT_METRICS], ids=lambda metric: metric.name)
def test_metrics_follow_the_conventions(metric: Metric) -> None:
    """Counters end in `_total`, quantities in their base unit; labels are explained; only histograms have buckets.

    Source: https://prometheus.io/docs/practices/naming.
    """
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert set(metric.labels) <= set(LABELS)
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert re.fullmatch(r"wattshed_[a-z_]+", metric.name)
    assert not re.search(r"_(j|s|w|ms|kwh|mj)(_total)?$", metric.name)


def test_codes_are_words() -> None:
    """Codes are lower-case words, fit for labels and columns."""
    assert all(re.fullmatch("[a-z_]+", code) for code in (*OUTCOMES, *ENERGY_REASONS, *LEDGER_FAILURES))
