"""Which meters there are, and how `--meters` names them.

    nvml  nvml:0  nvml:0+2  nvml:UUID      all boards, or those by index or UUID
    rapl  pmu  amduprof                    processor packages, by one road or another
    rapl:SYSFS  pmu:SYSFS                  the same from where the host's sysfs is mounted, such as rapl:/host/sys
    apple  powermetrics  powermetrics:PIPE
    scrape:URL#metric=NAME&unit=mJ&part=gpu&channel=NAME&boundary=WORDS&LABEL=VALUE

A scraped channel is called by its series, labels included; `channel` gives two of one series on two pages names of
their own. Without names, one of each line of alternatives: the first that this machine has.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast, get_args
from urllib.parse import parse_qsl, urldefrag

from wattshed.errors import MissingError, UsageError

if TYPE_CHECKING:
    from wattshed.meters.meter import Absent, Meter
    from wattshed.meters.scrape import Target

ALTERNATIVES: Final = (("nvml",), ("rapl", "pmu", "amduprof"), ("apple", "powermetrics"))
"""Kinds in order of preference; those of one line count the same joules, so only one of them is taken unasked."""

CHOOSY: Final = ("nvml", "rapl", "pmu", "powermetrics", "scrape")
"""Kinds that take something after a colon."""

SYSFS: Final = Path("/sys")
"""Where Linux mounts sysfs; a Mac has none, and then its meters are not found."""

KINDS: Final = tuple(kind for line in ALTERNATIVES for kind in line)
"""Kinds that can be looked for without being told where."""


def named(meters: str) -> tuple[str, ...]:
    """The names in the value of `--meters`, none where it is empty; `UsageError` for an empty name, or one twice."""
    names = tuple(name.strip() for name in meters.split(",")) if meters.strip() else ()
    for position, name in enumerate(names):
        if not name:
            raise UsageError(f"--meters: {meters!r} has an empty name; write names with one comma between two of them")
        if name in names[:position]:
            raise UsageError(f"--meters: {name} stands there twice; name each meter once")
    return names


def open_meters(names: Sequence[str] = (), ours: Collection[int] | None = None) -> "tuple[Meter | Absent, ...]":
    """Every meter named, there or absent; without names the first that is there of each line of alternatives.

    Where nothing of a line is there, all of it is absent. A meter that tells processes apart has channels for the trees
    of `ours`, which may grow while it runs. `UsageError` for a name that is no meter's, and for two scraped series that
    would share a channel's name.
    """
    if names:
        _refuse_namesakes(names)
        return tuple(_found(name, ours) for name in names)
    return tuple(meter for line in ALTERNATIVES for meter in _first(line, ours))


def present(opened: "Sequence[Meter | Absent]", *, all_of_them: bool) -> "tuple[Meter, ...]":
    """Those that are there; `MissingError` with every reason and remedy where none is, or not `all_of_them`."""
    from wattshed.meters.meter import Absent

    there = tuple(meter for meter in opened if not isinstance(meter, Absent))
    absent = [meter for meter in opened if isinstance(meter, Absent)]
    if there and not (absent and all_of_them):
        return there
    for meter in there:
        meter.close()
    raise MissingError("no meter: " + " | ".join(f"{meter.name} ({meter.reason}): {meter.remedy}" for meter in absent))


def _first(line: Sequence[str], ours: Collection[int] | None) -> "list[Meter | Absent]":
    from wattshed.meters.meter import Absent

    absent: list[Meter | Absent] = []
    for kind in line:
        meter = _found(kind, ours)
        if not isinstance(meter, Absent):
            return [meter]
        absent.append(meter)
    return absent


def _found(name: str, ours: Collection[int] | None) -> "Meter | Absent":
    kind, _, what = name.partition(":")
    if kind not in FACTORIES:
        raise UsageError(f"--meters: there is no meter {kind!r}; choose among {', '.join(FACTORIES)}")
    if what and kind not in CHOOSY:
        raise UsageError(f"--meters: {kind} takes nothing after a colon, got {name!r}; write {kind}")
    return FACTORIES[kind](what, ours)


def _nvml(which: str, _: Collection[int] | None) -> "Meter | Absent":
    from wattshed.meters import nvml

    return nvml.find(which.split("+") if which else ())


def _rapl(sysfs: str, _: Collection[int] | None) -> "Meter | Absent":
    from wattshed.meters import rapl

    return rapl.find(root=_mounted("rapl", sysfs) / "class" / "powercap")


def _pmu(sysfs: str, _: Collection[int] | None) -> "Meter | Absent":
    from wattshed.meters import pmu

    root = _mounted("pmu", sysfs)
    return pmu.find(root=root / "bus" / "event_source" / "devices", cpus=root / "devices" / "system" / "cpu")


def _mounted(kind: str, sysfs: str) -> Path:
    """Where sysfs is; `UsageError` where nothing is mounted there."""
    if sysfs and not Path(sysfs).is_dir():
        raise UsageError(f"--meters: {kind} takes the folder that sysfs is mounted on, and there is no {sysfs!r}")
    return Path(sysfs) if sysfs else SYSFS


def _amduprof(_: str, ours: Collection[int] | None) -> "Meter | Absent":
    from wattshed.meters import amd

    return amd.find(pids=ours)


def _apple(_: str, __: Collection[int] | None) -> "Meter | Absent":
    from wattshed.meters import apple

    return apple.find()


def _powermetrics(pipe: str, ours: Collection[int] | None) -> "Meter | Absent":
    from wattshed.meters import powermetrics

    return powermetrics.find(pids=ours, pipe=Path(pipe) if pipe else None)


def _scrape(page: str, _: Collection[int] | None) -> "Meter | Absent":
    from wattshed.meters import scrape

    return scrape.find(_target(page))


def _refuse_namesakes(names: Sequence[str]) -> None:
    """`UsageError` where two scraped meters share the name of their channel: one would hide the other."""
    channels: dict[str, str] = {}
    for name in names:
        kind, _, page = name.partition(":")
        channel = _target(page).channel.name if kind == "scrape" else name
        if channel in channels:
            fix = "add a label, or &channel=NAME, to one of them"
            raise UsageError(f"--meters: {channels[channel]} and {name} are both called {channel!r}; {fix}")
        channels[channel] = name


def _target(page: str) -> "Target":
    """The series that a page with a fragment names; what is no key of ours is a label, and in the channel's name."""
    from wattshed.domain.energy import MeterChannel, Part
    from wattshed.meters.scrape import Target, Unit

    url, fragment = urldefrag(page)
    keys = dict(parse_qsl(fragment))
    metric, unit, part = (keys.pop(key, "") for key in ("metric", "unit", "part"))
    if not metric or unit not in get_args(Unit) or part not in get_args(Part):
        wanted = f"unit ({', '.join(get_args(Unit))}) and part ({', '.join(get_args(Part))})"
        raise UsageError(f"--meters: scrape needs #metric=NAME&unit=..&part=.. with {wanted}, got {page!r}")
    boundary = keys.pop("boundary", f"whatever {metric} counts")
    labels = ",".join(f'{label}="{keys[label]}"' for label in sorted(keys.keys() - {"channel"}))
    name = keys.pop("channel", "") or (f"{metric}{{{labels}}}" if labels else metric)
    channel = MeterChannel(name, cast("Part", part), boundary)
    return Target(url, metric, cast("Unit", unit), channel, keys)


FACTORIES: Final[Mapping[str, Callable[[str, Collection[int] | None], "Meter | Absent"]]] = {
    "nvml": _nvml,
    "rapl": _rapl,
    "pmu": _pmu,
    "amduprof": _amduprof,
    "apple": _apple,
    "powermetrics": _powermetrics,
    "scrape": _scrape,
}
"""What opens each kind; it is given what stands after the colon, and the processes to tell apart."""
