"""What the predictors of a profile are worth, in words and as a table: `wattshed fit` prints the same numbers."""

from collections.abc import Sequence
from typing import Final

from wattshed.domain.choices import Channel
from wattshed.domain.joining import told_apart
from wattshed.domain.measurement import Profile
from wattshed.predictors.check import Check, Quantity, check
from wattshed.report.page import Prose, Section, Table
from wattshed.units import percent


def checks_section(profile: Profile, channel: Channel) -> Section:
    """Errors at cells left out: the prefix form where there is no KV cache, the batch form where there is one."""
    systems = told_apart(profile).systems
    uncached = {(system.name, system.model) for system in systems if system.kv_cache is False}
    cached = {(system.name, system.model) for system in systems} - uncached
    found = {
        "prefix": check(profile, kind="prefix", channel=channel, only=uncached),
        "batch": check(profile, kind="batch", channel=channel, only=cached),
    }
    every = [one for checks in found.values() for one in checks]
    tables = [
        check_table(checks, f"Errors of the {kind} form, in per cent") for kind, checks in found.items() if checks
    ]
    return Section("What predictors are worth", [Prose(check_words(every)), *tables])


def check_words(checks: Sequence[Check]) -> str:
    """How far the predictions of cells left out are off, those that the host paced apart from the others."""
    if not checks:
        return "No system has cells enough for a predictor."
    return " ".join(_of_quantity([one for one in checks if one.quantity == q], q) for q in _QUANTITIES)


def check_table(checks: Sequence[Check], caption: str) -> Table:
    """Every check: mean errors at the cells fitted and left out, those that the host paced and the others apart."""
    header = ("system and model", "of", "cells", "fitted", "left out", "host-bound", "others", "worst", "covered")
    rows = [
        (
            f"{one.system}, {one.model}",
            one.quantity,
            str(one.cells),
            *map(_in_percent, (one.fit_mape, one.held_out_mape, one.host_bound_mape, one.other_mape)),
            *map(_in_percent, (one.held_out_max_error, one.coverage)),
        )
        for one in checks
    ]
    return Table(caption, header, rows)


AIM: Final = 0.10
"""Mean error at cells left out that a predictor should keep to: an aim, not a limit."""

_QUANTITIES: tuple[Quantity, ...] = ("energy", "runtime")


def _of_quantity(checks: Sequence[Check], quantity: Quantity) -> str:
    """One sentence: the range over systems of either kind of cell."""
    others = _range([one.other_mape for one in checks])
    by_host = _range([one.host_bound_mape for one in checks])
    said = [f"{others} where the host did not set the pace"] if others else []
    said += [f"{by_host} where it did"] if by_host else []
    if not said:
        return f"No cell could be left out to check {quantity}."
    means = [one.held_out_mape for one in checks if one.held_out_mape is not None]
    close = sum(mean <= AIM for mean in means)
    return (
        f"At cells left out of the fit, {quantity} is off by {' and '.join(said)}, a mean for each system and "
        f"model; {close} of {len(means)} such means over all cells are at most {percent(AIM):.0f} %."
    )


def _range(errors: Sequence[float | None]) -> str:
    known = sorted(error for error in errors if error is not None)
    if not known:
        return ""
    ends = f"{percent(known[0]):.1f}", f"{percent(known[-1]):.1f}"
    return (ends[0] if ends[0] == ends[1] else " to ".join(ends)) + " %"


def _in_percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{percent(fraction):.1f}"
