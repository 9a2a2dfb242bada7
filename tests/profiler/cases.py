"""Benches on a virtual clock, with costs that are known, and campaigns that take no time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wattshed.engines.engine import Request
from wattshed.engines.synthetic import SYSTEM
from wattshed.errors import MeterError
from wattshed.profiler.bundle import Publication, write_bundle
from wattshed.profiler.campaign import Campaign, Earlier, run
from wattshed.profiler.design import Design, Shape
from wattshed.profiler.events import Event, MeterFacts, SessionStarted, TrialDone
from wattshed.profiler.host import HostReading
from wattshed.profiler.journal import FILE, Journal, read_journal, resume_journal
from wattshed.profiler.stopping import Fixed
from wattshed.profiler.trial import Bench
from wattshed.testing import Failures, Scatter, Sensor, SyntheticEngine, SyntheticMeter, TrueCost, VirtualClock

HOST = "host-00000001"
SHAPES = (Shape(8, 8), Shape(8, 32), Shape(32, 8), Shape(64, 64))
VERSIONS = {"wattshed": "0", "python": "3.11", "kernel": "Linux 6"}


def true_cost(request: Request) -> TrueCost:
    """Two seconds and 300 J a query of 40 tokens, in proportion, and a tenth of it until the first token."""
    tokens = request.input_tokens + request.output_tokens
    return TrueCost(7.5 * tokens * request.concurrency, 0.05 * tokens, 0.005 * tokens)


def scattered(request: Request) -> TrueCost:
    """`true_cost` with 1 % of noise that follows from the serial alone, so that a resumed campaign meets it again."""
    rng = np.random.default_rng(request.serial % (1 << 47))  # whichever session asks
    joules, seconds = 1 + 0.01 * rng.standard_normal(2)
    return true_cost(request).scaled(float(joules), float(seconds))


@dataclass
class World:
    """A clock, an engine and a meter that belong together."""

    clock: VirtualClock
    engine: SyntheticEngine
    meter: SyntheticMeter
    metered: bool = True

    @property
    def bench(self) -> Bench:
        """All of it, with a host that does nothing but watch."""
        meter = self.meter if self.metered else None
        return Bench(self.engine, meter, self.clock.now_s, self.clock.sleep, self.probe)

    def probe(self) -> HostReading:
        """One core is busy, and half of that is ours."""
        return HostReading(0.5 * self.clock.now_s(), self.clock.now_s())


class FaultyMeter(SyntheticMeter):
    """A meter whose source fails at one mark, and is well again at the next."""

    def __init__(self, at: "World", fails_at: int) -> None:
        super().__init__(at.clock.now_s, at.engine.work, idle_power_w=60.0)
        self._before = fails_at

    def mark(self) -> float:
        """The present instant, or a `MeterError`."""
        self._before -= 1
        if self._before == 0:
            raise MeterError("source_failed", "the board fell off the bus")
        return super().mark()


def world(
    *,
    spread: float = 0.0,
    seed: int = 0,
    failures: Failures | None = None,
    sensor: Sensor | None = None,
    host: str = HOST,
) -> World:
    """A world with `spread` of independent noise, or without it the noise of the serials."""
    clock = VirtualClock()
    engine = SyntheticEngine(
        true_cost if spread else scattered,
        now_s=clock.now_s,
        sleep=clock.sleep,
        system=replace(SYSTEM, host=host),
        scatter=Scatter(spread, np.random.default_rng(seed)) if spread else None,
        failures=failures,
    )
    meter = SyntheticMeter(clock.now_s, engine.work, idle_power_w=60.0, sensor=sensor or Sensor(tolerance=0.05))
    return World(clock, engine, meter)


def campaign(shapes: Sequence[Shape] = SHAPES, **changes: object) -> Campaign:
    """A small campaign: three windows a cell, a second of idle."""
    plan = Campaign(Design("small", tuple(shapes)), Fixed(3), seed=7, idle_s=1.0, settle_s=5.0, reference_every=2)
    return replace(plan, **changes)


def trials_of(events: Sequence[Event]) -> list[TrialDone]:
    """The trials that count, in order."""
    return [event for event in events if isinstance(event, TrialDone) and not event.trial.warm_up]


def measured(plan: Campaign, at: World) -> list[Event]:
    """All events of a campaign that nobody interrupts."""
    return list(run(plan, at.bench))


def session(number: int, at: World) -> SessionStarted:
    """The first event of a session."""
    meters = (MeterFacts(at.meter.name, at.meter.channels, {"meter": at.meter.name, "available": True}),)
    host = str(at.engine.system.host)
    return SessionStarted(number, host, "2026-01-02T03:04:05+00:00", VERSIONS, meters if at.metered else ())


def journalled(directory: Path, plan: Campaign, at: World, *, events: int | None = None) -> None:
    """Run, or go on with, a campaign into the journal of a directory; stop dead after so many events."""
    kept: Journal = resume_journal(directory / FILE, plan.settings)
    earlier: Earlier = read_journal(kept.path).earlier(str(at.engine.system.host))
    kept.append(session(earlier.session, at))
    for number, event in enumerate(run(plan, at.bench, earlier=earlier)):
        if number == events:
            break
        kept.append(event)
    kept.close()


def bundle(directory: Path, plan: Campaign | None = None, at: World | None = None) -> Path:
    """A whole bundle in a directory."""
    journalled(directory, plan or campaign(), at or world())
    write_bundle(directory, Publication("small"))
    return directory
