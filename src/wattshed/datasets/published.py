"""What the paper plots, point by point, and the token lengths it was plotted for; both ship with the package.

Source: `bundled/wilkins2024/README.md` and `bundled/alpaca/README.md`.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from wattshed.datasets.defects import refuse
from wattshed.datasets.profiles import BUNDLED, PREFIX, profile_directory
from wattshed.datasets.table_defects import table_defects
from wattshed.domain.arrays import Integers
from wattshed.domain.schema import PUBLISHED


@dataclass(frozen=True, slots=True)
class PublishedPoint:
    """One plotted point; `quantity` names the unit of `value`. `tokens` is None where a curve has one value only."""

    figure: str
    quantity: str
    series: str
    model: str | None
    tokens: int | None
    value: float


def published_points(profile: str = "wilkins2024") -> tuple[PublishedPoint, ...]:
    """Every point that the publication behind a bundled profile plots, in the order of its figures."""
    path = profile_directory(PREFIX + profile) / "published.parquet"
    points = pl.read_parquet(path)
    refuse(table_defects(points, PUBLISHED, str(path)))
    return tuple(PublishedPoint(**row) for row in points.iter_rows(named=True))


def alpaca_input_lengths() -> tuple[Integers, Integers]:
    """Lengths in tokens of the 52,002 Alpaca prompts and how many have each; two arrays of shape (N,)."""
    return _histogram(BUNDLED / "alpaca" / "input_lengths.parquet")


def alpaca_output_lengths() -> tuple[Integers, Integers]:
    """Lengths of the GPT-4 answers to them, likewise; above 457 tokens they are bars of 15.42 tokens' width."""
    return _histogram(BUNDLED / "alpaca" / "gpt4_output_lengths.parquet")


def _histogram(path: Path) -> tuple[Integers, Integers]:
    columns = pl.read_parquet(path).select(pl.col("length", "queries").cast(pl.Int64))
    return columns["length"].to_numpy(), columns["queries"].to_numpy()
