"""The manifest's own rules about what it reads."""

import pytest

from wattshed.datasets.manifest import ChannelRecord


@pytest.mark.parametrize(
    ("written", "uncertainty"),
    [
        ("", None),
        (', "sensor_uncertainty": null', None),
        (', "sensor_uncertainty": 0.0', None),
        (', "sensor_uncertainty": 0.03', 0.03),
    ],
    ids=["left out", "null", "zero", "stated"],
)
def test_an_unknown_sensor_is_none_however_it_was_written(written: str, uncertainty: float | None) -> None:
    """Earlier manifests wrote 0 for an unknown sensor and are read as what they meant."""
    text = f'{{"name": "psys", "part": "platform", "boundary": "psys"{written}}}'

    assert ChannelRecord.model_validate_json(text).sensor_uncertainty == uncertainty
