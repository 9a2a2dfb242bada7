"""`wattshed measure -- COMMAND`: the joules of any command, in the manner of `perf stat`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, emit, stderr
from wattshed.cli.meters import MetersFlag

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.domain.energy import ChannelEnergy, MeterChannel, WindowEnergy
    from wattshed.meters.idle import IdlePower
    from wattshed.meters.meter import Meter

EXAMPLES: Final = (
    "Examples: [bold]wattshed measure -- python train.py[/]  ·  "
    "[bold]wattshed measure --idle 10 --meters nvml:0,rapl -- ./server --once[/]"
)

COVERAGE: Final = 1.96
"""Standard uncertainties in the half-width of a 95 % interval; for a lone rectangle it covers all of it."""

SHORT_S: Final = 5.0
"""Below this an update of a counter at either end weighs on the result (docs/guides/measure.md)."""


@dataclass(frozen=True, slots=True)
class ChannelJoules:
    """Joules of one channel while the command ran: gross, and net of idle power where that was watched.

    Half-widths are of 95 % intervals: the sensor's for gross joules (`None` where its accuracy is not known), sensor
    and scatter of the idle power together for net ones.
    """

    channel: "MeterChannel"
    method: str
    energy_j: float | None
    reason: str | None
    power_w: float | None
    half_width_j: float | None
    idle: "IdlePower | None" = None
    net_energy_j: float | None = None
    net_half_width_j: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command cost."""

    command: tuple[str, ...]
    exit_code: int
    runtime_s: float
    channels: tuple[ChannelJoules, ...]


def command(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND...", help="The command to run, after --.")],
    meters: MetersFlag = "",
    idle_s: Annotated[
        float, typer.Option("--idle", min=0, help="Watch idle power this many seconds before and after.")
    ] = 0.0,
    json_: JsonFlag = False,
) -> None:
    """Run a command and say how many joules each meter counted meanwhile: everybody's, not the command's alone.

    The exit code is the command's, 128 + N where signal N killed it. The result goes to stderr and the command's own
    output passes through; with --json the result goes to stdout, and the command's stdout to stderr.
    """
    from wattshed.cli.child import preflight
    from wattshed.cli.meter_choice import named, open_meters, present
    from wattshed.meters.combined import Combined

    preflight(command)
    names = named(meters)
    meter = Combined(present(open_meters(names), all_of_them=bool(names)))
    try:
        measured = measure(meter, command, idle_s=idle_s, quiet=json_)
    finally:
        meter.close()
    emit(measured, as_json=json_, show=lambda _: _show(measured, stderr()))
    raise typer.Exit(measured.exit_code)


def measure(meter: "Meter", command: Sequence[str], *, idle_s: float = 0.0, quiet: bool = False) -> Measured:
    """What a command cost by a meter, which is started and stays open; `quiet` sends its stdout to stderr."""
    from wattshed.cli.child import run

    meter.start()
    settled_s = meter.mark()
    meter.between(settled_s, settled_s)  # waits for the first sample of a stream, so that the window is bracketed
    before_w = _watched(meter, idle_s)
    started_s = meter.mark()
    exit_code = run(command, quiet=quiet)
    window = meter.between(started_s, meter.mark())
    idles = _idles(before_w, _watched(meter, idle_s))
    channels = tuple(joules(energy, window, idles.get(energy.channel.name)) for energy in window.channels)
    return Measured(tuple(command), exit_code, window.duration_s, channels)


def _watched(meter: "Meter", idle_s: float) -> Mapping[str, tuple[float, ...]]:
    from wattshed.meters.idle import watch

    return watch(meter, idle_s) if idle_s else {}


def _idles(
    before_w: Mapping[str, tuple[float, ...]], after_w: Mapping[str, tuple[float, ...]]
) -> "dict[str, IdlePower]":
    from wattshed.meters.idle import idle_power

    sides_w = {name: (before_w.get(name, ()), after_w.get(name, ())) for name in {*before_w, *after_w}}
    return {name: idle_power(*both_w) for name, both_w in sides_w.items() if any(both_w)}


def joules(energy: "ChannelEnergy", window: "WindowEnergy", idle: "IdlePower | None") -> ChannelJoules:
    """Gross and net joules of one channel with their intervals; a reason stays a reason."""
    channel, gross_j, runtime_s = energy.channel, energy.energy_j, window.duration_s
    if gross_j is None or not runtime_s:
        return ChannelJoules(channel, energy.method, gross_j, energy.reason, None, None, idle)
    relative = COVERAGE * channel.sensor_uncertainty
    net_j = None if idle is None else gross_j - idle.power_w * runtime_s
    net_half_width_j = None
    if net_j is not None and idle is not None and idle.half_width_w is not None:
        net_half_width_j = math.hypot(relative * net_j, idle.half_width_w * runtime_s)
    return ChannelJoules(
        channel,
        energy.method,
        gross_j,
        energy.reason,
        gross_j / runtime_s,
        relative * gross_j if relative else None,
        idle,
        net_j,
        net_half_width_j,
    )


def _show(measured: Measured, console: "Console") -> None:
    from rich.markup import escape

    console.print(f"\n Joules while {escape(' '.join(measured.command))!r} ran:\n", soft_wrap=True)
    for channel in measured.channels:
        for line in lines(channel):
            console.print(line, markup=False, soft_wrap=True)
    console.print(f"\n {measured.runtime_s:>14.3f} s elapsed, exit code {measured.exit_code}", markup=False)
    if measured.runtime_s < SHORT_S:
        console.print(" The window is short: a counter's update at either end weighs on it.", markup=False)
    console.print()


def lines(channel: ChannelJoules) -> list[str]:
    """One channel for people: gross joules, then net ones where idle power is known."""
    name, boundary = channel.channel.name, channel.channel.boundary
    if channel.energy_j is None:
        return [f" {'not known':>14}   {name:<12} {channel.reason} · {boundary}"]
    accuracy = _within(channel.half_width_j) or "sensor not known"
    shown = [f" {channel.energy_j:>14.3f} J {name:<12} {channel.power_w:9.2f} W · {accuracy} · {boundary}"]
    if channel.net_energy_j is not None and channel.idle is not None:
        accuracy = _within(channel.net_half_width_j) or "no interval"
        shown.append(
            f" {channel.net_energy_j:>14.3f} J {'  net of idle':<12} {channel.idle.power_w:9.2f} W · {accuracy}"
        )
    return shown


def _within(half_width_j: float | None) -> str:
    return "" if half_width_j is None else f"± {half_width_j:.3f} J (95 %)"
