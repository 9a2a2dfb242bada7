"""What the first step at a new length costs: windows that met new lengths beside windows that had met theirs.

On an eager engine a step is dearer where a sequence reaches a length for the first time since the model was loaded
(docs/decisions/0008). Which lengths a window met follows from the order of trials, warm-ups among them. Each such
window is set beside the measured cell of the same system that has most lengths in common with it. The first window of
a session is left out: it also pays for whatever the engine does once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from wattshed.domain.choices import Channel
from wattshed.domain.measurement import Measurement
from wattshed.domain.system import EAGER
from wattshed.report.page import Prose, Section, Table
from wattshed.units import milliseconds, percent

MOST_NEW: Final = 0.05
"""Share of new lengths up to which a window counts as one that had met them: the rule of decision 0008."""

LEAST_WINDOW_S: Final = 5.0
"""Shorter windows are told apart from their neighbours by the ticks of a counter as much as by their lengths."""

TITLE: Final = "What the first step at a new length costs"


@dataclass(frozen=True, slots=True)
class Meeting:
    """A window of which `new_share` of the steps met a new length, and K windows of the nearest cell, K at least 1.

    `common_share` of the lengths of both cells belong to both; it is 1 for windows of the same cell.
    """

    window: Measurement
    new_share: float
    nearest: tuple[Measurement, ...]
    common_share: float

    @property
    def step_s(self) -> tuple[float, float]:
        """Seconds of a step after the first token, with new lengths and without; the latter a mean over K."""
        return _step_s(self.window), _mean([_step_s(trial) for trial in self.nearest])

    def token_j(self, channel: Channel) -> tuple[float, float] | None:
        """Joules of an output token, likewise; `None` where a window has none."""
        met = [_token_j(trial, channel) for trial in self.nearest]
        known = [energy_j for energy_j in met if energy_j is not None]
        own = _token_j(self.window, channel)
        return None if own is None or len(known) < len(met) else (own, _mean(known))


def new_shares(trials: Iterable[Measurement]) -> list[tuple[Measurement, float]]:
    """Every trial whose place in a session is known, with the share of its steps that met a new length."""
    met: dict[int, set[tuple[int, int]]] = {}
    shares = []
    placed = [(t.session, t.order, t) for t in trials if t.session is not None and t.order is not None]
    for session, _, trial in sorted(placed, key=lambda one: one[:2]):
        at_once = trial.system.concurrency
        ran = {(at_once, length) for length in range(*_lengths(trial))}
        known = met.setdefault(session, set())
        rounds = max(1, (trial.window_queries or 1) // at_once)
        shares.append((trial, len(ran - known) / len(ran) / rounds))
        known |= ran
    return shares


def meetings(trials: Iterable[Measurement]) -> list[Meeting]:
    """Every whole window that met new lengths on an eager engine and has a neighbour, in order of system and cell."""
    shares = [(trial, share) for trial, share in new_shares(trials) if (trial.system.engine or "").endswith(EAGER)]
    known = [trial for trial, share in shares if share <= MOST_NEW and not trial.warm_up]
    first = {trial.session: trial for trial, _ in reversed(shares)}
    later = [(trial, share) for trial, share in shares if trial is not first[trial.session]]
    found = [meeting for trial, share in later if _tells(trial, share) for meeting in _beside(trial, share, known)]
    return sorted(found, key=lambda one: (one.window.system.model, one.window.system.name, _shape(one.window)))


def lengths_section(trials: Iterable[Measurement], channel: Channel) -> Section | None:
    """What new lengths cost, in a paragraph and a table a model; `None` where no window tells."""
    by_model: dict[str, list[Meeting]] = {}
    for one in meetings(trials):
        by_model.setdefault(one.window.system.model, []).append(one)
    if not by_model:
        return None
    words = [Prose(meeting_words(model, found, channel)) for model, found in by_model.items()]
    return Section(TITLE, [*words, *(meeting_table(model, found, channel) for model, found in by_model.items())])


def meeting_words(model: str, found: Sequence[Meeting], channel: Channel) -> str:
    """How much longer steps took in the windows of one model that met new lengths, and what that did to joules."""
    shares = span([percent(one.new_share) for one in found], ".0f")
    windows = "1 window" if len(found) == 1 else f"{len(found)} windows"
    said = f"{model}: in {windows}, {shares} % of the steps were the first at their length. A step took "
    said += f"{span([own / met for own, met in (one.step_s for one in found)], '.2f')} times as long as in the nearest "
    said += "cell that had met its lengths"
    joules = [pair for one in found if (pair := one.token_j(channel)) is not None]
    if joules:
        said += f", and an output token {span([own / met for own, met in joules], '.2f')} times the joules"
    return said + "."


def meeting_table(model: str, found: Sequence[Meeting], channel: Channel) -> Table:
    """Every window of one model that met new lengths, beside its neighbour."""
    costs = ("ms a step", "met before", "ratio", "J a token", "met before", "ratio")
    header = ("system", "m, n", "at once", "new lengths", *costs)
    rows = [
        (
            one.window.system.name,
            _cell(one.window),
            str(one.window.system.concurrency),
            f"{percent(one.new_share):.0f} %",
            *_sides((milliseconds(one.step_s[0]), milliseconds(one.step_s[1]))),
            *_sides(one.token_j(channel)),
            _cell(one.nearest[0]),
            f"{percent(one.common_share):.0f} %",
        )
        for one in found
    ]
    return Table(
        f"{model}: windows that met new lengths, each beside the cell with most lengths in common that had met them",
        (*header, "cell beside it", "in common"),
        rows,
    )


def span(values: Sequence[float], form: str) -> str:
    """The least and the greatest of at least one value, once where they read the same."""
    ends = (f"{min(values):{form}}", f"{max(values):{form}}")
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _tells(trial: Measurement, share: float) -> bool:
    """Whether a window is long and whole enough, and new enough, to tell."""
    whole = trial.output_tokens == trial.requested_output_tokens and (trial.window_s or 0.0) >= LEAST_WINDOW_S
    return whole and share > MOST_NEW


def _beside(trial: Measurement, share: float, known: Sequence[Measurement]) -> Iterator[Meeting]:
    """The window beside all windows of the cell with most lengths in common; nothing where none has any."""
    mates = [(_common(trial, other), other) for other in known if other.system == trial.system]
    most = max((common for common, _ in mates), default=0.0)
    if most > 0:
        first = next(other for common, other in mates if common == most)
        yield Meeting(trial, share, tuple(other for _, other in mates if _shape(other) == _shape(first)), most)


def _common(one: Measurement, other: Measurement) -> float:
    """Lengths that both ran through, as a share of those that either did."""
    ours, theirs = set(range(*_lengths(one))), set(range(*_lengths(other)))
    return len(ours & theirs) / len(ours | theirs)


def _lengths(trial: Measurement) -> tuple[int, int]:
    """First length of its sequences, and one past their last."""
    return trial.input_tokens, trial.input_tokens + trial.output_tokens


def _shape(trial: Measurement) -> tuple[int, int]:
    return trial.requested_input_tokens, trial.requested_output_tokens


def _cell(trial: Measurement) -> str:
    return f"{trial.requested_input_tokens}, {trial.requested_output_tokens}"


def _step_s(trial: Measurement) -> float:
    """Of the whole query, where nobody saw its first token or there is no other."""
    if trial.ttft_s is None or trial.output_tokens < 2:
        return trial.query_runtime_s / trial.output_tokens
    return (trial.query_runtime_s - trial.ttft_s) / (trial.output_tokens - 1)


def _token_j(trial: Measurement, channel: Channel) -> float | None:
    energy_j = trial.energy_j(channel)
    return None if energy_j is None else energy_j / trial.output_tokens


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _sides(pair: tuple[float, float] | None) -> tuple[str, str, str]:
    return ("–", "–", "–") if pair is None else (f"{pair[0]:.3g}", f"{pair[1]:.3g}", f"{pair[0] / pair[1]:.2f}")
