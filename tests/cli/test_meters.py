"""`wattshed meters` certifies what is there, and says of the rest why not and what to do."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.metering import Said, install_nvml, runner
from tests.meters.fake_nvml import Board
from tests.meters.fakes.exporter import Exporter, served
from tests.meters.fakes.sysfs import Powercap
from wattshed.cli import measure, meters
from wattshed.cli.meter_choice import FACTORIES, KINDS, named, open_meters, present
from wattshed.errors import MissingError, UsageError
from wattshed.meters.combined import Combined
from wattshed.meters.meter import Absent


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """`wattshed meters ARGUMENTS`."""
    monkeypatch.setenv("COLUMNS", "200")
    return runner(meters.command, capfd)


def test_a_meter_that_is_there_is_certified(run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    """The document holds channels with boundary, method, update period, step, agreement, idle power and costs."""
    install_nvml(monkeypatch, Board(0))

    said = run("--meters", "nvml", "--seconds", "1", "--json")

    certificate = said.document["certificates"][0]
    channel = certificate["channels"][0]
    assert (said.exit_code, certificate["meter"], certificate["available"]) == (0, "nvml", True)
    assert channel["channel"]["boundary"] == "NVIDIA H100 80GB HBM3 board, GPU 0"
    assert channel["method"] == "counter"
    assert 0.05 < channel["update_period_s"] < 0.15
    assert channel["energy_step_j"] > 0
    assert channel["idle"]["half_width_w"] is not None
    assert certificate["read_cost_s"] > 0
    assert certificate["observer_cpu"] < 0.05


def test_people_get_words(run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    """For people the same stands in lines with units."""
    install_nvml(monkeypatch, Board(0, gain=1.3))

    said = run("--meters", "nvml:0", "--seconds", "1")

    for words in ("nvml: available", "GPU 0", "update period: ", "power at rest: ", "DISAGREE", "uncertainty 2.9 %"):
        assert words in said.out


def test_nothing_there_is_no_failure(run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    """An absent meter has its reason and remedy, and the exit code is 0."""
    monkeypatch.setitem(sys.modules, "pynvml", None)

    said = run("--meters", "nvml")

    assert said.exit_code == 0
    assert "nvml: not available (not_installed)\n  pip install 'wattshed[nvidia]'\n" in said.out


def test_a_name_that_is_no_meters_is_a_usage_error(run: Callable[..., Said]) -> None:
    """A mistyped name is refused, with those that exist."""
    said = run("--meters", "nvlm")

    assert said.exit_code == 2
    assert "no meter 'nvlm'; choose among nvml, rapl" in said.err


@pytest.mark.parametrize(
    "name",
    ["rapl:0", "apple:0", "scrape:http://localhost:1/metrics", "scrape:http://localhost:1/#metric=a&unit=J&part=fan"],
)
def test_a_name_with_too_much_or_too_little_is_refused(name: str) -> None:
    """What a kind does not understand after its colon is never ignored."""
    with pytest.raises(UsageError, match="--meters"):
        open_meters([name])


def test_sysfs_may_be_mounted_elsewhere(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """In a container `rapl:/host/sys` reads the host's counters: the joules are those that its files count."""
    tree = Powercap(tmp_path / "class" / "powercap", lambda at_s: 0.0)
    zone = tree.add("intel-rapl:0", "package-0").path / "energy_uj"
    count = f"import pathlib; pathlib.Path({str(zone)!r}).write_text('5000000')"

    said = runner(measure.command, capfd)("--meters", f"rapl:{tmp_path}", "--json", "--", sys.executable, "-c", count)

    (channel,) = said.document["channels"]
    assert (channel["channel"]["name"], channel["energy_j"]) == ("package-0", 5.0)


def test_an_empty_sysfs_has_no_meters(run: Callable[..., Said], tmp_path: Path) -> None:
    """What is looked for is looked for there alone, and the remedy names the place."""
    said = run("--meters", f"rapl:{tmp_path},pmu:{tmp_path}", "--json")

    certificates = said.document["certificates"]
    assert [certificate["reason"] for certificate in certificates] == ["not_found", "not_found"]
    assert all(str(tmp_path) in certificate["remedy"] for certificate in certificates)


def test_every_kind_can_be_opened() -> None:
    """Each kind answers with a meter or a typed reason and a remedy, on whatever machine this is."""
    opened = open_meters(KINDS)

    assert set(KINDS) | {"scrape"} == set(FACTORIES)
    for kind, meter in zip(KINDS, opened, strict=True):
        assert meter.name == kind
        assert not isinstance(meter, Absent) or meter.remedy
        if not isinstance(meter, Absent):
            meter.close()


def test_a_page_that_nobody_serves_is_absent() -> None:
    """A scraped meter is named by its page and its series; where the page is not served it is absent."""
    (meter,) = open_meters(named("scrape:http://127.0.0.1:9/metrics#metric=watts&unit=W&part=platform&plug=3"))

    assert isinstance(meter, Absent)


def test_an_unknown_sensor_is_said_to_be(run: Callable[..., Said]) -> None:
    """What is scraped states no accuracy: people read that it is not known, and programs null, never 0."""
    with served(Exporter(lambda: "watts 40.0\n")) as exporter:
        meter = f"scrape:{exporter.url}#metric=watts&unit=W&part=platform"
        words, document = (
            run("--meters", meter, "--seconds", "0.5"),
            run("--meters", meter, "--seconds", "0.5", "--json"),
        )

    assert "sensor: uncertainty not known" in words.out
    assert document.document["certificates"][0]["channels"][0]["channel"]["sensor_uncertainty"] is None


def test_an_absent_meter_that_was_named_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for and is not there is an error with its reason, though another is there; unasked, it is not."""
    install_nvml(monkeypatch, Board(0))
    absent = Absent("rapl", "permission", "run as root")

    with pytest.raises(MissingError, match=r"no meter: rapl \(permission\): run as root"):
        present([*open_meters(["nvml"]), absent], all_of_them=True)

    assert [meter.name for meter in present([*open_meters(["nvml"]), absent], all_of_them=False)] == ["nvml"]


TWO = '# TYPE E counter\nE{gpu="0"} 1000\nE{gpu="1"} 5000\n'


def test_two_series_of_one_metric_are_two_channels() -> None:
    """Labels are in a channel's name, so that the second of two boards is counted and not dropped."""
    with served(Exporter(lambda: TWO)) as exporter:
        page = f"scrape:{exporter.url}#metric=E&unit=J&part=gpu"
        both = Combined(present(open_meters([f"{page}&gpu=0", f"{page}&gpu=1"]), all_of_them=True))
        both.close()

    assert [channel.name for channel in both.channels] == ['E{gpu="0"}', 'E{gpu="1"}']


def test_two_pages_with_one_series_need_names_of_their_own() -> None:
    """Two plugs that count under one name are refused, and told apart by `channel`."""
    one, other = (f"scrape:http://127.0.0.1:{port}/metrics#metric=W&unit=W&part=platform" for port in (9, 10))

    with pytest.raises(UsageError, match="are both called 'W'; add a label, or &channel=NAME"):
        open_meters([one, other])

    assert len(open_meters([one, f"{other}&channel=rack"])) == 2


@pytest.mark.parametrize(
    ("meters", "message"),
    [
        (",", "has an empty name"),
        ("rapl,,pmu", "has an empty name"),
        ("rapl, rapl", "rapl stands there twice"),
    ],
)
def test_a_list_with_a_hole_or_a_repetition_is_refused(run: Callable[..., Said], meters: str, message: str) -> None:
    """A slip in the list of meters is no wish for all of them, nor for one of them twice."""
    said = run("--meters", meters)

    assert said.exit_code == 2
    assert message in said.err


@pytest.mark.parametrize("seconds", ["inf", "1e300"])
def test_seconds_without_end_are_refused(run: Callable[..., Said], seconds: str) -> None:
    """Nobody waits for ever, and nothing is watched before that is said."""
    said = run("--meters", "rapl", "--seconds", seconds)

    assert said.exit_code == 2
    assert "--seconds wants a number of seconds that comes to an end" in said.err


def test_a_counter_is_no_power(run: Callable[..., Said]) -> None:
    """What the page itself calls a counter is refused as watts: its joules would be integrated over time again."""
    with served(Exporter(lambda: "# TYPE E counter\nE 1000\n")) as exporter:
        said = run("--meters", f"scrape:{exporter.url}#metric=E&unit=W&part=gpu")

    assert said.exit_code == 2
    assert "E is a counter, and W is power; give the unit of its energy: J, mJ" in said.err
