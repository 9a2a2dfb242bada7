"""The data card says what its half-widths hold."""

from pathlib import Path

import pytest

from tests.profiler.cases import bundle, campaign, world
from wattshed.datasets.manifest import CellRecord
from wattshed.profiler.card import energy_with_half_width, in_digits
from wattshed.testing import Sensor

CELL = CellRecord(
    host=None,
    experiment="small",
    input_tokens=8,
    output_tokens=32,
    concurrency=1,
    visits=1,
    trials=3,
    stop_reason="fixed",
    runtime_s=2.0,
    runtime_half_width_s=0.1,
    energy_j=300.0,
    energy_half_width_j=3.0,
    combined_half_width_j=17.0,
)


def test_energy_stands_within_scatter_and_sensor() -> None:
    """The half-width beside the joules is the combined one."""
    assert energy_with_half_width(CELL) == "300 ± 17"


def test_scatter_alone_says_so() -> None:
    """Where the sensor is not known the half-width of the scatter stands there, and is called that."""
    cell = CELL.model_copy(update={"combined_half_width_j": None})

    assert energy_with_half_width(cell) == "300 ± 3 (scatter alone)"


def test_one_trial_has_no_half_width() -> None:
    """A single trial has neither scatter nor interval, and nothing is said of them."""
    cell = CELL.model_copy(update={"energy_half_width_j": None, "combined_half_width_j": None})

    assert energy_with_half_width(cell) == "300"


def test_the_card_claims_the_sensor_only_where_it_is_known(tmp_path: Path) -> None:
    """The sentence above the table is true of the table."""
    known = bundle(tmp_path / "known") / "README.md"
    unknown = bundle(tmp_path / "unknown", campaign(), world(sensor=Sensor(tolerance=None))) / "README.md"

    assert "those of energy hold the sensor's uncertainty too" in known.read_text()
    assert "scatter alone" not in known.read_text()
    assert "those of energy are scatter alone where it says so" in unknown.read_text()
    assert unknown.read_text().count("(scatter alone)") == 5


@pytest.mark.parametrize(
    ("value", "digits", "said"), [(24130.0, 4, "24,130"), (120.0, 2, "120"), (0.1793, 4, "0.1793"), (9.96, 2, "10")]
)
def test_numbers_stand_without_powers_of_ten(value: float, digits: int, said: str) -> None:
    """Thousands are parted; digits beyond the significant ones are none."""
    assert in_digits(value, digits) == said
