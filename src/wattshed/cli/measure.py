"""`wattshed measure -- COMMAND`: the joules of any command, in the manner of `perf stat`; or of running processes.

Meters start before the command does. `ours`, the set of processes whose joules are told apart where a meter can, is
shared with them, and the command joins it as it starts.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, check_seconds, emit, stderr
from wattshed.cli.measured import NOT_TOLD_APART, Attributed, ChannelJoules, Measured, channels_of
from wattshed.cli.meters import MetersFlag
from wattshed.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.meters.idle import IdlePower
    from wattshed.meters.meter import Meter

EXAMPLES: Final = (
    "Examples: [bold]wattshed measure -- python train.py[/]  ·  "
    "[bold]wattshed measure --idle 10 --meters nvml:0,rapl -- ./server --once[/]  ·  "
    "[bold]wattshed measure --meters amduprof --pid 4242 --seconds 60[/]"
)

SHORT_S: Final = 5.0
"""Below this an update of a counter at either end weighs on the result (docs/guides/measure.md)."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is measured: `run` returns when it is over, with the exit code where it has one."""

    run: Callable[[], int | None]
    command: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()


def command(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND...", help="The command to run, after --.")
    ] = None,
    meters: MetersFlag = "",
    pids: Annotated[
        list[int] | None, typer.Option("--pid", min=1, metavar="PID", help="Watch a running process; may be repeated.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="How long to watch it.")] = None,
    idle_s: Annotated[
        float, typer.Option("--idle", min=0, help="Watch idle power this many seconds before and after.")
    ] = 0.0,
    json_: JsonFlag = False,
) -> None:
    """Run a command, or watch processes, and say how many joules each meter counted meanwhile: everybody's.

    Beside them stands the part of the command and all that it started, where a meter can tell it (powermetrics,
    amduprof). The exit code is the command's, 128 + N where signal N killed it. The result goes to stderr and the
    command's own output passes through; with --json the result goes to stdout, and the command's stdout to stderr.
    """
    from wattshed.cli.meter_choice import named, open_meters, present
    from wattshed.meters.combined import Combined

    check_seconds(seconds=seconds, idle=idle_s)
    ours = set(pids or ())
    work = _work(command or (), ours, seconds, quiet=json_)
    names = named(meters)
    meter = Combined(present(open_meters(names, ours), all_of_them=bool(names)))
    try:
        measured = measure(meter, work, idle_s=idle_s)
    finally:
        meter.close()
    emit(measured, as_json=json_, show=lambda _: _show(measured, stderr()))
    raise typer.Exit(measured.exit_code or 0)


def measure(meter: "Meter", work: Work, *, idle_s: float = 0.0) -> Measured:
    """What some work cost by a meter, which is started and stays open."""
    meter.start()
    settled_s = meter.mark()
    meter.between(settled_s, settled_s)  # waits for the first sample of a stream, so that the window is bracketed
    before_w = _watched(meter, idle_s)
    started_s = meter.mark()
    exit_code = work.run()
    window = meter.between(started_s, meter.mark())
    channels = channels_of(window, _idles(before_w, _watched(meter, idle_s)))
    return Measured(work.command, work.pids, exit_code, window.duration_s, channels)


def _work(command: Sequence[str], ours: set[int], seconds: float | None, *, quiet: bool) -> Work:
    """What is to be measured; `UsageError` where the flags do not say one thing, or it is not there."""
    from wattshed.cli.child import preflight, run

    if bool(command) == bool(ours):
        raise UsageError("measure takes a command after --, or --pid of what runs already; give one of them")
    if command:
        if seconds is not None:
            raise UsageError("--seconds is for --pid; a command is measured until it ends")
        preflight(command)
        return Work(partial(run, command, quiet=quiet, started=ours.add), command=tuple(command))
    if seconds is None:
        raise UsageError("--pid needs --seconds: how long to watch")
    for pid in ours:
        if not _runs(pid):
            raise UsageError(f"--pid: there is no process {pid}; give one that runs")
    return Work(partial(time.sleep, seconds), pids=tuple(sorted(ours)))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _watched(meter: "Meter", idle_s: float) -> Mapping[str, tuple[float, ...]]:
    from wattshed.meters.idle import watch

    return watch(meter, idle_s) if idle_s else {}


def _idles(
    before_w: Mapping[str, tuple[float, ...]], after_w: Mapping[str, tuple[float, ...]]
) -> "dict[str, IdlePower]":
    from wattshed.meters.idle import idle_power

    sides_w = {name: (before_w.get(name, ()), after_w.get(name, ())) for name in {*before_w, *after_w}}
    return {name: idle_power(*both_w) for name, both_w in sides_w.items() if any(both_w)}


def _show(measured: Measured, console: "Console") -> None:
    what = repr(" ".join(measured.command)) if measured.command else f"process {', '.join(map(str, measured.pids))}"
    console.print(f"\n Joules while {what} ran:\n", markup=False, soft_wrap=True)
    for channel in measured.channels:
        for line in lines(channel):
            console.print(line, markup=False, soft_wrap=True)
    ending = "" if measured.exit_code is None else f", exit code {measured.exit_code}"
    console.print(f"\n {measured.runtime_s:>14.3f} s elapsed{ending}", markup=False)
    if measured.runtime_s < SHORT_S:
        console.print(" The window is short: a counter's update at either end weighs on it.", markup=False)
    if all(part.reason == NOT_TOLD_APART for channel in measured.channels for part in channel.attributed):
        console.print(" These are everybody's joules: no meter here tells processes apart.", markup=False)
    console.print()


def lines(channel: ChannelJoules) -> list[str]:
    """One channel for people: gross joules, then net ones where idle power is known, then those of our processes."""
    name, boundary = channel.channel.name, channel.channel.boundary
    if channel.energy_j is None:
        return [f" {'not known':>14}   {name:<12} {channel.reason} · {boundary}"]
    accuracy = _within(channel.half_width_j) or "sensor not known"
    shown = [f" {channel.energy_j:>14.3f} J {name:<12} {channel.power_w:9.2f} W · {accuracy} · {boundary}"]
    if channel.net_energy_j is not None and channel.idle is not None:
        idle = f"{channel.idle.power_w:9.2f} W idle"
        shown.append(f" {channel.net_energy_j:>14.3f} J {'  net of idle':<12} {idle} · {_net(channel)}")
    return shown + [_attributed_line(part) for part in channel.attributed if part.reason != NOT_TOLD_APART]


def _attributed_line(part: Attributed) -> str:
    name = "  of ours"
    if part.energy_j is None:
        return f" {'not known':>14}   {name:<12} {part.reason} · by {part.by}"
    return f" {part.energy_j:>14.3f} J {name:<12} by {part.by}"


def _net(channel: ChannelJoules) -> str:
    """How far net joules may be off, as far as that is known."""
    if channel.channel.sensor_uncertainty is not None:
        return _within(channel.net_half_width_j) or "no interval"
    scatter = _within(channel.idle_scatter_half_width_j)
    return f"sensor not known, {scatter} by the scatter of idle alone" if scatter else "sensor not known"


def _within(half_width_j: float | None) -> str:
    return "" if half_width_j is None else f"± {half_width_j:.3f} J (95 %)"
