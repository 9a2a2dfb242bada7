"""The page of a profile: what was measured, Figures 1 and 2 beside the bundled systems, and what to doubt."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from wattshed.domain.choices import Channel
from wattshed.domain.joining import work_of
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.schema import REASONS
from wattshed.domain.system import System
from wattshed.profiler.design import Shape, paper_sweeps
from wattshed.report.effects_lengths import lengths_section
from wattshed.report.effects_page import effect_pictures, effect_sections
from wattshed.report.marks import BARS
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
    pictures |= first_token_pictures(new)
    pictures |= effect_pictures(new, channel)
    if trace:
        caption = "Power samples of all sessions, end to end; a channel that stood at 0 W throughout is left out."
        pictures["power"] = Picture(power_figure(trace), caption, "Power against time.")
    return pictures


def profile_sections(profile: Profile, pictures: Mapping[str, Picture]) -> list[Section]:
    """The report of a profile around its pictures."""
    new = measured(profile)
    effects = effect_sections(new, best_channel(profile), pictures)
    lengths = lengths_section(profile.measurements, best_channel(profile))
    return [
        Section("What was measured", [_systems(new), _reasons(profile.measurements), _boundary(profile)]),
        Section("Figures", [picture for name, picture in pictures.items() if name not in effects]),
        *effects.values(),
        *([lengths] if lengths else []),
        Section("Every cell", [_cells(system, trials) for system, trials in new.items()]),
    ]


def sweep_pictures(new: Trials, known: Profile | None, channel: Channel) -> dict[str, Picture]:
    """Figures 1 and 2 for each model, one request in flight, before the known systems that did the same work."""
    pictures = {}
    by_model = _alone_by_model(new)
    for model, ours in by_model.items():
        behind = {} if known is None else {s: t for s, t in measured(known).items() if s.model == work_of(model)}
        beside = f" Grey: {known.name}." if known is not None and behind else ""
        suffix = f"-{_file_name(model)}" if len(by_model) > 1 else ""
        for along in ALONG:
            pictures[f"{along}-sweep{suffix}"] = Picture(
                sweep_figure(ours, behind, along, channel),
                f"{model} along {along} tokens, the mean of each cell; energy on channel {channel}. {BARS}{beside}",
                f"Runtime, throughput and energy per token against {along} tokens, a line a system.",
            )
    return pictures


def first_token_pictures(new: Trials) -> dict[str, Picture]:
    """Prefill beside decoding for each model, one request in flight, where first tokens were seen."""
    seen = {system: trials for system, trials in new.items() if has_first_tokens(trials)}
    by_model = _alone_by_model(seen)
    return {
        "first-token" + (f"-{_file_name(model)}" if len(by_model) > 1 else ""): Picture(
            first_token_figure(ours),
            f"Prefill and decoding of {model} along input tokens, the mean of each cell. {BARS}",
            "Milliseconds to the first token and of each token after it against input tokens, a line a system.",
        )
        for model, ours in by_model.items()
    }


def _alone_by_model(trials: Trials) -> dict[str, Trials]:
    """The trials of one request in flight, by model and then by system."""
    found: dict[str, dict[System, Sequence[Measurement]]] = {}
    for system, own in trials.items():
        if system.concurrency == 1:
            found.setdefault(system.model, {})[system] = own
    return dict(found)


def _boundary(profile: Profile) -> Prose:
    boundaries = sorted({trial.boundary for trial in profile.measurements})
    return Prose(f"Whose joules these are: {'; '.join(boundaries)}.")


def _systems(new: Trials) -> Table:
    """A row a system, whatever the requests in flight."""
    singles: dict[System, list[Measurement]] = {}
    for system, trials in new.items():
        singles.setdefault(system.single, []).extend(trials)
    words, counts = ("system", "model", "engine", "host", "in flight"), ("trials", "cells", "with one trial")
    header = (*words, *counts, "paced by the host", "idle, loaded (W)")
    hardware = ", ".join(sorted({f"{system.devices} x {system.hardware}" for system in singles}))
    rows = [_system_row(system, trials) for system, trials in singles.items()]
    return Table(f"Systems, on {hardware}", header, rows)


def _system_row(system: System, trials: Sequence[Measurement]) -> tuple[str, ...]:
    cells: dict[tuple[int, int, int], list[Measurement]] = {}
    for trial in trials:
        cells.setdefault((*_shape(trial), trial.system.concurrency), []).append(trial)
    in_flight = ", ".join(str(count) for count in sorted({trial.system.concurrency for trial in trials}))
    lone = sum(len(pool) == 1 for pool in cells.values())
    by_host = sum(any(trial.bound == "host" for trial in pool) for pool in cells.values())
    idle_w = sorted({trial.idle_power_w for trial in trials if trial.idle_power_w is not None})
    idle = "–" if not idle_w else " to ".join(dict.fromkeys(f"{power_w:.1f}" for power_w in (idle_w[0], idle_w[-1])))
    words = (system.name, system.model, system.engine or "–", system.host or "–", in_flight)
    return *words, str(len(trials)), str(len(cells)), str(lone), str(by_host), idle


def _reasons(trials: Sequence[Measurement]) -> Table:
    counted = Counter((reason, trial.warm_up) for trial in trials for reason in trial.reasons if reason != "warm_up")
    rows = [
        (reason, str(counted[reason, False]), str(counted[reason, True]), REASONS.get(reason, "–"))
        for reason in sorted({reason for reason, _ in counted})
    ]
    header = ("code", "trials", "warm-ups", "meaning")
    return Table("Reason codes", header, rows or [("none", "0", "0", "nothing was flagged")])


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
