"""The rig of `wattshed profile`: engine, meters and clock, put together from the flags."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from wattshed.domain.choices import Configuration, Device, EngineKind, Precision
from wattshed.errors import UsageError
from wattshed.files import read_whole

if TYPE_CHECKING:
    from wattshed.engines.engine import Engine
    from wattshed.meters.meter import Meter
    from wattshed.profiler.events import MeterFacts, SessionStarted
    from wattshed.profiler.trial import Bench

CERTIFY_S = 5.0
"""Time at rest that a meter's certificate is made from."""


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """What the flags say about the engine."""

    kind: EngineKind
    model: str | None
    device: Device
    devices: int
    precision: Precision | None
    kv_cache: bool
    configuration: Configuration
    prompts: Path | None
    url: str | None
    api_key: str | None
    name: str | None
    hardware: str | None
    timeout_s: float
    meters: tuple[str, ...] = ()

    def check(self) -> None:
        """`UsageError` where flags are missing or belong elsewhere; `MissingError` where a file is not there."""
        if self.kind == "synthetic" and self.meters:
            raise UsageError("--meters is not for --engine synthetic, which brings its own; leave it out")
        if self.kind != "transformers" and self.prompts is not None:
            raise UsageError("--prompts is for --engine transformers; leave it out")
        if self.prompts is not None:
            read_whole(self.prompts, wanted="a text file with a prompt a line")
        if self.kind != "synthetic" and self.model is None:
            raise UsageError(f"--engine {self.kind} needs --model")
        if (self.kind == "openai") != (self.url is not None):
            raise UsageError("--url and --engine openai go together; give both or neither")
        if self.kind == "openai" and self.hardware is None:
            raise UsageError("--engine openai needs --hardware: a server does not say what it runs on")

    @property
    def settings(self) -> dict[str, object]:
        """What the journal keeps: everything that changes the numbers, and neither URL nor key."""
        system = {"engine": self.kind, "model": self.model or "synthetic", "name": self.name}
        if self.kind == "synthetic":
            return dict(system)
        return system | {
            "hardware": self.hardware,
            "device": self.device,
            "devices": self.devices,
            "precision": self.precision,
            "kv_cache": self.kv_cache,
            "configuration": self.configuration,
            "prompts": "random tokens"
            if self.prompts is None
            else sha256(read_whole(self.prompts, wanted="a text file with a prompt a line")).hexdigest(),
        }


@dataclass(frozen=True, slots=True)
class Rig:
    """A bench with what the journal needs to know about it; `no_meter` says why there is none."""

    bench: "Bench"
    meters: tuple["Meter", ...]
    host: str
    settings: dict[str, object]
    no_meter: str = ""

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
    return Rig(bench, found, host, choice.settings | {"channels": channels}, why)  # so a campaign has one boundary


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

    return host_label(Path(typer.get_app_dir("wattshed")) / "hosts.json", machine(), np.random.default_rng())


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
            device=choice.device,
            precision=choice.precision or "bf16",
            kv_cache=choice.kv_cache,
            configuration=choice.configuration,
            devices=choice.devices,
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
        model,
        hardware,
        choice.devices,
        "openai server",
        choice.precision,
        choice.kv_cache,
        host=host,
    )
    return OpenAIEngine(str(choice.url), model, system=system, api_key=choice.api_key, timeout_s=choice.timeout_s)
