"""`wattshed measure -- COMMAND` counts joules and otherwise stays out of the way."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.metering import Said, install_nvml, runner
from tests.meters.fake_nvml import Board
from tests.meters.scripted import energy_j
from wattshed.cli import measure
from wattshed.cli.measured import joules
from wattshed.domain.energy import ChannelEnergy, MeterChannel, WindowEnergy
from wattshed.meters.idle import idle_power
from wattshed.testing import SyntheticMeter, VirtualClock

NAP = ["-c", "import time; time.sleep(0.3); print('done')"]
QUICK = Board(0, update_period_s=0.001)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """`wattshed measure --meters nvml ARGUMENTS`, with one scripted board."""
    install_nvml(monkeypatch, QUICK)
    monkeypatch.setenv("COLUMNS", "200")
    measured = runner(measure.command, capfd)
    return lambda *arguments: measured("--meters", "nvml", *arguments)


def test_joules_are_those_that_were_spent(run: Callable[..., Said]) -> None:
    """Joules and watts are the scripted board's over the seconds that the command ran, the sensor's share is 5 %."""
    before_s = time.monotonic()

    said = run("--json", "--", sys.executable, *NAP)

    document, channel = said.document, said.document["channels"][0]
    least_j, most_j = energy_j(before_s + 0.3) - energy_j(before_s), energy_j(time.monotonic()) - energy_j(before_s)
    assert document["runtime_s"] >= 0.3
    assert 0.5 * least_j < channel["energy_j"] < most_j
    assert channel["power_w"] == pytest.approx(channel["energy_j"] / document["runtime_s"])
    assert channel["half_width_j"] == pytest.approx(1.96 * 0.05 / 3**0.5 * channel["energy_j"])
    assert channel["net_energy_j"] is None


def test_people_get_it_on_stderr(run: Callable[..., Said]) -> None:
    """The command's stdout is its own; joules, watts, interval, boundary and seconds stand on stderr."""
    said = run("--", sys.executable, *NAP)

    assert (said.exit_code, said.out) == (0, "done\n")
    for words in (" J gpu0 ", " W · ± ", "NVIDIA H100 80GB HBM3 board, GPU 0", "s elapsed, exit code 0"):
        assert words in said.err


def test_with_json_stdout_is_one_document(run: Callable[..., Said]) -> None:
    """The command's own stdout goes to stderr, so that whoever parses ours need not take it apart."""
    said = run("--json", "--", sys.executable, *NAP)

    assert said.document["exit_code"] == 0
    assert "done" in said.err


def test_idle_power_makes_net_joules(run: Callable[..., Said]) -> None:
    """With --idle the document has idle power from both sides of the command, and net joules with their interval."""
    said = run("--idle", "1", "--json", "--", sys.executable, *NAP)

    channel = said.document["channels"][0]
    assert channel["idle"]["windows"] == 4
    assert channel["idle"]["drift_w"] is not None
    net_j = channel["energy_j"] - channel["idle"]["power_w"] * said.document["runtime_s"]
    assert channel["net_energy_j"] == pytest.approx(net_j)
    assert channel["net_half_width_j"] > 0


@pytest.mark.parametrize(("ending", "exit_code"), [("sys.exit(7)", 7), ("os.kill(os.getpid(), 9)", 137)])
def test_the_exit_code_is_the_commands(run: Callable[..., Said], ending: str, exit_code: int) -> None:
    """A command that fails has been measured all the same, and its code is ours; a signal N is 128 + N."""
    said = run("--", sys.executable, "-c", f"import os, sys; {ending}")

    assert said.exit_code == exit_code
    assert f"exit code {exit_code}" in said.err


def test_a_signal_goes_on_to_the_command(run: Callable[..., Said], tmp_path: Path) -> None:
    """Who stops us stops the command, which ends in its own way and is measured until then."""
    ready = tmp_path / "ready"
    script = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(30)\n"
    )
    threading.Thread(target=_terminate_once, args=(ready,), daemon=True).start()

    said = run("--", sys.executable, "-c", script)

    assert said.exit_code == 5


def test_a_command_that_is_not_there_is_a_usage_error(run: Callable[..., Said]) -> None:
    """Nothing is measured of a command that cannot be run."""
    said = run("--", "no-such-command")

    assert said.exit_code == 2
    assert "no-such-command: no such command" in said.err


def test_without_a_meter_the_command_does_not_run(
    run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit code 3 with reason and remedy, before anything was started."""
    monkeypatch.setitem(sys.modules, "pynvml", None)

    said = run("--", "touch", str(tmp_path / "ran"))

    assert said.exit_code == 3
    assert "no meter: nvml (not_installed): pip install 'wattshed[nvidia]'" in said.err
    assert not (tmp_path / "ran").exists()


def test_a_channel_without_joules_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """Missing joules are not known, for a reason, and never 0."""
    channel = MeterChannel("package-0", "cpu", "a package")
    window = WindowEnergy(0.0, 10.0, (ChannelEnergy(channel, None, "counter", "permission"),))

    lines = measure.lines(joules(window.channels[0], window))

    assert lines == ["      not known   package-0    permission · a package"]


def test_net_joules_stand_below_the_gross_ones() -> None:
    """People see what was subtracted, and how sure the rest is."""
    channel = MeterChannel("gpu0", "gpu", "a board", sensor_uncertainty=0.02)
    window = WindowEnergy(0.0, 10.0, (ChannelEnergy(channel, 1000.0, "counter"),))

    gross, net = measure.lines(joules(window.channels[0], window, idle_power([40.0, 40.0])))

    assert gross.split("·") == ["       1000.000 J gpu0            100.00 W ", " ± 39.200 J (95 %) ", " a board"]
    assert net.split("·") == ["        600.000 J   net of idle     40.00 W idle ", " ± 23.520 J (95 %)"]


def test_an_unknown_sensor_leaves_no_interval() -> None:
    """However steady idle power is, joules by a sensor of unknown accuracy have no half-width but its scatter's."""
    window = WindowEnergy(0.0, 10.0, (ChannelEnergy(MeterChannel("gpu0", "gpu", "a board"), 1000.0, "counter"),))

    found = joules(window.channels[0], window, idle_power([39.0, 41.0]))

    assert (found.energy_j, found.net_energy_j) == (1000.0, 600.0)
    assert (found.half_width_j, found.net_half_width_j) == (None, None)
    assert ["sensor not known" in line for line in measure.lines(found)] == [True, True]
    assert measure.lines(found)[1].endswith("± 127.062 J (95 %) by the scatter of idle alone")


def test_net_joules_carry_sensor_and_idle_uncertainty() -> None:
    """By hand: 1000 J of 10 s, idle 40 W: 600 J net, +-(1.96 x 2 % x 600) and +-(idle half-width x 10 s) in square."""
    channel = MeterChannel("gpu0", "gpu", "a board", sensor_uncertainty=0.02)
    window = WindowEnergy(0.0, 10.0, (ChannelEnergy(channel, 1000.0, "counter"),))
    idle = idle_power([39.0, 41.0])

    found = joules(window.channels[0], window, idle)

    assert (found.energy_j, found.power_w, found.net_energy_j) == (1000.0, 100.0, 600.0)
    assert found.net_half_width_j == pytest.approx(((1.96 * 0.02 * 600) ** 2 + (12.7062 * 10) ** 2) ** 0.5, rel=1e-4)


def test_any_meter_can_measure() -> None:
    """The verb knows the role alone: a synthetic meter serves as well."""
    meter = SyntheticMeter(VirtualClock().now_s, [], idle_power_w=50.0)

    measured = measure.measure(meter, measure.Work(lambda: 0))

    assert [found.channel.name for found in measured.channels] == ["synthetic-gpu"]


@pytest.mark.parametrize(("flag", "more"), [("--idle", ()), ("--seconds", ("--pid", "1"))])
def test_seconds_without_end_are_refused(run: Callable[..., Said], flag: str, more: tuple[str, ...]) -> None:
    """Infinity is no time to watch: one line, and nothing runs."""
    command = () if more else ("--", sys.executable, *NAP)

    said = run(flag, "inf", *more, *command)

    assert (said.exit_code, said.out) == (2, "")
    assert f"{flag} wants a number of seconds that comes to an end, got inf" in said.err


def test_what_is_no_program_is_said_to_be(run: Callable[..., Said], tmp_path: Path) -> None:
    """A directory and a file that may not be run are there, and that is not denied."""
    script = tmp_path / "script.sh"
    script.write_text("true\n")

    assert f"{tmp_path}: is a directory" in run("--", str(tmp_path)).err
    assert f"{script}: may not be run; give its interpreter before it, or run: chmod +x" in run("--", str(script)).err
    assert f"{tmp_path}/none: no such command" in run("--", f"{tmp_path}/none").err


def _terminate_once(ready: Path) -> None:
    while not ready.exists():
        threading.Event().wait(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
