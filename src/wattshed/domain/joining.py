"""Profiles side by side: a name of its own for every system, and one name for the same work.

A system is more than its name: engine configuration and host belong to it (`System`). Predictors, fleets and files
address systems by name, though, so where several share one, what differs between them becomes a part of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from wattshed.domain.measurement import Profile
from wattshed.domain.system import System

WORKS: Final = {
    "random:falcon-7b": "Falcon (7B)",
    "random:llama-2-7b": "Llama-2 (7B)",
    "random:mistral-7b": "Mistral (7B)",
}
"""Published architectures with random weights, and the published models whose arithmetic theirs is, step by step."""

_TELLING: Final = ("engine", "kv_cache", "precision", "devices", "hardware", "host")
"""What tells namesakes apart, from what a reader asks first to what says least."""


def work_of(model: str) -> str:
    """The name of the published model that `model` costs as much as, token for token; else its own."""
    return WORKS.get(model, model)


def told_apart(profile: Profile) -> Profile:
    """The profile with a name for each system that no other of its model bears, whatever their concurrencies.

    Namesakes get the fewest of their differences in brackets, as in "H100 80GB (eager, no cache)"; what is known of
    the limits of a name holds for all who bore it. The same profile where there are none.
    """
    names = _names(profile.systems)
    if all(system.name == name for system, name in names.items()):
        return profile
    renamed = {system: replace(system, name=name) for system, name in names.items()}
    trials = tuple(replace(trial, system=renamed[trial.system]) for trial in profile.measurements)
    limits = {
        (name, system.model): profile.limits[system.name, system.model]
        for system, name in names.items()
        if (system.name, system.model) in profile.limits
    }
    return replace(profile, measurements=trials, limits={**profile.limits, **limits})


def joined(name: str, profiles: Iterable[Profile]) -> Profile:
    """The trials of several profiles that fits may learn from, equal work under one name, namesakes told apart."""
    parts = [told_apart(profile) for profile in profiles]
    trials = tuple(
        replace(trial, system=replace(trial.system, model=work_of(trial.system.model)))
        for part in parts
        for trial in part.measurements
        if trial.experiment not in part.validation_experiments
    )
    limits = {(system, work_of(model)): most for part in parts for (system, model), most in part.limits.items()}
    return Profile(name, trials, limits)


def _names(systems: Sequence[System]) -> dict[System, str]:
    """A name for each system."""
    names: dict[System, str] = {}
    by_name = sorted(systems, key=lambda system: system.name)
    for name, group in groupby(by_name, key=lambda system: system.name):
        namesakes = list(group)
        telling = _telling(namesakes)
        shared = set.intersection(*(set((system.engine or "").split()) for system in namesakes))
        for system in namesakes:
            words = ", ".join(_word(system, field, shared) for field in telling)
            names[system] = f"{name} ({words})" if words else name
    return names


def _telling(namesakes: Sequence[System]) -> list[str]:
    """The differences that are needed, each of which splits what those before it left together."""
    needed: list[str] = []
    for field in _TELLING:
        if _kinds(namesakes, [*needed, field]) > _kinds(namesakes, needed):
            needed.append(field)
    return needed


def _kinds(namesakes: Sequence[System], fields: Sequence[str]) -> int:
    """How many (model, fields) there are."""
    return len({(system.model, *(getattr(system, field) for field in fields)) for system in namesakes})


def _word(system: System, field: str, shared: set[str]) -> str:
    """One difference in words; of an engine only those that its namesakes do not share."""
    if field == "engine":
        return " ".join(word for word in (system.engine or "").split() if word not in shared) or "engine not known"
    if field == "kv_cache":
        return {True: "KV cache", False: "no cache", None: "cache not known"}[system.kv_cache]
    if field == "devices":
        return f"{system.devices} device" + ("s" if system.devices > 1 else "")
    return str(getattr(system, field) or f"{field} not known")
