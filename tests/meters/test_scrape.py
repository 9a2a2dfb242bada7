"""Scraped meters: one series of a real page over real HTTP, and a reason for everything that goes wrong on the way."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.meter_suite import Bench, MeterSuite
from tests.meters.fakes.exporter import Exporter, served
from tests.meters.scripted import bench, energy_j, power_w
from wattshed.domain.energy import MeterChannel
from wattshed.errors import MeterError, UsageError
from wattshed.meters import scrape
from wattshed.meters.meter import Absent, Meter
from wattshed.meters.sampler import Sampling
from wattshed.meters.scrape import Target, series, value
from wattshed.testing import VirtualClock

ON_DEMAND = Sampling(period_s=None, max_gap_s=30.0, quiet_s=60.0)
CHANNEL = MeterChannel("node", "platform", "a node")
ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
PAGE = """\
# HELP {metric} total energy
# TYPE {metric} counter
{metric}_other 7
{metric}{{gpu="1",note="a \\"}} 0,\\n b"}} 5
{metric}{{gpu="0",note="x"}} {value}
"""


@pytest.fixture
def clock() -> VirtualClock:
    """The clock that the page goes by."""
    return VirtualClock(1000.0)


@pytest.fixture
def exporter(clock: VirtualClock) -> Iterator[Exporter]:
    """An exporter of millijoules, and of watts on another series."""

    def page() -> str:
        counted = PAGE.format(metric=ENERGY, value=repr(energy_j(clock.now_s()) * 1000))
        return counted + f"power_watts {power_w(clock.now_s())!r}\n"

    with served(Exporter(page)) as exporter:
        yield exporter


def target(exporter: Exporter, **changes: object) -> Target:
    """The energy of GPU 0."""
    energy = Target(exporter.url, ENERGY, "mJ", CHANNEL, {"gpu": "0"}, timeout_s=1.0)
    return replace(energy, **changes)  # type: ignore[arg-type]  # changes are named


def found(target: Target, clock: VirtualClock) -> Meter:
    """The meter of a series, read on demand."""
    meter = scrape.find(target, sampling=ON_DEMAND, now_s=clock.now_s)
    assert not isinstance(meter, Absent)
    return meter


class TestCounter(MeterSuite):
    """A counter of energy under the suite."""

    @pytest.fixture
    def bench(self, exporter: Exporter, clock: VirtualClock) -> Bench:
        """Millijoules with all their digits."""

        def fail() -> None:
            exporter.status = 500

        return bench(found(target(exporter), clock), clock, fail, slack_j=1e-6)


class TestGauge(MeterSuite):
    """A gauge of power under the suite."""

    @pytest.fixture
    def bench(self, exporter: Exporter, clock: VirtualClock) -> Bench:
        """Trapezoids of 0.1 s."""

        def fail() -> None:
            exporter.status = 500

        gauge = target(exporter, metric="power_watts", unit="W", labels={})
        return bench(found(gauge, clock), clock, fail, slack_j=0.1)


@pytest.mark.parametrize(
    ("unit", "joules"), [("J", 5.0), ("mJ", 5e-3), ("uJ", 5e-6), ("kWh", 18e6)], ids=["J", "mJ", "uJ", "kWh"]
)
def test_units_are_scaled(unit: str, joules: float, clock: VirtualClock) -> None:
    """A counter's own unit becomes joules."""
    counts = iter((3.0, 3.0, 8.0))
    with served(Exporter(lambda: f"energy_total {next(counts)}\n")) as exporter:
        meter = found(target(exporter, metric="energy_total", unit=unit, labels={}), clock)
        start_s = meter.mark()
        clock.sleep(1.0)
        window = meter.between(start_s, meter.mark())

    assert window.channels[0].energy_j == pytest.approx(joules)


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("energy_total NaN\n", "malformed"),
        ("energy_total +Inf\n", "malformed"),
        ("other_total 9\n", "source_failed"),
        ("", "source_failed"),
        ("energy_total 8,5\n", "malformed"),
        ("energy_total 2\n", "counter_reset"),
    ],
    ids=["NaN", "infinite", "vanished", "empty", "decimal comma", "reset"],
)
def test_faults_of_a_page_are_reasons(page: str, reason: str, clock: VirtualClock) -> None:
    """Not a number, a series that vanished, and a counter that started again have no joules."""
    pages = iter(("energy_total 3\n", "energy_total 3\n", page))
    with served(Exporter(lambda: next(pages, page))) as exporter:
        meter = found(target(exporter, metric="energy_total", unit="J", labels={}), clock)
        start_s = meter.mark()
        clock.sleep(1.0)
        window = meter.between(start_s, meter.mark())

    assert (window.channels[0].energy_j, window.channels[0].reason) == (None, reason)


def test_a_counter_at_rest_is_not_zero(exporter: Exporter, clock: VirtualClock) -> None:
    """A window in which the exporter collected nothing new has no joules: 0 J is not what was used."""
    meter = found(target(exporter, labels={"gpu": "1"}), clock)
    start_s = meter.mark()
    clock.sleep(10.0)

    energy = meter.between(start_s, meter.mark()).channels[0]

    assert (energy.energy_j, energy.reason) == (None, "window_too_short")


@pytest.mark.parametrize(("status", "reason"), [(500, "source_failed"), (404, "source_failed"), (403, "permission")])
def test_refusals_of_a_server(exporter: Exporter, status: int, reason: str) -> None:
    """Anything but 200 is no page; 401 and 403 are a matter of permission."""
    exporter.status = status

    absent = scrape.find(target(exporter))

    assert isinstance(absent, Absent)
    assert absent.reason == reason
    assert str(status) in absent.remedy


def test_a_server_that_hangs_is_given_up(exporter: Exporter) -> None:
    """Every question has a time-out."""
    exporter.mute = True

    absent = scrape.find(target(exporter, timeout_s=0.1))

    assert isinstance(absent, Absent)
    assert absent.reason == "source_failed"
    assert "timed out" in absent.remedy


def test_nobody_at_home(exporter: Exporter) -> None:
    """A port that nobody listens on is named, with the likely cause."""
    absent = scrape.find(target(exporter, url="http://127.0.0.1:1/metrics"))

    assert isinstance(absent, Absent)
    assert "127.0.0.1:1" in absent.remedy


def test_labels_must_single_out_a_series(exporter: Exporter) -> None:
    """Two series are never added up or chosen from; the message offers the labels that tell them apart."""
    with pytest.raises(UsageError, match=r'2 series .* add a label, such as gpu="0"'):
        scrape.find(target(exporter, labels={}))


@pytest.mark.parametrize("changes", [{"url": "file:///etc/passwd"}, {"unit": "BTU"}], ids=["scheme", "unit"])
def test_odd_targets_are_refused(exporter: Exporter, changes: dict[str, object]) -> None:
    """Only HTTP is asked, and only units that are energy or power."""
    with pytest.raises(UsageError):
        target(exporter, **changes)


def test_a_torn_line_is_malformed() -> None:
    """A page that was cut within our series is not half a number."""
    with pytest.raises(MeterError) as caught:
        value(b'energy_total{zone="pack', Target("http://x", "energy_total", "J", CHANNEL))

    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("tail", ["", " 1712345678000", ' # {trace_id="abc"} 0.5 1.7', "\r"])
def test_what_may_follow_a_value(tail: str) -> None:
    """Time stamps, exemplars and carriage returns are no part of the value."""
    found = list(series(f'm{{a="1",}} 2.5e3{tail}\nm_total 1\n'.encode(), "m"))

    assert [(one.labels, one.value) for one in found] == [({"a": "1"}, 2500.0)]


@given(
    st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True), st.text(max_size=8), max_size=3),
    st.floats(allow_nan=False),
)
@settings(deadline=None, max_examples=50)
def test_whatever_is_escaped_comes_back(labels: dict[str, str], number: float) -> None:
    """Label values hold any character; backslash, quote and newline are escaped."""
    escaped = {
        name: text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for name, text in labels.items()
    }
    line = "metric{" + ",".join(f'{name}="{text}"' for name, text in escaped.items()) + f"}} {number!r}\n"

    (found,) = series(line.encode(), "metric")

    assert (dict(found.labels), found.value) == (labels, number)
