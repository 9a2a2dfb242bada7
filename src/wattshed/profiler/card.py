"""The data card of a bundle, or of a profile published from several: `README.md`, for people.

What was measured, how, what to mind, every cell, and how to check it. Each number is the manifest's or the trials'; a
card holds nothing that a program needs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from wattshed.datasets.manifest import CampaignRecord, CellRecord, Manifest
from wattshed.domain.measurement import Measurement
from wattshed.domain.schema import REASONS
from wattshed.profiler import journal
from wattshed.profiler.card_method import method_lines, table
from wattshed.profiler.design import REFERENCE, Shape, paper_sweeps

SENSOR_KNOWN: Final = "those of energy hold the sensor's uncertainty too"
SENSOR_UNKNOWN: Final = "those of energy are scatter alone where it says so, the sensor's uncertainty not being known"
"""What the card says of half-widths of energy: the second where any cell lacks the sensor's uncertainty."""

CELLS: Final = ("experiment", "m", "n", "at once", "sweep", "trials", "runtime s", "energy J", "bound", "stopped")

Campaigns = Sequence[tuple[CampaignRecord, Sequence[Measurement]]]
"""Each campaign with its trials."""


def card(manifest: Manifest, trials: Sequence[Measurement]) -> str:
    """The card as Markdown, of the manifest of C campaigns, C at least 1, and all their trials."""
    campaigns = [
        (campaign, [trial for trial in trials if trial.session in numbers])
        for campaign, numbers in zip(manifest.campaigns, manifest.sessions, strict=True)
    ]
    lines = (
        f"# {manifest.title}",
        "",
        *_lead(manifest, trials),
        *("", "## What was measured", "", *_what(campaigns)),
        *("", "## How", "", *method_lines(manifest)),
        *("", "## What to mind", "", *_minded(manifest, trials)),
        *("", "## Every cell", "", *_cells(manifest.campaigns)),
        *("## Check it", "", *_checking(manifest)),
    )
    return "\n".join(lines) + "\n"


def energy_with_half_width(cell: CellRecord) -> str:
    """Joules of a cell for people, within scatter and sensor; within scatter alone, and saying so, if need be."""
    if not _scatter_alone(cell):
        return with_half_width(cell.energy_j, cell.combined_half_width_j)
    return f"{with_half_width(cell.energy_j, cell.energy_half_width_j)} (scatter alone)"


def with_half_width(value: float | None, half_width: float | None) -> str:
    """A number for people to four digits, with its half-width to two."""
    if value is None:
        return "not measured"
    return in_digits(value, 4) if half_width is None else f"{in_digits(value, 4)} ± {in_digits(half_width, 2)}"


def in_digits(value: float, digits: int) -> str:
    """A number to so many significant digits, its thousands parted, without a power of ten: 2.4e4 is "24,000"."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10**digits else f"{rounded:.{digits}g}"


def _lead(manifest: Manifest, trials: Sequence[Measurement]) -> Iterator[str]:
    hardware = sorted({f"{trial.system.devices} x {trial.system.hardware}" for trial in trials})
    warm_ups = sum(trial.warm_up for trial in trials)
    yield f"{len(trials):,} trials, {warm_ups:,} of them warm-ups, on {', '.join(hardware)}, {manifest.measured}."
    yield f"Whose joules: {'; '.join(sorted({trial.boundary for trial in trials}))}."
    yield f"Source: {manifest.source}. Licence: {manifest.licence}."
    if manifest.citation:
        yield f"To be cited as: {manifest.citation}."


def _what(campaigns: Campaigns) -> list[str]:
    head = ("campaign", "system", "model", "engine", "KV cache", "host", "design", "at once", "cells", "windows a cell")
    return table((*head, "bound by"), [_campaign_row(*campaign) for campaign in campaigns])


def _campaign_row(campaign: CampaignRecord, trials: Sequence[Measurement]) -> tuple[object, ...]:
    systems = sorted({trial.system.single for trial in trials}, key=lambda system: system.host or "")
    cells = [cell for cell in campaign.cells if cell.experiment != REFERENCE]
    windows = [cell.trials for cell in cells]
    bounds = Counter(cell.bound or "unknown" for cell in cells)
    engines = {", ".join(filter(None, (one.engine, one.precision))) for one in systems}
    return (
        campaign.name,
        _listed({one.name for one in systems}),
        _listed({one.model for one in systems}),
        _listed(engines),
        _listed({{True: "yes", False: "no", None: "not said"}[one.kv_cache] for one in systems}),
        _listed({one.host or "not said" for one in systems}),
        campaign.settings["design"],
        ", ".join(map(str, sorted({cell.concurrency for cell in cells}))),
        len(cells),
        f"{min(windows)} to {max(windows)}" if len(set(windows)) > 1 else next(iter(windows), 0),
        ", ".join(f"{bound} {number}" for bound, number in sorted(bounds.items())),
    )


def _minded(manifest: Manifest, trials: Sequence[Measurement]) -> Iterator[str]:
    """What the manifest calls a fault, what the trials say of themselves, and what there is not."""
    yield from (f"- {fault}" for fault in manifest.faults)
    counted = [trial for trial in trials if not trial.warm_up]
    codes = Counter(code for trial in counted for code in trial.reasons)
    for code, number in codes.most_common():
        yield f"- `{code}`, {number:,} of {len(counted):,} windows: {REASONS[code]}."
    cells = [cell for campaign in manifest.campaigns for cell in campaign.cells]
    lone = sum(cell.trials == 1 for cell in cells)
    if lone:
        yield f"- {lone} of {len(cells)} cells rest on one window, and have no interval."
    for campaign in manifest.campaigns:
        if campaign.ended != "complete":
            yield f"- Campaign {campaign.name} did not come to its end ({campaign.ended})."
        for one in campaign.failures:
            shape = Shape(one.input_tokens, one.output_tokens, one.concurrency)
            yield f"- Failed, {campaign.name} {shape} after {one.trials} windows: {one.reason}."
    for limit in manifest.limits:
        yield f"- {limit.system} with {limit.model} serves up to {limit.max_total_tokens} tokens: {limit.reason}."
    yield from _unmeasured(manifest)


def _unmeasured(manifest: Manifest) -> Iterator[str]:
    missing: dict[tuple[str, str], list[str]] = {}
    for one in manifest.unmeasured:
        shape = Shape(one.input_tokens, one.output_tokens, one.concurrency)
        missing.setdefault((one.system, one.model), []).append(str(shape))
    for (system, model), shapes in missing.items():
        yield f"- Not measured, {system} with {model}: {', '.join(shapes)}."


def _cells(campaigns: Sequence[CampaignRecord]) -> Iterator[str]:
    cells = [cell for campaign in campaigns for cell in campaign.cells]
    widths = SENSOR_UNKNOWN if any(map(_scatter_alone, cells)) else SENSOR_KNOWN
    yield f"Means with 95 % half-widths; {widths}."
    yield "Cells bound by the host say more about the host than about the accelerator."
    yield "`sweep` says which sweep of the paper a cell lies on: `paper-input` has m = 8 to 2048 and n = 32,"
    yield "`paper-output` m = 32 and n = 8 to 4096."
    yield ""
    for campaign in campaigns:
        yield from (f"### {campaign.name}", "") if len(campaigns) > 1 else ()
        yield from table(CELLS, map(_row, sorted(campaign.cells, key=_in_order)))
        yield ""


def _in_order(cell: CellRecord) -> tuple[object, ...]:
    is_reference = cell.experiment == REFERENCE
    return is_reference, cell.experiment, cell.host or "", cell.concurrency, cell.input_tokens, cell.output_tokens


def _row(cell: CellRecord) -> tuple[object, ...]:
    return (
        cell.experiment,
        cell.input_tokens,
        cell.output_tokens,
        cell.concurrency,
        ", ".join(paper_sweeps(Shape(cell.input_tokens, cell.output_tokens, cell.concurrency))),
        cell.trials,
        with_half_width(cell.runtime_s, cell.runtime_half_width_s),
        energy_with_half_width(cell),
        cell.bound or "",
        cell.stop_reason,
    )


def _checking(manifest: Manifest) -> Iterator[str]:
    yield "`wattshed validate` holds it against the 38 points of measuring well, `wattshed fit` learns from it, and"
    yield "`wattshed report` draws it."
    if manifest.publication is not None:
        yield "Whoever holds the raw bundles can tell by the sum of each journal that they are those published here:"
        yield ""
        rows = [(one.name, f"`{one.files.get(journal.FILE, 'not stated')}`") for one in manifest.campaigns]
        yield from table(("campaign", f"SHA-256 of `{journal.FILE}`"), rows)


def _scatter_alone(cell: CellRecord) -> bool:
    return cell.energy_half_width_j is not None and cell.combined_half_width_j is None


def _listed(words: Iterable[str]) -> str:
    return "; ".join(sorted(words))
