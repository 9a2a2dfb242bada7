"""The rig of `wattshed profile`: engine, meters and clock, put together from the flags."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wattshed.cli.engine_choice import DEFAULT_PRECISION, EngineChoice
from wattshed.datasets.defects import quoted
from wattshed.errors import UsageError

if TYPE_CHECKING:
    from wattshed.engines.engine import Engine
    from wattshed.meters.meter import Meter
    from wattshed.profiler.events import MeterFacts, SessionStarted
    from wattshed.profiler.scrub import Identity
    from wattshed.profiler.trial import Bench

CERTIFY_S = 5.0
"""Time at rest that a meter's certificate is made from."""


@dataclass(frozen=True, slots=True)
class Rig:
    """A bench with what the journal needs to know about it; `no_meter` says why there is none.

    `public` are names of products: their words name nobody, though a machine may be called by one of them.
    """

    bench: "Bench"
    meters: tuple["Meter", ...]
    host: str
    settings: dict[str, object]
    no_meter: str = ""
    public: tuple[str, ...] = ()

    @property
    def is_served(self) -> bool:
        """Whether the model is in memory already, in a server that is not ours."""
        return self.settings["engine"] == "openai"

    @property
    def identity(self) -> "Identity":
        """Names of this machine and its user, but for words that products go by."""
        from wattshed.profiler.provenance import identity

        return identity().without(self.public)

    def refuse_names(self, flags: Mapping[str, str | None]) -> None:
        """`UsageError` for a flag that point 37 of the checklist would find a name in, after everything is measured."""
        from wattshed.profiler.scrub import traces

        own = self.identity
        for flag, text in (*flags.items(), ("--model", self.bench.engine.system.model)):
            found = traces(text or "", own)
            if found:
                problem = f"{flag} would publish {quoted(text)}, which holds the {found[0]} of a person or a machine"
                raise UsageError(f"{problem}; give or make it another")

    def session(self, number: int) -> "SessionStarted":
        """The first event of a session, with a fresh certificate of every meter."""
        from wattshed.profiler.events import SessionStarted
        from wattshed.profiler.provenance import versions

        meters = tuple(self._certified(meter) for meter in self.meters)
        return SessionStarted(number, self.host, datetime.now(UTC).isoformat(timespec="seconds"), versions(), meters)

    def close(self) -> None:
        """Let go of engine and meters."""
        self.bench.engine.close()
        for meter in self.meters:
            meter.close()

    def _certified(self, meter: "Meter") -> "MeterFacts":
        import msgspec

        from wattshed.meters.certificate import certify
        from wattshed.profiler.events import MeterFacts

        certificate = certify(meter, duration_s=CERTIFY_S, now_s=self.bench.now_s, sleep=self.bench.sleep)
        return MeterFacts(meter.name, meter.channels, msgspec.to_builtins(certificate))


def build(choice: EngineChoice) -> Rig:
    """Engine, meters and clock; `MissingError` where a meter that was asked for is not there."""
    from wattshed.profiler.host import read_host
    from wattshed.profiler.trial import Bench

    host = own_label()
    if choice.kind == "synthetic":
        return _synthetic(choice, host)
    found, why = _meters(choice.meters)
    engine = engine_of(choice, host)
    bench = Bench(engine, _together(found), time.monotonic, time.sleep, partial(read_host, choice.url))
    channels = ", ".join(sorted(channel.name for meter in found for channel in meter.channels))
    settings = choice.settings | {"channels": channels}  # so a campaign has one boundary
    return Rig(bench, found, host, settings, why, tuple(_public(choice, found)))


def _public(choice: EngineChoice, meters: "tuple[Meter, ...]") -> Iterator[str]:
    """What products are called here: the processor, what meters count, and a model that goes by its own name."""
    from wattshed.engines.loading import hardware_name

    yield hardware_name("cpu")
    yield from (channel.boundary for meter in meters for channel in meter.channels if meter.name != "scrape")
    if choice.published_model == choice.model:
        yield choice.model


def engine_of(choice: EngineChoice, host: str) -> "Engine":
    """The engine that the flags describe, not loaded yet; `host` is the label of its machine."""
    if choice.kind == "synthetic":
        return _synthetic(choice, host).bench.engine
    return _transformers(choice, host) if choice.kind == "transformers" else _openai(choice, host)


def own_label() -> str:
    """The random label of this machine, kept where this user's applications remember things."""
    import numpy as np

    from wattshed.profiler.host import host_label
    from wattshed.profiler.provenance import machine

    return host_label(_labels(), machine(), np.random.default_rng())


def known_label() -> str | None:
    """The same where it is kept already, and else none; writes nothing."""
    from wattshed.profiler.host import kept_label
    from wattshed.profiler.provenance import machine

    return kept_label(_labels(), machine())


def _labels() -> Path:
    return Path(typer.get_app_dir("wattshed")) / "hosts.json"


def _meters(names: tuple[str, ...]) -> "tuple[tuple[Meter, ...], str]":
    """The meters of this machine, and why there is none; each that was named must be there."""
    from wattshed.cli.meter_choice import open_meters, present
    from wattshed.meters.meter import Absent

    opened = open_meters(names)
    if names:
        return present(opened, all_of_them=True), ""
    there = tuple(meter for meter in opened if not isinstance(meter, Absent))
    absent = [meter for meter in opened if isinstance(meter, Absent)]
    return there, "; ".join(f"{meter.name}: {meter.remedy}" for meter in absent)


def _together(meters: "tuple[Meter, ...]") -> "Meter | None":
    from wattshed.meters.combined import Combined

    return Combined(meters) if len(meters) > 1 else (meters[0] if meters else None)


def _synthetic(choice: EngineChoice, host: str) -> Rig:
    """Golden truth on a virtual clock: a campaign of hours takes a second."""
    from dataclasses import replace

    from wattshed.engines.synthetic import SYSTEM
    from wattshed.profiler.host import read_host
    from wattshed.profiler.trial import Bench
    from wattshed.testing import Sensor, SyntheticEngine, SyntheticMeter, VirtualClock

    clock = VirtualClock()
    system = replace(SYSTEM, name=choice.name or SYSTEM.name, host=host)
    engine = SyntheticEngine(now_s=clock.now_s, sleep=clock.sleep, system=system)
    meter = SyntheticMeter(clock.now_s, engine.work, idle_power_w=60.0, sensor=Sensor(tolerance=0.05))
    bench = Bench(engine, meter, clock.now_s, clock.sleep, read_host)
    return Rig(bench, (meter,), host, choice.settings)


def _transformers(choice: EngineChoice, host: str) -> "Engine":
    from wattshed.engines.transformers import TransformersEngine, TransformersSettings

    return TransformersEngine(
        TransformersSettings(
            str(choice.model),
            device=choice.device or "cpu",
            precision=choice.precision or DEFAULT_PRECISION,
            kv_cache=choice.kv_cache is not False,
            configuration=choice.configuration or "eager",
            devices=choice.devices or 1,
            prompts=choice.prompts,
            name=choice.name,
            host=host,
        )
    )


def _openai(choice: EngineChoice, host: str) -> "Engine":
    from wattshed.domain.system import System
    from wattshed.engines.openai import OpenAIEngine

    hardware, model = str(choice.hardware), str(choice.model)
    system = System(
        choice.name or hardware,
        choice.published_model,
        hardware,
        choice.devices or 1,
        f"openai server ({', '.join(choice.stated)} as stated)" if choice.stated else "openai server",
        choice.precision,
        choice.kv_cache,
        host=host,
    )
    return OpenAIEngine(str(choice.url), model, system=system, api_key=choice.api_key, timeout_s=choice.timeout_s)
