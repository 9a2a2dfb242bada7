"""Points 23 to 38 of the checklist: statistics, accounting and publishing. One function a point, in order."""

import hashlib
import math
import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

import polars as pl
from pydantic import JsonValue

from wattshed.datasets.manifest import FILE as MANIFEST_FILE
from wattshed.datasets.manifest import CellRecord
from wattshed.datasets.profiles import TRIALS_FILE
from wattshed.domain.measurement import Measurement
from wattshed.files import read_whole
from wattshed.profiler import journal
from wattshed.profiler.bundle import (
    CARD_FILE,
    SAMPLES_FILE,
    VALIDATION_FILE,
    campaign_record,
    planned_visits,
    samples_table,
    settings_sum,
)
from wattshed.profiler.design import Shape
from wattshed.profiler.evidence import Evidence, Finding, beside_the_point, failed, judged, passed
from wattshed.profiler.journal import read_journal
from wattshed.profiler.scrub import Identity, traces
from wattshed.profiler.summary import CellKey, Summary, pooled, summarised

NO_JOULES: Final = "no joules were measured"

PUBLISHED_FILES: Final = (TRIALS_FILE, SAMPLES_FILE, CARD_FILE)
"""Files whose sums stand in every manifest."""

RAW_FILES: Final = (*PUBLISHED_FILES, journal.FILE)
"""Files whose sums stand in the record of a campaign: those of its raw bundle."""

HOST_LABEL: Final = re.compile(r"host-[0-9a-f]{8}")
"""A label as `host.py` draws it."""

_SAMPLES: Final = re.compile(r'"samples": ?\[.*\]')

CLOSE: Final = 1e-9
"""Relative difference that arithmetic in another order may make."""

OUTLYING: Final = 5.0
"""Standard deviations from the median that make an outlier worth a word."""


def student(bundle: Evidence) -> Finding:
    """Point 23: half-widths are Student's, recomputed from the trials."""
    wrong = [name for name, cell, again in _cells(bundle) if not _same(cell.runtime_half_width_s, _runtime(again))]
    return judged(not wrong, "half-widths are Student's", f"other half-widths in {', '.join(wrong[:3])}")


def widths_stored(bundle: Evidence) -> Finding:
    """Point 24: every cell with two trials has the half-width of its runtime, and of its energy where it has one."""
    cells = [cell for cell in bundle.campaign.cells if cell.trials > 1]
    bare = [c for c in cells if c.runtime_half_width_s is None or (c.energy_j and c.energy_half_width_j is None)]
    widths = [cell.energy_half_width_j / cell.energy_j for cell in cells if cell.energy_j and cell.energy_half_width_j]
    said = f"; energy to within {max(widths):.1%} at worst" if widths else ""
    return judged(not bare, f"widths of {len(cells)} cells{said}", f"{len(bare)} cells without a width")


def errors_apart(bundle: Evidence) -> Finding:
    """Point 25: scatter and sensor are kept apart, and combined where the sensor's uncertainty is known."""
    cells = [(name, cell, again) for name, cell, again in _cells(bundle) if cell.energy_half_width_j is not None]
    if not cells:
        return beside_the_point(NO_JOULES)
    wrong = [name for name, cell, again in cells if not _same(cell.combined_half_width_j, _combined(again))]
    if wrong:
        return failed(f"combined half-widths that scatter and sensor do not give in {', '.join(wrong[:3])}")
    alone = sum(cell.combined_half_width_j is None for _, cell, _ in cells)
    if alone == len(cells):
        return beside_the_point("no sensor's uncertainty is known; half-widths of energy are scatter alone")
    known = max(trial.sensor_uncertainty or 0.0 for trial in bundle.metered)
    where = f"{len(cells) - alone} cells; scatter alone in {alone}, whose sensor is not known" if alone else "each cell"
    return passed(f"sensor {known:.1%} beside the scatter of {where}")


def nothing_clamped(bundle: Evidence) -> Finding:
    """Point 26: energies are gross, so none is below 0, and none was set to 0."""
    if not bundle.metered:
        return beside_the_point(NO_JOULES)
    low = [trial for trial in bundle.metered if (trial.measured_energy_j or 0.0) <= 0]
    return judged(not low, "all energies are gross and above 0", f"{len(low)} energies are 0 or below")


def outliers_kept(bundle: Evidence) -> Finding:
    """Point 27: every trial that was measured is a row; outliers are counted, not dropped."""
    kept, written = len(bundle.trials), _written(bundle)
    odd = sum(_outliers(trials) for trials in pooled(bundle.trials).values())
    sentence = f"all {written} trials kept, {odd} runtimes far from their cell"
    return judged(written == kept, sentence, f"{written} were measured, {kept} are published")


def stops_stored(bundle: Evidence) -> Finding:
    """Point 28: why each cell stopped."""
    reasons = sorted({cell.stop_reason for cell in bundle.campaign.cells})
    return judged(all(reasons), f"cells stopped by: {', '.join(reasons)}", "a cell does not say why it stopped")


def boundaries_named(bundle: Evidence) -> Finding:
    """Point 29: whose joules they are."""
    named = sorted({trial.boundary for trial in bundle.trials})
    return passed("; ".join(named))


def gross_and_net(bundle: Evidence) -> Finding:
    """Point 30: gross energy and idle power side by side, so that net can be had."""
    if not bundle.metered:
        return beside_the_point(NO_JOULES)
    bare = sum(trial.idle_power_w is None for trial in bundle.metered)
    return judged(bare == 0, "gross joules and idle watts in every row", f"{bare} trials without idle power")


def parts_sum(bundle: Evidence) -> Finding:
    """Point 31: the total is the sum of the parts, by the schema."""
    both = [trial for trial in bundle.metered if trial.gpu_energy_j is not None and trial.cpu_energy_j is not None]
    return passed(f"{len(both)} trials with both parts") if both else beside_the_point("fewer than two parts measured")


def joules_conserved(bundle: Evidence) -> Finding:
    """Point 32: windows hold one request at a time, or requests that are alike; nothing is split unevenly."""
    return beside_the_point(f"nothing to attribute: all queries of each of {len(bundle.trials)} windows are alike")


def idle_explicit(bundle: Evidence) -> Finding:
    """Point 33: how much of the joules the idle machine would have used."""
    shares = [
        trial.idle_power_w * (trial.window_s or 0.0) / (trial.window_queries or 1) / trial.measured_energy_j
        for trial in bundle.metered
        if trial.idle_power_w is not None and trial.measured_energy_j
    ]
    if not bundle.metered:
        return beside_the_point(NO_JOULES)
    if not shares:
        return failed("idle power is unknown")
    return passed(f"idle power is {min(shares):.0%} to {max(shares):.0%} of the joules")


def boundaries_alike(bundle: Evidence) -> Finding:
    """Point 34: the trials of a cell share one boundary."""
    mixed = [key for key, trials in pooled(bundle.metered).items() if len({trial.boundary for trial in trials}) > 1]
    return judged(not mixed, "one boundary a cell", f"{len(mixed)} cells mix boundaries")


def manifest_whole(bundle: Evidence) -> Finding:
    """Point 35: settings and their sum, model, software, kernel."""
    campaign = bundle.campaign
    if campaign.settings_sha256 != settings_sum(campaign.settings):
        return failed("the settings are not those of their sum")
    needed = {"wattshed", "python", "kernel"}
    bare = [one.host for one in campaign.sessions if needed - set(one.versions)]
    return judged(not bare, f"settings {campaign.settings_sha256[:12]}", f"versions are missing on {', '.join(bare)}")


def same_numbers_again(bundle: Evidence) -> Finding:
    """Point 36: files are those of their sums, and the numbers of the manifest can be had from them again.

    A raw bundle follows from its journal in everything. A published campaign has the cells that its trials give, and
    names its raw files by their sums, so that whoever holds them can go on from there.
    """
    changed = _changed_files(bundle)
    if changed:
        return failed(f"not the files that were summed: {', '.join(changed)}")
    wrong = [name for name, cell, again in _cells(bundle) if not _agrees(cell, again)]
    if wrong:
        return failed(f"the trials give other numbers for {', '.join(wrong[:3])}")
    named, cells = bundle.campaign.files, len(bundle.campaign.cells)
    if not bundle.is_raw:
        unnamed = [name for name in RAW_FILES if name not in named]
        sentence = f"{cells} cells as their trials have them, of the raw journal {named.get(journal.FILE, '')[:12]}"
        return judged(not unnamed, sentence, f"no sum of the raw {', '.join(unnamed)}")
    other = _unlike_the_journal(bundle)
    sentence = f"{len(named)} files, {cells} cells and all else as the journal has it"
    return judged(not other, sentence, f"the journal gives other {', '.join(other)}")


def nobody_named(bundle: Evidence) -> Finding:
    """Point 37: no host, user, address, home or serial number in any text; hosts go by random labels.

    Names of host and user are known on the machine that measured alone, and looked for in what was said to it: the
    words of a table or a card are ours, and a user may be called max.
    """
    kinds = {kind for text in _texts(bundle) for kind in traces(text, Identity())}
    manifest = bundle.manifest.model_dump(mode="json")
    kinds |= {kind for text in _texts_within(manifest) for kind in traces(text, bundle.own)}
    found = sorted(kinds)
    hosts = {session.host for session in bundle.campaign.sessions} | {trial.system.host for trial in bundle.trials}
    if any(host is not None and not HOST_LABEL.fullmatch(host) for host in hosts):
        found.append("host that is no random label")
    return judged(not found, "no host, address, home folder or serial number found", f"found: {', '.join(found)}")


def validated(bundle: Evidence) -> Finding:
    """Point 38: this is the validator; `wattshed validate` exits with 1 if a point fails."""
    return passed(f"schema version {bundle.manifest.schema_version}, checked")


def _cells(bundle: Evidence) -> Iterator[tuple[str, CellRecord, Summary | None]]:
    """Every cell of the manifest, with its name and with what its trials say."""
    pools = pooled(bundle.trials)
    for cell in bundle.campaign.cells:
        shape = Shape(cell.input_tokens, cell.output_tokens, cell.concurrency)
        trials = pools.get(CellKey(cell.host or "", cell.experiment, shape))
        yield f"{cell.experiment} {shape}", cell, summarised(trials) if trials else None


def _runtime(again: Summary | None) -> float | None:
    return None if again is None else again.runtime_half_width_s


def _combined(again: Summary | None) -> float | None:
    return None if again is None else again.combined_half_width_j


def _agrees(cell: CellRecord, again: Summary | None) -> bool:
    if again is None or again.trials != cell.trials:
        return False
    names = ("runtime_s", "runtime_half_width_s", "energy_j", "energy_half_width_j", "combined_half_width_j")
    return all(_same(getattr(cell, name), getattr(again, name)) for name in names)


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-15)


def _outliers(trials: list[Measurement]) -> int:
    runtimes_s = pl.Series([trial.runtime_s for trial in trials])
    spread_s, median_s = runtimes_s.std(), runtimes_s.median()
    if not isinstance(spread_s, float) or not isinstance(median_s, float) or spread_s == 0:
        return 0
    return int(((runtimes_s - median_s).abs() > OUTLYING * spread_s).sum())


def _written(bundle: Evidence) -> int:
    """How many trials were measured: those of the journal, or as many as cells and the numbers of `order` tell.

    Every trial takes the next number on its host, so a number below the last that nobody bears was a trial, and so was
    each that a cell counts beyond those that it has.
    """
    if bundle.is_raw:
        return len(read_journal(bundle.directory / journal.FILE).trials)
    orders: dict[str | None, set[int]] = {}
    for trial in bundle.trials:
        orders.setdefault(trial.system.host, set()).add(trial.order or 0)
    gaps = sum(max(numbers) + 1 - len(numbers) for numbers in orders.values())
    short = sum(max(0, cell.trials - (again.trials if again else 0)) for _, cell, again in _cells(bundle))
    return len(bundle.trials) + max(gaps, short)


def _changed_files(bundle: Evidence) -> list[str]:
    """Files that are not those of their sums, or have none."""
    publication = bundle.manifest.publication
    named = bundle.campaign.files if publication is None else publication.files
    wanted = RAW_FILES if publication is None else PUBLISHED_FILES
    return [name for name in wanted if name not in named or _sum(bundle, name) != named[name]]


def _sum(bundle: Evidence, name: str) -> str | None:
    path = bundle.directory / name
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def _texts(bundle: Evidence) -> Iterator[str]:
    """Everything in the bundle that people can read, without the journal's samples, which are numbers."""
    for name in (MANIFEST_FILE, CARD_FILE, VALIDATION_FILE):
        path = bundle.directory / name
        yield path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if bundle.is_raw:
        content = read_whole(bundle.directory / journal.FILE, wanted="the journal")
        yield from (_SAMPLES.sub("", line) for line in content.decode(errors="replace").splitlines())
    yield from {text for trial in bundle.trials for text in (trial.boundary, trial.note or "")}


def _texts_within(document: JsonValue) -> Iterator[str]:
    """Every text in a JSON document but its keys."""
    match document:
        case str():
            yield document
        case list():
            yield from chain.from_iterable(map(_texts_within, document))
        case dict():
            yield from chain.from_iterable(map(_texts_within, document.values()))


def _unlike_the_journal(bundle: Evidence) -> list[str]:
    """What the bundle says otherwise than its journal."""
    record = read_journal(bundle.directory / journal.FILE)
    again = campaign_record(record, planned_visits(record.settings), name=bundle.campaign.name)
    exact = (name for name in type(again).model_fields if name not in {"files", "cells"})
    other = [name for name in exact if getattr(again, name) != getattr(bundle.campaign, name)]
    if tuple(event.trial for event in record.trials) != bundle.trials:
        other.append("trials")
    return other if samples_table(record.trials).equals(bundle.samples) else [*other, "samples"]
