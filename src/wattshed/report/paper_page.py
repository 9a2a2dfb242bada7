"""The sections of a page that show the paper as published."""

from collections.abc import Sequence

from wattshed.datasets.published import PublishedPoint, alpaca_input_lengths, alpaca_output_lengths
from wattshed.planner.published import by_figure, compare, published_savings
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.paper_figures import hybrid_figure, lengths_figure, sweep_figure
from wattshed.report.words import claim_statement


def paper_pictures(computed: Sequence[PublishedPoint], published: Sequence[PublishedPoint]) -> dict[str, Picture]:
    """Figures 1 to 5 by name."""
    lengths = {"input": alpaca_input_lengths(), "output": alpaca_output_lengths()}
    return {
        "figure 1": Picture(
            sweep_figure("figure 1", computed, published),
            "Varying input: runtime, throughput and energy per token. Lines: computed. Rings: published.",
            "Three log-log panels against input tokens; the M1 is slowest and its energy per token rises past the "
            "A100's between 32 and 64 tokens; the V100 is highest.",
        ),
        "figure 2": Picture(
            sweep_figure("figure 2", computed, published),
            "Varying output: the same quantities. Lines: computed. Rings: published.",
            "Three log-log panels against output tokens; energy per token rises with output on every system.",
        ),
        "figure 3": Picture(
            lengths_figure(lengths),
            "Lengths of Alpaca's prompts (instruction and input field, one BOS each) and of GPT-4's answers to them.",
            "Two histograms; prompts peak near 15 tokens, answers spread to several hundred.",
        ),
        "figure 4": Picture(
            hybrid_figure("figure 4", computed, published),
            "Energy and runtime against the input threshold, as published.",
            "Energy dips at a threshold of 32 tokens below both single systems; runtime rises with the threshold.",
        ),
        "figure 5": Picture(
            hybrid_figure("figure 5", computed, published),
            "Energy and runtime against the output threshold, as published (with the input histogram).",
            "The same shape as figure 4: a dip at 32 tokens.",
        ),
    }


def paper_sections(computed: Sequence[PublishedPoint], published: Sequence[PublishedPoint]) -> list[Section]:
    """The reproduction: how close it comes, what it implies, and the five figures."""
    rows = [
        (figure.figure, str(figure.points), f"{figure.max_relative_difference:.1e}")
        for figure in by_figure(compare(computed, published))
    ]
    table = Table(
        "Published values against values computed from the trials", ("figure", "points", "max difference"), rows
    )
    statement = Prose(claim_statement(published_savings(computed)))
    return [Section("The paper as published", [table, statement, *paper_pictures(computed, published).values()])]
