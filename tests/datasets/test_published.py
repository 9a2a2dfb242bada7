"""The plotted points of the paper and the lengths they were plotted for."""

from collections import Counter

import pytest

from wattshed.datasets.published import alpaca_input_lengths, alpaca_output_lengths, published_points
from wattshed.errors import MissingError


def test_every_plotted_point_is_there() -> None:
    """564 means of Figures 1 and 2 and 40 values of Figures 4 and 5."""
    figures = Counter(point.figure for point in published_points())

    assert figures == {"figure 1": 284, "figure 2": 280, "figure 4": 22, "figure 5": 18}


def test_the_published_optimum_is_at_32_tokens() -> None:
    """In Figures 4 and 5 the hybrid needs least energy at a threshold of 32, as the paper says."""
    for figure, energy_kwh in (("figure 4", 0.74802), ("figure 5", 0.64451)):
        curve = [p for p in published_points() if (p.figure, p.quantity, p.series) == (figure, "energy_kwh", "hybrid")]
        best = min(curve, key=lambda point: point.value)

        assert (best.tokens, round(best.value, 5)) == (32, energy_kwh)


def test_both_length_distributions_count_every_prompt() -> None:
    """52,002 prompts and as many answers, at lengths that rise."""
    for lengths, queries in (alpaca_input_lengths(), alpaca_output_lengths()):
        assert lengths.shape == queries.shape
        assert (lengths[1:] > lengths[:-1]).all()
        assert queries.sum() == 52_002


def test_an_unknown_publication_is_missing() -> None:
    """Points of a profile that does not ship are a `MissingError`."""
    with pytest.raises(MissingError, match="no profile 'wilkins'"):
        published_points("wilkins")
