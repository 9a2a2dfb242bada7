"""Requests that have ended, in the numbers: many rows at once, which takes a third of the time of one by one.

Rows that are alike in their names are added up first, and each number is then looked up once for all of them.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from wattshed.domain.schema import OUTCOMES
from wattshed.gateway.events import Names
from wattshed.gateway.ledger.ledger import Row
from wattshed.gateway.metrics.counts import OTHER, Counts

_Column = Callable[[Row], float | None]

_TOKENS: Final[dict[str, _Column]] = {kind: attrgetter(f"{kind}_tokens") for kind in ("input", "cached", "output")}
_JOULES: Final[dict[str, _Column]] = {
    f"wattshed_{kind}_joules_total": attrgetter(f"{kind}_energy_j")
    for kind in ("predicted", "hindsight", "baseline", "shadow")
}
_NAMED: Final = attrgetter("model", "system", "outcome", "key")
"""What labels are made of."""

_SAVED: Final = ("wattshed_saved_joules", "wattshed_saved_lower_joules", "wattshed_saved_upper_joules")


class _Labels(NamedTuple):
    """What rows have in common that are counted together."""

    model: str
    system: str
    outcome: str
    key: str


def count_rows(counts: Counts, rows: Sequence[Row], names: Names) -> None:
    """Count requests that have ended; what the configuration does not name is `other`."""
    alike: dict[object, list[Row]] = {}
    for row in rows:
        alike.setdefault(_NAMED(row), []).append(row)
    for part in alike.values():
        labels = _labels(part[0], names)
        _count_alike(counts, labels, part)
        _count_times(counts, labels, part)
        _count_joules(counts, labels, part)


def system_label(name: str | None, names: Names) -> str:
    """What a system is called in labels."""
    return "" if name is None else name if name in names.systems else OTHER


def _labels(row: Row, names: Names) -> _Labels:
    return _Labels(
        row.model if row.model in names.models else OTHER,
        system_label(row.system, names),
        row.outcome if row.outcome in OUTCOMES else OTHER,
        "" if row.key is None else row.key if row.key in names.keys else OTHER,
    )


def _count_alike(counts: Counts, labels: _Labels, rows: Sequence[Row]) -> None:
    model, system, outcome, key = labels
    counts.add("wattshed_requests_total", len(rows), model, system, outcome)
    counts.add("wattshed_key_requests_total", len(rows), key, outcome)
    for kind, column in _TOKENS.items():
        tokens = sum(_known(column, rows))
        if tokens:
            counts.add("wattshed_tokens_total", tokens, model, system, kind)
    disagreed = sum(row.shadow is not None and row.shadow != row.system for row in rows)
    if disagreed:
        counts.add("wattshed_shadow_disagreements_total", disagreed, system)


def _count_times(counts: Counts, labels: _Labels, rows: Sequence[Row]) -> None:
    model, system, outcome, _ = labels
    counts.observe("wattshed_ttft_seconds", _known(attrgetter("ttft_s"), rows), model, system)
    counts.observe("wattshed_wait_seconds", _known(attrgetter("wait_s"), rows), system)
    if outcome == "done":
        counts.observe("wattshed_runtime_seconds", [row.runtime_s for row in rows], model, system)


def _count_joules(counts: Counts, labels: _Labels, rows: Sequence[Row]) -> None:
    model, system, outcome, key = labels
    for name, column in _JOULES.items():
        known_j = _known(column, rows)
        if known_j:
            counts.add(name, sum(known_j), model, system)
    spent_j = _known(attrgetter("hindsight_energy_j"), rows)
    if spent_j:
        counts.add("wattshed_key_joules_total", sum(spent_j), key)
    wasted_j = sum(_known(attrgetter("wasted_energy_j"), rows))
    if wasted_j:
        counts.add("wattshed_wasted_joules_total", wasted_j, system, outcome)
    saved_j = [one for one in map(_saved_j, rows) if one is not None]
    for name, values_j in zip(_SAVED, zip(*saved_j, strict=True), strict=False):  # no columns where none is known
        counts.add(name, sum(values_j), model, system)


def _known(column: _Column, rows: Sequence[Row]) -> list[float]:
    return [value for value in map(column, rows) if value is not None]


def _saved_j(row: Row) -> tuple[float, float, float] | None:
    """What the placement saved against the baseline and the bounds of it, where both are known with theirs."""
    ours_j, theirs_j = row.hindsight_energy_j, row.baseline_energy_j
    lower_j, upper_j = row.hindsight_energy_lower_j, row.hindsight_energy_upper_j
    their_lower_j, their_upper_j = row.baseline_energy_lower_j, row.baseline_energy_upper_j
    if ours_j is None or lower_j is None or upper_j is None:
        return None
    if theirs_j is None or their_lower_j is None or their_upper_j is None:
        return None
    if row.system == row.baseline:
        return 0.0, 0.0, 0.0  # the same prediction on both sides: no doubt that nothing was saved
    return theirs_j - ours_j, their_lower_j - upper_j, their_upper_j - lower_j
