"""The page of a profile: what was measured, Figures 1 and 2 beside the bundled systems, and what to doubt."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.profile_figures import (
    Trace,
    Trials,
    batch_figure,
    describe,
    first_token_figure,
    has_first_tokens,
    power_figure,
    sweep_figure,
)
from wattshed.report.profile_points import measured

SAME_MODEL: Final = {
    "random:falcon-7b": "Falcon (7B)",
    "random:llama-2-7b": "Llama-2 (7B)",
    "random:mistral-7b": "Mistral (7B)",
}
"""Published architectures with random weights, and what the bundled profile calls them: the work is the same."""


def best_channel(profile: Profile) -> Channel:
    """The widest boundary that was measured: `total` where every trial with joules has both parts, else the one."""
    trials = [trial for trial in profile.measurements if trial.gpu_energy_j is not None]
    if not trials and any(trial.cpu_energy_j is not None for trial in profile.measurements):
        return "cpu"
    return "total" if trials and all(trial.cpu_energy_j is not None for trial in trials) else "gpu"


def profile_pictures(profile: Profile, known: Profile | None, trace: Trace) -> dict[str, Picture]:
    """The pictures of a profile by name, beside the systems of `known` that ran the same models."""
    channel, new = best_channel(profile), measured(profile)
    models = {SAME_MODEL.get(system.model, system.model) for system in new}
    behind: Trials = {}
    if known is not None:
        behind = {system: trials for system, trials in measured(known).items() if system.model in models}
    beside = f" Grey: {known.name}." if known is not None and behind else ""
    pictures = {
        f"{along}-sweep": Picture(
            sweep_figure({s: t for s, t in new.items() if s.concurrency == 1}, behind, along, channel),
            f"Along {along} tokens, means with 95 % intervals; energy on channel {channel}.{beside}",
            f"Runtime, throughput and energy per token against {along} tokens, a line a system.",
        )
        for along in ("input", "output")
    }
    for system, trials in new.items():
        if has_first_tokens(trials) and system.concurrency == 1:
            pictures[f"first-token-{len(pictures)}"] = Picture(
                first_token_figure(trials),
                f"Prefill and decoding of {describe(system)}.",
                "Stacked bars of the seconds before and after the first token of every cell.",
            )
    if len({system.concurrency for system in new}) > 1:
        pictures["batch"] = Picture(
            batch_figure(new, channel),
            "More requests in flight share each step.",
            "Energy per token and runtime against the number of requests in flight.",
        )
    if trace:
        pictures["power"] = Picture(power_figure(trace), "Every power sample.", "Power against time.")
    return pictures


def profile_sections(profile: Profile, known: Profile | None, trace: Trace) -> list[Section]:
    """The report of a profile."""
    new = measured(profile)
    return [
        Section("What was measured", [_systems(new), _reasons(profile.measurements), _boundary(profile)]),
        Section("Figures", list(profile_pictures(profile, known, trace).values())),
        Section("Every cell", [_cells(system, trials) for system, trials in new.items()]),
    ]


def _boundary(profile: Profile) -> Prose:
    boundaries = sorted({trial.boundary for trial in profile.measurements})
    return Prose(f"Whose joules these are: {'; '.join(boundaries)}.")


def _systems(new: Trials) -> Table:
    rows = [
        (describe(system), system.hardware, str(len(trials)), str(len({_shape(trial) for trial in trials})))
        for system, trials in new.items()
    ]
    return Table("Systems", ("system", "hardware", "trials", "cells"), rows)


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
        ("m", "n", "trials", "runtime s", "energy J"),
        [
            (
                str(m),
                str(n),
                str(len(pool)),
                _mean([t.query_runtime_s for t in pool]),
                _mean([_joules(t) for t in pool]),
            )
            for (m, n), pool in sorted(pools.items())
        ],
        folded=True,
    )


def _joules(trial: Measurement) -> float | None:
    """What was measured: both parts, or the one there is."""
    return trial.measured_energy_j


def _shape(trial: Measurement) -> tuple[int, int]:
    return trial.requested_input_tokens, trial.requested_output_tokens


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.4g}" if known else "–"
