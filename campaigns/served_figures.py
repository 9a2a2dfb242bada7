"""The figures of docs/explanation/gateway-h100.md from what campaigns/served.py left, and its picture.

    python campaigns/served_figures.py campaigns/h100-served docs/images/gateway-h100.png

prints the tables; `tests/house/test_served_page.py` holds the page to them. A ratio is attributed over predicted joules
of one request, for the tokens that it turned out to have.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from wattshed.domain.arrays import Floats
from wattshed.predictors.file import load
from wattshed.report.canvas import COLOURS, GREY, drawn, panels

SUMS: Final = ("attributed", "unattributed", "undelivered")


class Requests(NamedTuple):
    """N answered requests with joules: measured, and predicted with the 95 % interval; all of shape (N,)."""

    input_tokens: Floats
    output_tokens: Floats
    runtime_s: Floats
    predicted_runtime_s: Floats
    energy_j: Floats
    predicted_j: Floats
    lower_j: Floats
    upper_j: Floats


def requests(folder: Path, engine: str, phase: str) -> Requests:
    """Those of a phase, as the ledger has them."""
    rows = pl.read_parquet(folder / engine / "requests.parquet").filter(
        pl.col("client_request").str.starts_with(phase), pl.col("attributed_energy_j").is_not_null()
    )
    names = ("input_tokens", "output_tokens", "runtime_s", "hindsight_runtime_s", "attributed_energy_j")
    interval = [f"hindsight_energy{end}_j" for end in ("", "_lower", "_upper")]
    return Requests(*(rows[name].to_numpy().astype(float) for name in (*names, *interval)))


def foretold(folder: Path, seen: Requests, predictor: str) -> Floats:
    """What a predictor file says of requests that were alone, in J."""
    fitted = load(folder / predictor)
    pair = next(iter(fitted.predictors))
    m, n = (tokens.astype(np.int64) for tokens in seen[:2])
    return fitted.predictors[pair].energy.mean(m, n)


def off(seen: Floats, predicted: Floats) -> float:
    """Mean absolute error of the prediction in per cent of what was attributed."""
    return float(100 * np.mean(np.abs(predicted / seen - 1)))


def conserved(folder: Path) -> list[str]:
    """Rows: joules of the card's counter, of the gateway's sums, and what lies between, by phase."""
    found = list[str]()
    for engine in ("batching", "overhead"):
        phases = json.loads((folder / engine / "phases.json").read_text())
        found += [_conserved(f"{engine}, {one['phase'][2:]}", one["before"], one["after"]) for one in phases]
        if engine == "batching":
            found.append(_conserved("batching, first to last", phases[0]["before"], phases[-1]["after"]))
    return found


def _conserved(name: str, before: dict, after: dict) -> str:
    counted_j, took_s = after["card_j"] - before["card_j"], after["at_s"] - before["at_s"]
    summed_j = sum(
        after["sums"].get(f"{kind}_joules_total", 0.0) - before["sums"].get(f"{kind}_joules_total", 0.0)
        for kind in SUMS
    )
    share = 100 * (summed_j / counted_j - 1)
    return (
        f"| {name} | {took_s:.0f} | {counted_j:,.0f} | {summed_j:,.0f} | {summed_j - counted_j:+.0f} ({share:+.2f} %) |"
    )


def predicted(folder: Path) -> list[str]:
    """Rows: ratios, error and interval of each phase with whatever predictor was serving."""
    named = {
        ("plain", "1-alone"): "one at a time, plain server, `bundled:h100`",
        ("batching", "1-alone"): "one at a time, batching server, `bundled:h100`",
        ("batching", "2-four"): "four at once, batching server, `bundled:h100`",
        ("batching", "4-alone"): "one at a time, batching server, refitted",
    }
    return [_predicted(name, requests(folder, *where)) for where, name in named.items()]


def _predicted(name: str, seen: Requests) -> str:
    ratio, slower = seen.energy_j / seen.predicted_j, seen.runtime_s / seen.predicted_runtime_s
    inside = int(((seen.lower_j <= seen.energy_j) & (seen.energy_j <= seen.upper_j)).sum())
    return (
        f"| {name} | {ratio.size} | {np.median(ratio):.2f} | {np.quantile(ratio, 0.9):.2f} "
        f"| {off(seen.energy_j, seen.predicted_j):.0f} % | {inside} of {ratio.size} | {np.median(slower):.2f} |"
    )


def refitted(folder: Path) -> list[str]:
    """Rows: the error of both predictors on the requests that came after the refit, and on those that taught."""
    rows = []
    for phase, name in (("1-alone", "first 50 alone (taught)"), ("4-alone", "next 50 alone (not seen)")):
        seen = requests(folder, "batching", phase)
        old, new = (
            off(seen.energy_j, foretold(folder, seen, file)) for file in ("served.json", "batching/refitted.json")
        )
        rows.append(f"| {name} | {old:.0f} % | {new:.0f} % |")
    return rows


def overhead(folder: Path) -> list[str]:
    """The row of times through the gateway and without."""
    took = json.loads((folder / "overhead" / "overhead.json").read_text())
    direct_s, through_s = (np.array(took[name]) for name in ("direct_s", "gateway_s"))
    quartiles_s = np.quantile(through_s - direct_s, (0.25, 0.5, 0.75))
    cells = [f"{1000 * float(np.median(times)):.1f}" for times in (direct_s, through_s)]
    low, middle, high = (f"{1000 * value:.1f}" for value in quartiles_s)
    return [f"| {direct_s.size} | {cells[0]} | {cells[1]} | {middle} | {low} to {high} |"]


def rows(folder: Path) -> list[str]:
    """Every row of every table on the page."""
    return [*conserved(folder), *predicted(folder), *refitted(folder), *overhead(folder)]


@drawn
def picture(folder: Path) -> Figure:
    """Attributed over predicted joules: with the bundled predictor alone, in company, and alone after the refit."""
    figure, all_axes = panels(3)
    phases = {"1-alone": "one at a time", "2-four": "four at once", "4-alone": "one at a time, refitted"}
    for axes, (phase, title) in zip(all_axes, phases.items(), strict=True):
        seen = requests(folder, "batching", phase)
        axes.axline((100, 100), slope=1, color=GREY, linewidth=0.8)
        axes.plot(seen.predicted_j, seen.energy_j, ".", markersize=4, color=COLOURS[0])
        axes.set(xscale="log", yscale="log", xlabel="predicted (J)", ylabel="attributed (J)", title=title)
        axes.set(xlim=(15, 1500), ylim=(15, 1500))
    return figure


def main(arguments: Sequence[str]) -> None:
    """Print the rows, and draw where a file is named."""
    folder = Path(arguments[0])
    print("\n".join(rows(folder)))
    if arguments[1:]:
        picture(folder).savefig(arguments[1], dpi=110)


if __name__ == "__main__":
    main(sys.argv[1:])
