"""`wattshed meters`: the certificate of every meter on this machine."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from wattshed.cli.frame import JsonFlag, check_seconds, emit
from wattshed.units import S_PER_MS, percent

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.meters.certificate import Certificate, ChannelCertificate
    from wattshed.meters.meter import Absent, Meter

EXAMPLES: Final = (
    "Examples: [bold]wattshed meters[/]  ·  [bold]wattshed meters --seconds 20 --json[/]  ·  "
    "[bold]wattshed meters --meters nvml:0[/]"
)

MetersFlag = Annotated[
    str,
    typer.Option(
        "--meters",
        metavar="NAMES",
        help="Meters, separated by commas: nvml, nvml:0+2, rapl, rapl:SYSFS, pmu, amduprof, apple, powermetrics, "
        "scrape:URL#...",
    ),
]


@dataclass(frozen=True, slots=True)
class Meters:
    """The certificates, in order of preference."""

    certificates: tuple["Certificate", ...]


def command(
    meters: MetersFlag = "",
    seconds: Annotated[float, typer.Option(min=0.5, help="How long to watch each meter at rest.")] = 5.0,
    json_: JsonFlag = False,
) -> None:
    """Certify each meter: what it counts, how finely, at what cost; or why it cannot be had and what to do.

    Let the machine rest meanwhile: the power that is found is taken for idle power.
    """
    from wattshed.cli.meter_choice import KINDS, named, open_meters

    check_seconds(seconds=seconds)
    opened = open_meters(named(meters) or KINDS)
    certified = Meters(tuple(_certified(meter, seconds) for meter in opened))
    emit(certified, as_json=json_, show=lambda console: _show(certified, console))


def _certified(meter: "Meter | Absent", seconds: float) -> "Certificate":
    from wattshed.meters.certificate import PROBE_S, certify
    from wattshed.meters.meter import Absent

    try:
        return certify(meter, duration_s=seconds, probe_s=min(seconds, PROBE_S))
    finally:
        if not isinstance(meter, Absent):
            meter.close()


def _show(meters: Meters, console: "Console") -> None:
    from rich.text import Text

    for certificate in meters.certificates:
        if not certificate.available:
            console.print(Text(certificate.meter, "bold"), f": not available ({certificate.reason})", sep="")
            console.print(f"  {certificate.remedy}")
            continue
        console.print(Text(certificate.meter, "bold"), f": {_costs(certificate)}", sep="")
        for channel in certificate.channels:
            console.print(f"  {channel.channel.name}: {channel.channel.boundary}")
            for line in _lines(channel):
                console.print(f"    {line}")


def _costs(certificate: "Certificate") -> str:
    read_s, observer_cpu = certificate.read_cost_s, certificate.observer_cpu
    return ", ".join(
        (
            "available",
            f"watched for {certificate.watched_s:.1f} s",
            "a reading comes when it comes" if read_s is None else f"a reading takes {read_s / S_PER_MS:.2f} ms",
            "cost unknown" if observer_cpu is None else f"sampling takes {percent(observer_cpu):.2f} % of a core",
        )
    )


def _lines(channel: "ChannelCertificate") -> list[str]:
    """What one channel can do, a sentence a line."""
    period_s = channel.update_period_s
    lines = [
        f"method: {channel.method}" + (f", inside {channel.channel.inside}" if channel.channel.inside else ""),
        "update period: " + ("not seen" if period_s is None else f"{period_s / S_PER_MS:.1f} ms"),
        "smallest step: " + _step(channel),
        "sensor: " + _accuracy(channel.channel.sensor_uncertainty),
    ]
    if channel.counter_to_integral is not None:
        verdict = "agree" if channel.consistent else "DISAGREE by more than 5 %"
        lines.append(f"counter / integrated power: {channel.counter_to_integral:.3f}, they {verdict}")
    if channel.idle is not None:
        half_width_w = channel.idle.half_width_w
        interval = "" if half_width_w is None else f" ± {half_width_w:.2f} W (95 %)"
        lines.append(f"power at rest: {channel.idle.power_w:.2f} W{interval}")
    if channel.settled is False and channel.idle is not None:
        lines.append(f"NOT SETTLED: it changed by {channel.idle.drift_w:+.2f} W meanwhile; let the machine rest longer")
    if channel.reason is not None:
        lines.append(f"no joules: {channel.reason}")
    return lines


def _accuracy(sensor_uncertainty: float | None) -> str:
    if sensor_uncertainty is None:
        return "uncertainty not known"
    return f"standard uncertainty {percent(sensor_uncertainty):.1f} %"


def _step(channel: "ChannelCertificate") -> str:
    if channel.energy_step_j is not None:
        return f"{channel.energy_step_j:.6g} J"
    return "not seen" if channel.power_step_w is None else f"{channel.power_step_w:.6g} W"
