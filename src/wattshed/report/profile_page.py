"""The page of a profile: what was measured, Figures 1 and 2 beside the bundled systems, and what to doubt."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from wattshed.domain.choices import Channel
from wattshed.domain.joining import work_of
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System
from wattshed.profiler.design import Shape, paper_sweeps
from wattshed.report.effects_page import effect_pictures, effect_sections
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.profile_figures import (
    Trace,
    describe,
    first_token_figure,
    has_first_tokens,
    power_figure,
    sweep_figure,
)
from wattshed.report.profile_points import Along, Trials, measured

ALONG: Final[tuple[Along, ...]] = ("input", "output")
"""Figure 1 and Figure 2."""


def best_channel(profile: Profile) -> Channel:
    """The widest boundary that was measured: `total` where every trial with joules has both parts, else the one."""
    trials = [trial for trial in profile.measurements if trial.gpu_energy_j is not None]
    if not trials:
        others: tuple[Channel, ...] = ("cpu", "platform")
        known = (channel for channel in others if any(t.energy_j(channel) is not None for t in profile.measurements))
        return next(known, "gpu")
    return "total" if trials and all(trial.cpu_energy_j is not None for trial in trials) else "gpu"


def profile_pictures(profile: Profile, known: Profile | None, trace: Trace) -> dict[str, Picture]:
    """The pictures of a profile by name, beside the systems of `known` that ran the same models."""
    channel, new = best_channel(profile), measured(profile)
    pictures = sweep_pictures(new, known, channel)
    for system, trials in new.items():
        if has_first_tokens(trials) and system.concurrency == 1:
            pictures[f"first-token-{len(pictures)}"] = Picture(
                first_token_figure(trials),
                f"Prefill and decoding of {describe(system)}.",
                "Stacked bars of the seconds before and after the first token of every cell.",
            )
    pictures |= effect_pictures(new, channel)
    if trace:
        pictures["power"] = Picture(power_figure(trace), "Every power sample.", "Power against time.")
    return pictures


def profile_sections(profile: Profile, pictures: Mapping[str, Picture]) -> list[Section]:
    """The report of a profile around its pictures."""
    new = measured(profile)
    effects = effect_sections(new, best_channel(profile), pictures)
    return [
        Section("What was measured", [_systems(new), _reasons(profile.measurements), _boundary(profile)]),
        Section("Figures", [picture for name, picture in pictures.items() if name not in effects]),
        *effects.values(),
        Section("Every cell", [_cells(system, trials) for system, trials in new.items()]),
    ]


def sweep_pictures(new: Trials, known: Profile | None, channel: Channel) -> dict[str, Picture]:
    """Figures 1 and 2 for each model, one request in flight, before the known systems that did the same work."""
    models = list(dict.fromkeys(system.model for system in new))
    pictures = {}
    for model in models:
        ours = {system: trials for system, trials in new.items() if (system.model, system.concurrency) == (model, 1)}
        behind = {} if known is None else {s: t for s, t in measured(known).items() if s.model == work_of(model)}
        beside = f" Grey: {known.name}." if known is not None and behind else ""
        suffix = f"-{_file_name(model)}" if len(models) > 1 else ""
        for along in ALONG:
            pictures[f"{along}-sweep{suffix}"] = Picture(
                sweep_figure(ours, behind, along, channel),
                f"{model} along {along} tokens, means with 95 % intervals of the scatter; energy on channel {channel}."
                + beside,
                f"Runtime, throughput and energy per token against {along} tokens, a line a system.",
            )
    return pictures


def _boundary(profile: Profile) -> Prose:
    boundaries = sorted({trial.boundary for trial in profile.measurements})
    return Prose(f"Whose joules these are: {'; '.join(boundaries)}.")


def _systems(new: Trials) -> Table:
    """A row a system, whatever the requests in flight."""
    singles: dict[System, list[Measurement]] = {}
    for system, trials in new.items():
        singles.setdefault(system.single, []).extend(trials)
    header = ("system", "in flight", "trials", "cells", "with one trial", "paced by the host", "idle, loaded (W)")
    return Table("Systems", header, [_system_row(system, trials) for system, trials in singles.items()])


def _system_row(system: System, trials: Sequence[Measurement]) -> tuple[str, ...]:
    cells: dict[tuple[int, int, int], list[Measurement]] = {}
    for trial in trials:
        cells.setdefault((*_shape(trial), trial.system.concurrency), []).append(trial)
    in_flight = ", ".join(str(count) for count in sorted({trial.system.concurrency for trial in trials}))
    lone = sum(len(pool) == 1 for pool in cells.values())
    by_host = sum(any(trial.bound == "host" for trial in pool) for pool in cells.values())
    idle_w = sorted({trial.idle_power_w for trial in trials if trial.idle_power_w is not None})
    idle = "–" if not idle_w else " to ".join(dict.fromkeys(f"{power_w:.1f}" for power_w in (idle_w[0], idle_w[-1])))
    name = f"{describe(system)} ({system.hardware})"
    return name, in_flight, str(len(trials)), str(len(cells)), str(lone), str(by_host), idle


def _reasons(trials: Sequence[Measurement]) -> Table:
    counted = Counter(reason for trial in trials for reason in trial.reasons)
    rows = [(reason, str(count)) for reason, count in sorted(counted.items())]
    return Table("Reason codes", ("code", "trials"), rows or [("none", "0")])


def _cells(system: System, trials: Sequence[Measurement]) -> Table:
    pools: dict[tuple[int, int], list[Measurement]] = {}
    for trial in trials:
        pools.setdefault(_shape(trial), []).append(trial)
    return Table(
        describe(system),
        ("m", "n", "sweep", "trials", "runtime s", "energy J", "paced by"),
        [
            (
                str(m),
                str(n),
                ", ".join(paper_sweeps(Shape(m, n, system.concurrency))),
                str(len(pool)),
                _mean([t.query_runtime_s for t in pool]),
                _mean([t.measured_energy_j for t in pool]),
                ", ".join(sorted({t.bound for t in pool if t.bound})) or "–",
            )
            for (m, n), pool in sorted(pools.items())
        ],
        folded=True,
    )


def _shape(trial: Measurement) -> tuple[int, int]:
    return trial.requested_input_tokens, trial.requested_output_tokens


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.4g}" if known else "–"


def _file_name(model: str) -> str:
    """A model in the name of a file."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", model).strip("-")
