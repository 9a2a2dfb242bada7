"""Whose joules they are: `wattshed measure` tells the command's part from everybody's, where a meter can."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.cli.metering import Said, runner
from tests.meters.fakes.activity import Row, plist
from tests.meters.fakes.sysfs import write_topology
from wattshed.cli import measure
from wattshed.cli.measured import attributed_of, channels_of
from wattshed.domain.energy import ChannelEnergy, MeterChannel, WindowEnergy
from wattshed.meters import amd, powermetrics
from wattshed.meters.activity import ATTRIBUTED
from wattshed.meters.meter import Absent

SAMPLE_S = 0.05
PARENT = "import subprocess, sys, time; subprocess.run([sys.executable, '-c', 'import time; time.sleep(1.6)'])"
PACKAGE = MeterChannel("package-0", "cpu", "a package")
OURS = MeterChannel("package-0/our-cores", "cpu", "cores that ran us", inside="package-0")


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """`wattshed measure ARGUMENTS`."""
    monkeypatch.setenv("COLUMNS", "200")
    return runner(measure.command, capfd)


@contextmanager
def daemon(pipe: Path, ours: Callable[[], list[int]]) -> Iterator[str]:
    """A pipe such as powermetrics writes: 2 W of CPU, of which 0.6 (by energy impact) and 0.2 (CPU time) are `ours`."""
    os.mkfifo(pipe)
    over = threading.Event()

    def write() -> None:
        with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as file:  # the meter is closed first
            while not over.wait(SAMPLE_S):
                pids = ours()
                rows = [Row(pid, "ours", 6.0 / len(pids), 2.0 / len(pids), started=pid) for pid in pids]
                others = Row(1, "launchd", 10.0 - 6.0 * bool(pids), 10.0 - 2.0 * bool(pids))
                file.write(plist(cpu_mj=100, gpu_mj=0, elapsed_ns=int(SAMPLE_S * 1e9), tasks=[*rows, others]))

    thread = threading.Thread(target=write)
    thread.start()
    yield f"powermetrics:{pipe}"
    over.set()
    thread.join()


def started_here() -> list[int]:
    """Every process that this one has started."""
    return [child.pid for child in psutil.Process().children(recursive=True)]


def parts(said: Said) -> dict[str, float | None]:
    """Attributed joules of the CPU by way of telling them."""
    cpu = next(channel for channel in said.document["channels"] if channel["channel"]["name"] == "apple-cpu")
    return {part["by"]: part["energy_j"] for part in cpu["attributed"]}


def test_a_commands_joules_are_told_from_everybodys(run: Callable[..., Said], tmp_path: Path) -> None:
    """Gross joules are everybody's; the part of the command and its children stands beside them, by both measures."""
    with daemon(tmp_path / "pipe", started_here) as meter:
        said = run("--meters", meter, "--json", "--", sys.executable, "-c", PARENT)

    channels = {channel["channel"]["name"]: channel for channel in said.document["channels"]}
    gross_j, found = channels["apple-cpu"]["energy_j"], parts(said)
    assert set(channels) == {"apple-cpu", "apple-gpu", "apple-ane"}
    assert 0.3 * gross_j < found["energy impact"] <= 0.6001 * gross_j  # samples at either end saw no command, or a part
    assert found["CPU time"] == pytest.approx(found["energy impact"] / 3, rel=1e-6)
    assert channels["apple-gpu"]["attributed"] == [{"by": None, "energy_j": None, "reason": "not_told_apart"}]


def test_a_running_process_is_watched(run: Callable[..., Said], tmp_path: Path) -> None:
    """With --pid there is no command: the process and its children are watched for so long, and go on."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    with daemon(tmp_path / "pipe", lambda: [child.pid]) as meter:
        said = run("--meters", meter, "--pid", str(child.pid), "--seconds", "0.5")
    alive = child.poll() is None
    child.kill()
    child.wait()

    assert (said.exit_code, alive) == (0, True)
    assert f"Joules while process {child.pid} ran" in said.err
    assert "  of ours    by energy impact" in said.err
    assert "everybody's" not in said.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one of them"),
        (["--pid", "1", "--seconds", "1", "--", "true"], "give one of them"),
        (["--seconds", "1", "--", "true"], "--seconds is for --pid"),
        (["--pid", "1"], "--pid needs --seconds"),
        (["--pid", "4194305", "--seconds", "1"], "there is no process 4194305"),  # above the most that Linux gives
    ],
)
def test_what_is_measured_is_one_thing(run: Callable[..., Said], arguments: list[str], message: str) -> None:
    """A command until it ends, or processes for so long; anything else is a usage error before any meter is opened."""
    said = run(*arguments)

    assert said.exit_code == 2
    assert message in said.err


def test_processes_that_no_sample_saw_have_no_joules() -> None:
    """0 J of a process that ran is no answer; on one package of two it is, where the other saw it."""
    there = MeterChannel("package-1/our-cores", "cpu", "cores that ran us", inside="package-1")
    idle, busy = ChannelEnergy(OURS, 0.0, "integral"), ChannelEnergy(there, 3.0, "integral")

    unseen = attributed_of(PACKAGE, WindowEnergy(0.0, 1.0, (ChannelEnergy(PACKAGE, 9.0, "integral"), idle)))
    elsewhere = attributed_of(PACKAGE, WindowEnergy(0.0, 1.0, (idle, busy)))

    assert [(part.energy_j, part.reason) for part in (*unseen, *elsewhere)] == [(None, "process_not_seen"), (0.0, None)]


def test_a_part_that_is_missing_keeps_its_reason() -> None:
    """Where the meter could not tell, the line says why, and the gross joules stay."""
    energies = (ChannelEnergy(PACKAGE, 9.0, "integral"), ChannelEnergy(OURS, None, "integral", "sampling_gap"))

    (found,) = channels_of(WindowEnergy(0.0, 1.0, energies), {})

    assert measure.lines(found) == [
        "          9.000 J package-0         9.00 W · sensor not known · a package",
        "      not known     of ours    sampling_gap · by cores that ran it",
    ]


def test_every_channel_of_ours_is_known(tmp_path: Path) -> None:
    """The meters that tell processes apart name those channels by the words that the command line looks for."""
    cpus = write_topology(tmp_path / "cpu", {0: (0, 0, 0)})
    (tmp_path / "AMDuProfCLI").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "AMDuProfCLI").chmod(0o755)
    meter = amd.find(pids=(), executable=str(tmp_path / "AMDuProfCLI"), cpus=cpus)
    assert not isinstance(meter, Absent)

    channels = (*powermetrics.SHARES, *meter.channels)
    meter.close()

    assert {channel.name.rpartition("/")[2] for channel in channels if "our" in channel.name} == set(ATTRIBUTED)
