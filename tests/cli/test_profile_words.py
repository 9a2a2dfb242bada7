"""What flags of `wattshed profile` mean."""

import math

import pytest

from wattshed.cli.frame import check_seconds
from wattshed.cli.profile_words import counted, with_reference
from wattshed.errors import UsageError
from wattshed.profiler.design import Shape, paper_output


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


@pytest.mark.parametrize(
    ("text", "reference"), [(None, Shape(32, 128)), ("128,32", Shape(128, 32)), (" 32, 32, 4", Shape(32, 32, 4))]
)
def test_a_reference_is_named_or_the_middle(text: str | None, reference: Shape) -> None:
    """Two counts are a cell of one query, a third says how many at once; without any the middle of the design is it."""
    assert with_reference(paper_output(), text).reference == reference


@pytest.mark.parametrize("text", ["", "128", "128,", ",128,32", "128,x", "0,8", "8,8,0", "8,8,1,1", "10000001,8"])
def test_a_reference_that_is_no_cell_is_refused(text: str) -> None:
    """Too few counts, too many, or what is no count: one line with an example."""
    with pytest.raises(UsageError, match=r"--reference wants .* like 128,32 or 128,32,4; got"):
        with_reference(paper_output(), text)
