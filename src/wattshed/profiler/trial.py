"""One trial: a query repeated inside one window of the meters, and what that says about one query.

    mark | query query query ... | mark        at least `window_s`, or one query if that takes longer

Energies are those of the window divided by the queries in it, so whatever lies between two queries is billed to them;
a window in which the engine stood idle for long says so. `open_window` does the work, `measured` is arithmetic.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from wattshed.domain.energy import ChannelEnergy, Part, WindowEnergy, sum_uncertainty
from wattshed.domain.measurement import Measurement
from wattshed.domain.schema import channel_reason
from wattshed.domain.system import System
from wattshed.engines.engine import Engine, Generation, Request
from wattshed.meters.meter import Meter, PowerSample
from wattshed.profiler.design import Shape, Visit
from wattshed.profiler.host import Probe
from wattshed.profiler.pace import Bound, bound, counter_disagrees, limit_share_of, mean_known, utilization_of

PARTS: Final[tuple[Part, ...]] = ("gpu", "cpu", "memory", "platform")
"""Parts of the machine, each with a column of joules; `WindowEnergy.billed` says which are added up."""

LEAST_BUSY: Final = 0.95
"""Share of a window in which the engine has a query to answer, or is flagged: more idling would show in its joules."""

FOREIGN_CORES: Final = 0.5
"""Busy cores that are not ours from which the host counts as shared."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a trial works with; clock and sleep are arguments so that a virtual clock will do."""

    engine: Engine
    meter: Meter | None
    now_s: Callable[[], float]
    sleep: Callable[[float], None]
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen while a query was repeated; `busy_s` is how long the engine had one to answer."""

    started_at_s: float
    stopped_at_s: float
    busy_s: float
    generations: tuple[Generation, ...]
    energy: WindowEnergy | None = None
    samples: tuple[PowerSample, ...] = ()
    host_cpu_s: float | None = None
    host_load: float | None = None

    @property
    def duration_s(self) -> float:
        """Seconds between its two marks."""
        return self.stopped_at_s - self.started_at_s


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trial stands in its campaign; `idle_power_w` is what its session measured before the first cell."""

    visit: Visit
    session: int
    trial: int
    order: int
    warm_up: bool
    idle_power_w: float | None = None


def open_window(bench: Bench, shape: Shape, *, window_s: float, serial: int) -> Window:
    """Repeat the query until the window is `window_s` long; prompts take serials from `serial` on.

    Raises `EngineError` and `MeterError`; a window that was not finished is no window.
    """
    meter = bench.meter
    mark = meter.mark if meter is not None else bench.now_s
    before = bench.probe() if bench.probe else None
    started_at_s, busy_s = mark(), 0.0
    generations: list[Generation] = []
    while not generations or bench.now_s() - started_at_s < window_s:
        request = Request(shape.input_tokens, shape.output_tokens, shape.concurrency, serial)
        answers = bench.engine.generate(request)
        busy_s += max(answer.runtime_s for answer in answers)
        generations += answers
        serial += 1
    stopped_at_s = mark()
    after = bench.probe() if bench.probe else None
    duration_s = stopped_at_s - started_at_s
    return Window(
        started_at_s,
        stopped_at_s,
        busy_s,
        tuple(generations),
        meter.between(started_at_s, stopped_at_s) if meter is not None else None,
        _samples(meter, started_at_s, stopped_at_s) if meter is not None else (),
        max(0.0, after.own_cpu_s - before.own_cpu_s) if before and after else None,
        max(0.0, after.all_cpu_s - before.all_cpu_s) / duration_s if before and after else None,  # iowait may fall
    )


def measured(window: Window, system: System, place: Place) -> Measurement:
    """The window as a trial: what one query cost."""
    queries, answers = len(window.generations), window.generations
    gpu, cpu, memory, platform = (_part(window.energy, part) for part in PARTS)
    known = [part for part in (gpu, cpu, memory, platform) if part is not None and part.energy_j is not None]
    billed = window.energy.billed if window.energy else ()
    gpu_samples = [sample for sample in window.samples if sample.channel in _gpu_names(window)]
    utilization, limit_share = utilization_of(gpu_samples), limit_share_of(gpu_samples)
    pace = bound(utilization=utilization, limit_share=limit_share, host_load=window.host_load)
    shape = place.visit.shape
    return Measurement(
        system=system,
        experiment=place.visit.experiment,
        requested_input_tokens=shape.input_tokens,
        requested_output_tokens=shape.output_tokens,
        input_tokens=round(_mean(answer.input_tokens for answer in answers)),
        output_tokens=round(_mean(answer.output_tokens for answer in answers)),
        trial=place.trial,
        warm_up=place.warm_up,
        runtime_s=_mean(answer.runtime_s for answer in answers),
        boundary=" + ".join(part.channel.boundary for part in billed) or "none: no joules were measured",
        order=place.order,
        ttft_s=mean_known([answer.ttft_s for answer in answers]),
        gpu_energy_j=_share(gpu, queries),
        cpu_energy_j=_share(cpu, queries),
        idle_power_w=place.idle_power_w,
        sensor_uncertainty=sum_uncertainty(billed),
        energy_method=", ".join(f"{part.channel.part} {part.method}, gross" for part in known) or None,
        session=place.session,
        started_at_s=window.started_at_s,
        window_s=window.duration_s,
        window_queries=queries,
        memory_energy_j=_share(memory, queries),
        platform_energy_j=_share(platform, queries),
        cached_tokens=mean_known([answer.cached_tokens for answer in answers]),
        host_cpu_s=window.host_cpu_s,
        host_load=window.host_load,
        gpu_utilization=utilization,
        gpu_limit_share=limit_share,
        bound=pace,
        reasons=tuple(_reasons(window, place, pace)),
    )


def _part(energy: WindowEnergy | None, part: Part) -> ChannelEnergy | None:
    return None if energy is None else energy.part(part)


def _share(part: ChannelEnergy | None, queries: int) -> float | None:
    return None if part is None or part.energy_j is None else part.energy_j / queries


def _reasons(window: Window, place: Place, pace: Bound) -> list[str]:
    """What is missing or odd about the window, as codes of `schema.REASONS`."""
    shape, answers = place.visit.shape, window.generations
    output_tokens = round(_mean(answer.output_tokens for answer in answers))
    foreign = (window.host_load or 0.0) - (window.host_cpu_s or 0.0) / max(window.duration_s, 1e-9)
    flags = {
        "warm_up": place.warm_up,
        "short_output": output_tokens < shape.output_tokens,
        "long_output": output_tokens > shape.output_tokens,
        "cache_hit": any(answer.cached_tokens for answer in answers),
        "engine_idle": window.busy_s < LEAST_BUSY * window.duration_s,
        "host_bound": pace == "host",
        "busy_host": window.host_cpu_s is not None and foreign > FOREIGN_CORES,
        "throttled": any(sample.throttle_reasons for sample in window.samples),
        "counter_disagrees": _disagrees(window),
    }
    codes = [code for code, raised in flags.items() if raised]
    return codes + [code for part in PARTS if (code := _why_missing(part, _part(window.energy, part)))]


def _why_missing(part: Part, energy: ChannelEnergy | None) -> str | None:
    """Why a part has no joules; most machines have no meter of memory or platform, which is nothing to remark."""
    if energy is None:
        return channel_reason(part, "no_meter") if part in ("gpu", "cpu") else None
    return None if energy.reason is None else channel_reason(part, energy.reason)


def _samples(meter: Meter, start_s: float, stop_s: float) -> tuple[PowerSample, ...]:
    return tuple(sample for sample in meter.power_trace(start_s) if sample.at_s <= stop_s)


def _gpu_names(window: Window) -> set[str]:
    return {e.channel.name for e in window.energy.channels if e.channel.part == "gpu"} if window.energy else set()


def _disagrees(window: Window) -> bool:
    channels = window.energy.channels if window.energy else ()
    return any(counter_disagrees(energy, window.samples, window.duration_s) for energy in channels)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
