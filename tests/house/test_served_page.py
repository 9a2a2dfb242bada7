"""The page on the gateway before an H100 says what the raw files say."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest


@pytest.fixture(scope="module")
def figures(loaded: Callable[[str], ModuleType]) -> ModuleType:
    """The script that makes the rows."""
    return loaded("campaigns/served_figures.py")


def test_every_measured_row_is_that_of_the_raw_files(figures: ModuleType, root: Path, prose: dict[str, str]) -> None:
    """The rows of the page's tables are those that the script makes, each once, and no others."""
    page = prose["docs/explanation/gateway-h100.md"].splitlines()

    made = figures.rows(root / "campaigns" / "h100-served")

    typed = [line for line in page if line.startswith("| ") and any(sign.isdigit() for sign in line)]
    headed = [line for line in typed if "error of" not in line and "90th" not in line]
    assert headed == made


def test_all_joules_are_somewhere(figures: ModuleType, root: Path) -> None:
    """From first to last the gateway's sums are the card's, to less than half of a window at rest."""
    [whole] = [row for row in figures.conserved(root / "campaigns" / "h100-served") if "first to last" in row]

    assert abs(float(whole.split("|")[5].split("(")[0])) < 60


@pytest.mark.parametrize("phase", ["1-alone", "4-alone"])
def test_seven_in_ten_joules_are_idle_ones(phase: str, root: Path) -> None:
    """Of requests that were alone, as the page says."""
    rows = pl.read_parquet(root / "campaigns" / "h100-served" / "batching" / "requests.parquet")
    alone = rows.filter(pl.col("client_request").str.starts_with(phase))

    assert 0.7 < alone["attributed_idle_energy_j"].sum() / alone["attributed_energy_j"].sum() < 0.75


def test_the_picture_has_every_phase(figures: ModuleType, root: Path) -> None:
    """Three panels with the fifty requests of each phase."""
    figure = figures.picture(root / "campaigns" / "h100-served")

    assert [len(axes.lines[1].get_xdata()) for axes in figure.axes] == [50, 50, 50]
