"""AMDuProf: the parts of a package sum to it, and what our cores used is Equation 8."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.meters.fakes.program import Script, install
from tests.meters.fakes.sysfs import write_thread, write_topology
from tests.meters.fakes.timechart import timechart
from tests.meters.scripted import REPOSITORY
from wattshed.meters import amd
from wattshed.meters.meter import Absent, Meter
from wattshed.meters.timechart import read_timechart

LOG = REPOSITORY / ".." / "shared" / "reference" / "formats" / "amduprof" / "llama2-7b.timechart.csv"
STARTED = datetime(2024, 3, 28, 11, 0, 0, tzinfo=UTC)
COUNTERS = ("socket0-package-power", "socket1-package-power", *(f"core{core}-power" for core in range(4)))
POWERS_W = (100.0, 80.0, 10.0, 20.0, 5.0, 6.0)


@pytest.fixture
def cpus(tmp_path: Path) -> Path:
    """Two packages of two cores; CPUs 4-7 are the second threads of cores 0-3."""
    return write_topology(tmp_path / "cpu", {cpu: (cpu % 4 // 2, 0, cpu % 2) for cpu in range(8)})


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Process 10 runs on CPU 5: the second thread of core 1, in package 0."""
    write_thread(tmp_path / "proc", 10, 10, cpu=5, state="R")
    return tmp_path / "proc"


def records(count: int, *, missing: tuple[int, ...] = ()) -> list[tuple[str, tuple[float, ...]]]:
    """A record each 100 ms, from the start on."""
    stamps = [STARTED + timedelta(seconds=0.1 * n) for n in range(count) if n not in missing]
    return [(f"{at.hour}:{at.minute}:{at.second}:{at.microsecond // 1000}", POWERS_W) for at in stamps]


class Late:
    """The clock of a meter that was opened as the log began, and of which two seconds have passed since."""

    def __init__(self) -> None:
        self._opened = False

    def __call__(self) -> float:
        """0 s at first, then 2 s."""
        opened, self._opened = self._opened, True
        return 2.0 if opened else 0.0


def found(program: Path, cpus: Path, proc: Path | None = None) -> Meter:
    """The meter over a program whose log starts as the meter is opened."""
    meter = amd.find(
        pids=None if proc is None else (10,),
        executable=str(program),
        cpus=cpus,
        proc=proc or Path("proc"),
        now_s=time.monotonic if proc is not None else Late(),
        local_now=lambda: STARTED,
    )
    assert not isinstance(meter, Absent)
    return meter


def replayed(*messages: bytes, **fault: object) -> Script:
    """AMDuProfCLI, writing into the folder that `-o` names."""
    return Script(messages, folder_flag="-o", piece=333, **fault)  # type: ignore[arg-type]  # faults are named


def test_a_log_is_metered_as_it_grows(tmp_path: Path, cpus: Path) -> None:
    """Packages, cores and uncore by the log's stamps; a missing record is bridged."""
    log = timechart(records(21, missing=(7,)), counters=COUNTERS)
    meter = found(install(tmp_path, "AMDuProfCLI", replayed(log, stall=True)), cpus)

    meter.start()
    window = meter.between(0.35, 1.85)
    meter.close()

    joules = {energy.channel.name: energy.energy_j for energy in window.channels}
    assert joules == pytest.approx(
        {
            "package-0": 150.0,
            "package-0/cores": 45.0,
            "package-0/uncore": 105.0,
            "package-1": 120.0,
            "package-1/cores": 16.5,
            "package-1/uncore": 103.5,
        }
    )
    cpu = window.part("cpu")
    assert cpu is not None
    assert cpu.energy_j == pytest.approx(270.0)


def test_our_cores_are_a_part_of_their_package(tmp_path: Path, cpus: Path, proc: Path) -> None:
    """With a process, its cores stand apart; both threads of a core are that core, and the parts sum to the package."""
    lines = timechart(records(12), counters=COUNTERS).splitlines(keepends=True)
    script = replayed(b"".join(lines[:-12]), *lines[-12:], pause_s=0.1, stall=True)
    meter = found(install(tmp_path, "AMDuProfCLI", script), cpus, proc)
    opened_s = time.monotonic()

    meter.start()
    window = meter.between(opened_s + 0.5, opened_s + 0.8)
    meter.close()

    joules = {energy.channel.name: energy.energy_j for energy in window.channels}
    assert {name: energy_j for name, energy_j in joules.items() if "package-0" in name} == pytest.approx(
        {"package-0": 30.0, "package-0/our-cores": 6.0, "package-0/other-cores": 3.0, "package-0/uncore": 21.0}
    )
    assert joules["package-1/our-cores"] == 0.0


@pytest.mark.parametrize(
    ("messages", "fault", "reason"),
    [
        ([timechart([], counters=COUNTERS)], {"exit_code": 1, "complaint": "killed\n"}, "source_failed"),
        ([timechart(records(11), counters=COUNTERS)], {}, "source_failed"),
        ([timechart(records(11), counters=COUNTERS)], {"stall": True}, "not_bracketed"),
        ([timechart(records(21, missing=(7, 8, 9, 10, 11, 12)), counters=COUNTERS)], {"stall": True}, "sampling_gap"),
        ([timechart(records(6), counters=COUNTERS)[:-8], b"\n"], {"stall": True}, "malformed"),
        ([timechart([*records(6), *records(3)], counters=COUNTERS)], {"stall": True}, "clock_step"),
        ([timechart(records(21), counters=COUNTERS).replace(b".", b",")], {"stall": True}, "malformed"),
        ([timechart(records(21), counters=COUNTERS[1:])], {"stall": True}, "malformed"),
    ],
    ids=["aborted", "ended", "stalled", "dropped", "truncated", "clock step", "decimal comma", "no such counter"],
)
def test_faults_are_reasons(
    tmp_path: Path,
    cpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    messages: list[bytes],
    fault: dict[str, object],
    reason: str,
) -> None:
    """Whatever is wrong with a log, the window has a reason and no joules."""
    monkeypatch.setattr(amd, "PATIENCE_S", 0.5)
    meter = found(install(tmp_path, "AMDuProfCLI", replayed(*messages, **fault)), cpus)

    meter.start()
    window = meter.between(0.35, 1.85)
    meter.close()

    assert {(energy.energy_j, energy.reason) for energy in window.channels} == {(None, reason)}


def test_what_amduprof_complains_of_is_the_remedy(tmp_path: Path, cpus: Path) -> None:
    """It knows best why it does not work here: for want of permission, or of an AMD processor."""
    complaints = {"permission": "Root privilege or driver is required: permission denied\n", "unsupported": "not AMD\n"}

    for reason, complaint in complaints.items():
        program = install(tmp_path, "AMDuProfCLI", Script(listing=1, complaint=complaint))
        absent = amd.find(executable=str(program), cpus=cpus)
        assert isinstance(absent, Absent)
        assert absent.reason == reason
        assert complaint.strip() in absent.remedy


def test_a_kernel_that_lists_no_children_has_no_cores_of_ours(tmp_path: Path, cpus: Path, proc: Path) -> None:
    """Where the process tree cannot be known, half of it is not billed."""
    (proc / "10/task/10/children").unlink()
    program = install(tmp_path, "AMDuProfCLI", Script())

    absent = amd.find(pids=(10,), executable=str(program), cpus=cpus, proc=proc)

    assert isinstance(absent, Absent)
    assert absent.reason == "unsupported"


def test_packages_are_metered_though_the_tree_is_not_known(tmp_path: Path, cpus: Path, proc: Path) -> None:
    """A process that joins later, on such a kernel, has no cores; the package's joules are none the worse."""
    (proc / "10/task/10/children").unlink()
    lines = timechart(records(12), counters=COUNTERS).splitlines(keepends=True)
    script = replayed(b"".join(lines[:-12]), *lines[-12:], pause_s=0.1, stall=True)
    ours: set[int] = set()
    meter = amd.find(
        pids=ours,
        executable=str(install(tmp_path, "AMDuProfCLI", script)),
        cpus=cpus,
        proc=proc,
        local_now=lambda: STARTED,
    )
    assert not isinstance(meter, Absent)
    ours.add(10)
    opened_s = time.monotonic()

    meter.start()
    window = meter.between(opened_s + 0.5, opened_s + 0.8)
    meter.close()

    found = {energy.channel.name: energy for energy in window.channels}
    assert found["package-0"].energy_j == pytest.approx(30.0)
    assert (found["package-0/our-cores"].energy_j, found["package-0/our-cores"].reason) == (None, "source_failed")


def test_no_amduprof_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the program there is no meter, and the remedy says where to get it."""
    monkeypatch.setenv("PATH", os.fspath(tmp_path))

    absent = amd.find()

    assert isinstance(absent, Absent)
    assert absent.reason == "not_installed"
    assert "amd.com" in absent.remedy


def test_equation_8_on_a_real_log() -> None:
    """All cores of the paper's node took 151 W of its packages' 328 W; one core took what its column says."""
    if not LOG.exists():
        pytest.skip("the reference data are not here")
    chart = read_timechart(LOG)
    everyone = np.ones((len(chart.at_s), 128), np.bool_)
    alone = np.zeros_like(everyone)
    alone[:, 5] = True

    all_j, one_j = amd.core_energy_j(chart, everyone), amd.core_energy_j(chart, alone)

    assert all_j / (chart.at_s[-1] - chart.at_s[0]) == pytest.approx(151.0, abs=0.1)
    assert one_j == pytest.approx(chart.energy("core5-power", chart.at_s[0], chart.at_s[-1]).energy_j)


@given(
    st.lists(st.tuples(st.floats(0, 300), st.lists(st.tuples(st.floats(0, 6), st.booleans()), min_size=3, max_size=3)))
)
@settings(deadline=None, max_examples=50)
def test_parts_sum_to_the_package(samples: list[tuple[float, list[tuple[float, bool]]]]) -> None:
    """Nothing of a package is lost or counted twice, whatever ran where."""
    package_w = np.array([power_w for power_w, _ in samples])
    cores_w = np.array([[power_w for power_w, _ in cores] for _, cores in samples]).reshape(-1, 3)
    active = np.array([[ran for _, ran in cores] for _, cores in samples], np.bool_).reshape(-1, 3)

    split = amd.split_power(package_w, cores_w, active)

    assert np.allclose(split.ours_w + split.others_w + split.uncore_w, package_w)
    assert (split.ours_w >= 0).all()
