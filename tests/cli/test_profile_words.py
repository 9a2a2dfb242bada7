"""What flags of `wattshed profile` mean."""

import math

import pytest

from wattshed.cli.frame import check_seconds
from wattshed.cli.profile_words import counted
from wattshed.errors import UsageError


@pytest.mark.parametrize("asked_s", [math.inf, -math.inf, math.nan])
def test_seconds_come_to_an_end(asked_s: float) -> None:
    """Infinity and what is no number are refused with the name of their flag."""
    with pytest.raises(UsageError, match="--window-s wants a number of seconds that comes to an end"):
        check_seconds(idle_s=0.0, window_s=asked_s)


def test_all_other_seconds_pass() -> None:
    """Zero is a time, and so is a year."""
    check_seconds(window_s=0.0, cell_timeout_s=3e7, campaign_timeout_s=None)


@pytest.mark.parametrize("text", ["0", "10000001", "9" * 5000, "8,8", "8,", "²"])
def test_a_list_of_counts_is_read_or_refused(text: str) -> None:
    """A count that no file of ours could hold is refused before anything is measured, like every other slip."""
    with pytest.raises(UsageError, match="--input-tokens wants different counts from 1 to 10,000,000"):
        counted("--input-tokens", text)

    assert counted("--input-tokens", " 8, 32 ") == (8, 32)
