"""nvidia-smi logs: values with their units, boards by index, and a row for everything that is wrong."""

from datetime import UTC, datetime

import pytest

from tests.meters.scripted import REPOSITORY
from wattshed.errors import InputError
from wattshed.meters.nvidia_smi import read_nvidia_smi
from wattshed.meters.sampled import integrated

LOGS = REPOSITORY / ".." / "shared" / "reference" / "formats" / "nvidia_smi"
HEADER = b"timestamp, power.draw [W], utilization.gpu [%]\n"
LINE = b"2024/03/28 11:15:48.009, 56.20 W, 50 %\n"


@pytest.mark.parametrize(("name", "count", "energy_j"), [("falcon-7b", 533, 3_102.26), ("llama2-7b", 2195, 44_800.18)])
def test_real_logs(name: str, count: int, energy_j: float) -> None:
    """Every whole line is a sample; the last one, cut off, is none. The joules are a sum by hand."""
    if not LOGS.exists():
        pytest.skip("the reference data are not here")
    log = read_nvidia_smi((LOGS / f"{name}.nvidia-smi.csv").read_bytes())

    at_s, power_w = ([getattr(sample, key) for sample in log.samples] for key in ("at_s", "power_w"))
    joules = integrated(at_s, power_w, at_s[0], at_s[-1], max_gap_s=1.0).energy_j
    assert len(log.samples) == count
    assert joules == pytest.approx(energy_j, abs=0.01)


def test_values_lose_their_units() -> None:
    """Watts are a number, utilization a fraction, and the start an instant with a zone."""
    log = read_nvidia_smi(HEADER + LINE)

    assert log.started == datetime(2024, 3, 28, 11, 15, 48, 9000, tzinfo=UTC)
    assert (log.samples[0].power_w, log.samples[0].utilization, log.samples[0].channel) == (56.2, 0.5, "gpu-0")


def test_boards_are_told_apart_by_index() -> None:
    """Each index is a channel, whatever the order of columns; what a board does not tell is `None`."""
    raw = b"index, power.draw [W], timestamp, temperature.gpu\n" + b"".join(
        b"%d, %d.0 W, 2024/03/28 11:15:48.%03d, [N/A]\n" % (board, 100 + board, at)
        for at in (1, 101)
        for board in (0, 1)
    )

    log = read_nvidia_smi(raw)

    assert [(sample.channel, sample.power_w) for sample in log.samples[:2]] == [("gpu-0", 100.0), ("gpu-1", 101.0)]
    assert log.samples[0].temperature_c is None


@pytest.mark.parametrize(
    ("raw", "row", "field"),
    [
        (b"power.draw [W]\n56.20 W\n", 1, "timestamp"),
        (b"timestamp, utilization.gpu [%]\n", 1, "power.draw"),
        (HEADER, 2, None),
        (HEADER + LINE + b"2024/03/28 11:15:48.109, 56,20 W, 0 %\n", 3, None),
        (HEADER + LINE + b"2024/03/28 11:15:48.109, [N/A], 0 %\n", 3, "power.draw"),
        (HEADER + LINE + b"2024/03/28 11:15:48.109, nan W, 0 %\n", 3, "power.draw"),
        (HEADER + b"28.03.2024 11:15, 56.20 W, 0 %\n", 2, "timestamp"),
        (HEADER + LINE + b"2024/03/28 11:15:47.909, 56.20 W, 0 %\n", 3, "timestamp"),
        (HEADER + LINE + LINE, 3, "timestamp"),
    ],
    ids=["no stamp", "no power", "empty", "decimal comma", "no value", "NaN", "odd stamp", "clock step", "two boards"],
)
def test_defects_are_named_by_row_and_field(raw: bytes, row: int, field: str | None) -> None:
    """Nothing is skipped and nothing is read as zero."""
    with pytest.raises(InputError) as caught:
        read_nvidia_smi(raw)

    assert (caught.value.row, caught.value.field) == (row, field)
    assert caught.value.fix
