"""The part of a data card that says how: windows, idle power, meters with their certificates, and software."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from wattshed.datasets.manifest import CampaignRecord, ChannelRecord, IdleRecord, Manifest


@dataclass(frozen=True, slots=True)
class _Name:
    name: str


@dataclass(frozen=True, slots=True)
class _ChannelCertificate:
    """What a card shows of `meters/certificate.py`; whatever else a certificate holds is left to the manifest."""

    channel: _Name
    method: str | None = None
    reason: str | None = None
    update_period_s: float | None = None
    counter_to_integral: float | None = None


@dataclass(frozen=True, slots=True)
class _Certificate:
    channels: tuple[_ChannelCertificate, ...] = ()


def method_lines(manifest: Manifest) -> Iterator[str]:
    """The part of the card as lines of Markdown."""
    head = ("campaign", "window s, least", "stopping", "seed", "idle before W", "idle after W")
    yield from table(head, map(_run, manifest.campaigns))
    yield ""
    yield "Queries are repeated within a window. Cells come in a random order, and each is warmed up first. Idle is"
    yield "with the model loaded and no query running."
    yield ""
    yield from _meters(manifest.campaigns)
    yield f"Software: {_software(manifest.campaigns)}."
    if manifest.publication is not None:
        yield f"Power samples: {manifest.publication.samples_rule}."


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table in Markdown, a line a row."""
    return ["| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)]


def _run(campaign: CampaignRecord) -> tuple[object, ...]:
    settings = campaign.settings
    idle = (_watts([one for one in campaign.idle if one.when == when]) for when in ("before", "after"))
    return (campaign.name, f"{settings['window_s']:g}", settings["stopping"], settings["seed"], *idle)


def _watts(idle: Sequence[IdleRecord]) -> str:
    """Watts of each part, session by session."""
    known = [f"{part} {watts:.1f}" for one in idle for part, watts in one.power_w.items() if watts is not None]
    return ", ".join(known) or "not measured"


def _meters(campaigns: Sequence[CampaignRecord]) -> Iterator[str]:
    """Every channel once, with the range of what its certificates say; nothing where there was no meter."""
    channels: dict[tuple[str, str], ChannelRecord] = {}
    certified: dict[tuple[str, str], list[_ChannelCertificate]] = {}
    for meter in (meter for campaign in campaigns for session in campaign.sessions for meter in session.meters):
        certificate = msgspec.convert(meter.certificate or {}, _Certificate)
        for channel in meter.channels:
            key = (meter.name, channel.name)
            channels[key] = channel
            certified.setdefault(key, []).extend(
                one for one in certificate.channels if one.channel.name == channel.name
            )
    if not channels:
        yield from ("No meter was there, so no joules were measured.", "")
        return
    head = (
        "meter",
        "channel",
        "boundary",
        "joules by",
        "update period s",
        "counter / integral",
        "sensor",
        "certificates",
    )
    yield from table(head, [_meter_row(key[0], channels[key], certified[key]) for key in channels])
    yield ""


def _meter_row(meter: str, channel: ChannelRecord, certified: Sequence[_ChannelCertificate]) -> tuple[object, ...]:
    sensor = channel.sensor_uncertainty
    return (
        meter,
        channel.name,
        channel.boundary,
        _words(one.reason or one.method for one in certified),
        _span(one.update_period_s for one in certified),
        _span(one.counter_to_integral for one in certified),
        "not known" if sensor is None else f"{sensor:.1%} standard uncertainty",
        len(certified),
    )


def _span(values: Iterable[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return "not known"
    ends = dict.fromkeys(f"{end:.3g}" for end in (known[0], known[-1]))
    return " to ".join(ends)


def _words(values: Iterable[str | None]) -> str:
    return ", ".join(sorted({value for value in values if value})) or "not known"


def _software(campaigns: Sequence[CampaignRecord]) -> str:
    """Versions by name; several where sessions differ."""
    found: dict[str, dict[str, None]] = {}
    for session in (session for campaign in campaigns for session in campaign.sessions):
        for name, version in session.versions.items():
            found.setdefault(name, {})[version] = None
    return ", ".join(f"{name} {' or '.join(versions)}" for name, versions in found.items())
