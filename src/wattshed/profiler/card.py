"""The data card of a bundle, `README.md`: what was measured, on what, and what to mind."""

from collections.abc import Sequence

from wattshed.datasets.manifest import CellRecord, Manifest
from wattshed.domain.measurement import Measurement

HEAD = (
    "| experiment | m | n | at once | trials | runtime s | energy J | bound | stopped |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
)


def card(manifest: Manifest, trials: Sequence[Measurement]) -> str:
    """The card as Markdown, of the manifest of a bundle and its K trials, K at least 1."""
    campaign = manifest.campaign
    assert campaign is not None  # only bundles have cards
    system = trials[0].system
    failures = [f"- ({one.input_tokens}, {one.output_tokens}): {one.reason}" for one in campaign.failures]
    lines = (
        f"# {manifest.title}",
        "",
        f"{len(trials)} trials of {system.model} on {system.devices} x {system.hardware}, {system.engine}, "
        f"{manifest.measured}. Licence: {manifest.licence}. Boundary: {trials[-1].boundary}.",
        "",
        "Means with 95 % half-widths; those of energy hold the sensor's uncertainty too. Host-bound cells say more",
        "about the host than about the accelerator.",
        "",
        *HEAD,
        *map(_row, campaign.cells),
        "",
        *(["Cells that failed:", "", *failures, ""] if failures else []),
        "Check it with `wattshed validate`, fit it with `wattshed fit`.",
    )
    return "\n".join(lines) + "\n"


def _row(cell: CellRecord) -> str:
    values = (
        cell.experiment,
        cell.input_tokens,
        cell.output_tokens,
        cell.concurrency,
        cell.trials,
        with_half_width(cell.runtime_s, cell.runtime_half_width_s),
        with_half_width(cell.energy_j, cell.combined_half_width_j),
        cell.bound or "",
        cell.stop_reason,
    )
    return "| " + " | ".join(map(str, values)) + " |"


def with_half_width(value: float | None, half_width: float | None) -> str:
    """A number for people, with its half-width to two digits."""
    if value is None:
        return "not measured"
    return f"{value:.4g}" if half_width is None else f"{value:.4g} +- {half_width:.2g}"
