"""Sentences say what their numbers say."""

from wattshed.domain.plan import Interval
from wattshed.planner.published import PublishedSaving
from wattshed.report.audit_words import effect
from wattshed.report.words import claim_statement, in_percent, in_percent_with_bounds


def test_fractions_read_as_signed_per_cent() -> None:
    """A saving carries its sign."""
    assert in_percent(-0.182) == "-18.20 %"
    assert in_percent_with_bounds(Interval(0.033, 0.03, 0.036)) == "+3.30 % [+3.00, +3.60]"


def test_effects_are_told_by_their_whole_interval() -> None:
    """Saves, costs, or neither: the words follow the bounds, not the middle."""
    assert effect(Interval(0.034, 0.031, 0.036)) == "saves 3.40 % (95 % interval 3.10 to 3.60)"
    assert effect(Interval(-0.19, -0.21, -0.18)) == "costs 19.00 % more (95 % interval 18.00 to 21.00)"
    assert effect(Interval(0.005, -0.01, 0.02)) == "makes no sure difference (+0.50 % [-1.00, +2.00])"
    assert effect(Interval(0.0, 0.0, 0.0)).startswith("makes no sure difference")


def test_the_claim_names_its_nearest_neighbour() -> None:
    """7.5 % is compared with every saving that the figures imply."""
    four = PublishedSaving("figure 4", 32, 0.9, 1.0, 0.92)
    five = PublishedSaving("figure 5", 32, 0.924, 1.0, 0.95)

    assert claim_statement([four, five]).endswith("the nearest is 7.60 % (figure 5 against A100 only).")
