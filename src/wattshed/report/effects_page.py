"""The effects of a profile as sections of a page: a paragraph, a picture and every cell, wherever there are pairs."""

from collections.abc import Mapping, Sequence
from typing import Final

from wattshed.domain.choices import Channel
from wattshed.report.effects import Contrast, Effect, batches, contrasts
from wattshed.report.effects_figures import SIDES, batches_figure, contrast_figure, in_lines
from wattshed.report.effects_words import batch_table, batch_words, contrast_table, contrast_words, counted
from wattshed.report.marks import BARS
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.profile_points import Trials

TITLES: Final = {
    "cache": "What a KV cache does",
    "batch": "What requests in flight do",
    "launch": "What launching kernels costs",
}
"""The effects by short name, in the order of a page."""

_SCATTER: Final = f"{BARS} A sensor's gain is in no ratio."
_CONTRASTS: Final[tuple[Effect, ...]] = ("cache", "launch")


def effect_pictures(trials: Trials, channel: Channel) -> dict[str, Picture]:
    """The picture of each effect that the trials can tell of."""
    pictures: dict[str, Picture] = {}
    for effect in _CONTRASTS:
        if found := contrasts(trials, effect, channel):
            before, after = SIDES[effect]
            pictures[effect] = Picture(
                contrast_figure(found, effect),
                f"Dashed: {before}. Drawn through: {after}. {_left_out(found, effect)}Energy on channel {channel}. "
                f"{_SCATTER}",
                f"Joules and milliseconds of an output token {before} and {after}, and the ratio of the joules.",
            )
    if several := batches(trials, channel):
        pictures["batch"] = Picture(
            batches_figure(several),
            f"More requests in flight share each step. Energy on channel {channel}. {_SCATTER}",
            "Joules and milliseconds of an output token against the number of requests in flight.",
        )
    return pictures


def _left_out(found: Sequence[Contrast], effect: Effect) -> str:
    """What the picture leaves to the words."""
    number = len(found) - len(in_lines(found, effect))
    systems = counted(number, "pair") + " of systems"
    return f"{systems} without two cells in a line: in the words and the tables alone. " if number else ""


def effect_sections(trials: Trials, channel: Channel, pictures: Mapping[str, Picture]) -> dict[str, Section]:
    """The section of each effect that has a picture."""
    sections = {}
    for name, title in TITLES.items():
        if name in pictures:
            words, tables = _told(name, trials, channel)
            sections[name] = Section(title, [*words, pictures[name], *tables])
    return sections


def _told(name: str, trials: Trials, channel: Channel) -> tuple[list[Prose], list[Table]]:
    """What there is to say of one effect, and its cells."""
    for effect in _CONTRASTS:
        if effect == name:
            found = contrasts(trials, effect, channel)
            return (
                [Prose(contrast_words(contrast, effect)) for contrast in found],
                [contrast_table(contrast, effect) for contrast in found],
            )
    several = batches(trials, channel)
    return [Prose(batch_words(batch)) for batch in several], [batch_table(several)]
