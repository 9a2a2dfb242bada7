"""What flags of `wattshed profile` mean."""

import math

import pytest

from wattshed.cli.profile_words import check_seconds
from wattshed.errors import UsageError


@pytest.mark.parametrize("asked_s", [math.inf, -math.inf, math.nan])
def test_seconds_come_to_an_end(asked_s: float) -> None:
    """Infinity and what is no number are refused with the name of their flag."""
    with pytest.raises(UsageError, match="--window-s wants a number of seconds that comes to an end"):
        check_seconds(idle_s=0.0, window_s=asked_s)


def test_all_other_seconds_pass() -> None:
    """Zero is a time, and so is a year."""
    check_seconds(window_s=0.0, cell_timeout_s=3e7)
