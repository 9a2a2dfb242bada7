"""How many tokens an answer will have: a distribution, learned from answers that are known already.

A request shows its prompt and not its answer. Answers to requests alike tell, and *alike* goes from near to far: the
same model, key, route and flags with a prompt of nearly the same length; then of roughly that length; then any; then
anybody's. Each such *place* keeps its last answers. A forecast takes its points from the nearest place in proportion to
what that knows, c answers against a doubt of 16, and the rest from the forecast behind it, down to a prior:

    32 points = 32 c / (c + 16) quantiles of its own answers, and evenly spread points of the next place's forecast

so a place with few answers leans on its parents and one with many stands by itself. The client's cap cuts the points
and is never taken for a forecast: people set it high and forget it. `benchmarks/output_length.py` measures all this.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.schema import MOST_TOKENS

POINTS: Final = 32
"""Most points of a forecast: each is priced on each system."""

_DOUBT: Final = 16
"""Answers of its own at which a place counts as much as all behind it: on the Azure traces 8 to 24 change the
mean error by half a token and put 88 to 91 % of the answers into the 90 % range."""

_WINDOW: Final = 64
"""Answers that a place remembers; 64 to 256 do equally well on the Azure traces, and fewer follow a change sooner."""

_STEPS: Final = 16
"""Steps of prompt length an octave in the finest places, of 4.4 % each; the two behind have 4 and 1.

Powers of two alone are too coarse: the mean error on the Azure traces is 51 tokens with 1 step, 37 with 4, 35 with 16.
"""

_STALE: Final = 8
"""A kept forecast is drawn anew once one in so many of the answers behind it are new."""

_Place: TypeAlias = tuple[object, ...]


class LengthKey(NamedTuple):
    """What is known of a request before its answer; made once a request, hence a bare tuple.

    `key` is whose request it is, `flags` what else shapes answers (tools, a JSON schema). `input_tokens` is as known at
    dispatch, and so is learned under the same estimate that it will be looked up by.
    """

    model: str
    key: str
    route: str
    flags: str
    input_tokens: int


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """A distribution of output tokens: K points that rise, each at least 1, and their weights, which add up to 1.

    Both arrays have shape (K,) with K from 1 to 32. The expectation of a cost f is weights @ f(output_tokens), and
    `mean` that of the output tokens themselves; `longest` is the last point.
    """

    output_tokens: Integers
    weights: Floats
    mean: float = field(init=False)
    longest: int = field(init=False)

    def __post_init__(self) -> None:
        if self.output_tokens.shape != self.weights.shape or not 1 <= self.output_tokens.size <= POINTS:
            raise ValueError(f"a forecast has 1 to {POINTS} points, each with a weight, got {self.output_tokens.shape}")
        object.__setattr__(self, "mean", float(self.weights @ self.output_tokens))  # once, for many who ask
        object.__setattr__(self, "longest", int(self.output_tokens[-1]))

    @classmethod
    def exactly(cls, output_tokens: int) -> "Forecast":
        """The forecast of somebody who knows."""
        return cls(np.array([max(1, output_tokens)]), _CERTAIN)

    def quantile(self, p: float) -> int:
        """The least point that an answer stays within with a probability of `p`, in (0, 1]."""
        reached = _reached_equally(p) if self.weights is _EQUAL else _reached(self.weights, p)
        return int(self.output_tokens[reached])

    def cut(self, most_output_tokens: int) -> "Forecast":
        """The same where no answer may be longer: what lay beyond lies at the cap."""
        return self if self.longest <= most_output_tokens else _cut(self, max(1, most_output_tokens))


@lru_cache(maxsize=1024)
def _cut(forecast: Forecast, most_output_tokens: int) -> Forecast:
    """The same for everybody who sends this cap: clients set few of them, and prices keep what they know of each."""
    return Forecast(np.minimum(forecast.output_tokens, most_output_tokens), forecast.weights)


def _reached(weights: Floats, p: float) -> int:
    """The position at which the weights add up to `p`; sums of 1/32 are exact, other weights are not."""
    return min(int(np.searchsorted(weights.cumsum(), p - 1e-9)), weights.size - 1)


@lru_cache(maxsize=64)
def _reached_equally(p: float) -> int:
    """The same for the weights of nearly all forecasts, asked about few `p`."""
    return _reached(_EQUAL, p)


def _equal(points: int) -> Floats:
    weights = np.full(points, 1 / points)
    weights.setflags(write=False)
    return weights


_EQUAL: Final = _equal(POINTS)
_CERTAIN: Final = _equal(1)

ALPACA_GPT4: Final = Forecast(
    np.concatenate(
        (
            [6, 9, 11, 13, 16, 19, 22, 26, 31, 37, 45, 55, 65, 79, 94, 109],
            [124, 139, 155, 173, 193, 214, 237, 260, 283, 306, 329, 354, 380, 412, 456, 542],
        )
    ),
    _EQUAL,
)
"""Quantiles (k + 1/2) / 32 of GPT-4's answers to the 52,002 Alpaca prompts, mean 163 tokens, in tokens of Llama-2.

Source: `gpt4_output_lengths.parquet` of `bundled:alpaca`, after Figure 3 of Wilkins, Keshav and Mortier (2024).
"""


class LengthPredictor:
    """Forecasts from what it has observed; `prior` stands in where that is little.

    Holds at most `most_places` histories of 2 to 4 kB each and forgets the one that learned nothing for longest.
    """

    def __init__(self, prior: Forecast = ALPACA_GPT4, *, most_places: int = 4096) -> None:
        points = [prior.quantile((at + 0.5) / POINTS) for at in range(POINTS)]
        self._prior, self._prior_points = Forecast(np.array(points), _EQUAL), points
        self._most_places = most_places
        self._histories: OrderedDict[_Place, _History] = OrderedDict()
        self._cut_answers = 0

    def __len__(self) -> int:
        return len(self._histories)

    def forecast(self, key: LengthKey, *, most_output_tokens: int | None = None, hint: int | None = None) -> Forecast:
        """The answer's length, at most the client's cap; a `hint` of the client is believed."""
        known = self._known(key) if hint is None else Forecast.exactly(hint)
        return known if most_output_tokens is None else known.cut(most_output_tokens)

    def observe(self, key: LengthKey, output_tokens: int, *, cut: bool = False) -> None:
        """Learn that the answer had so many tokens, or with `cut` that the cap ended it there.

        A cut answer would have been longer, so a length beyond is learned: those forecast take turns. A count that no
        query can have says nothing and is not learned.
        """
        if not 1 <= output_tokens <= MOST_TOKENS:
            return
        length = self._beyond(key, output_tokens) if cut else output_tokens
        nearest = self._histories.get(_nearest(key)) or self._begun(key)
        used = self._histories.move_to_end
        for history in (nearest, *nearest.behind):
            history.answers[history.learned % _WINDOW] = length
            history.learned += 1
            used(history.place)
        while len(self._histories) > self._most_places:
            self._histories.popitem(last=False)

    def _known(self, key: LengthKey) -> Forecast:
        """The forecast of the first place that was ever in use, mixed with that of those behind it."""
        nearest = self._histories.get(_nearest(key))
        if nearest is None:  # nobody has asked this before: whoever is next
            nearest = next(filter(None, map(self._histories.get, _behind(key))), None)
            if nearest is None:
                return self._prior
        points = self._points(nearest)
        if nearest.forecast is None:
            nearest.forecast = Forecast(np.array(points), _EQUAL)
        return nearest.forecast

    def _points(self, history: "_History") -> list[int]:
        """What a place forecasts, drawn anew where it and those behind have learned enough since."""
        if history.learned >= history.due:
            history.draw(self._points(history.behind[0]) if history.behind else self._prior_points)
        return history.points

    def _beyond(self, key: LengthKey, output_tokens: int) -> int:
        longer = [point for point in self._known(key).output_tokens.tolist() if point > output_tokens]
        self._cut_answers += 1
        return longer[self._cut_answers % len(longer)] if longer else output_tokens

    def _begun(self, key: LengthKey) -> "_History":
        """The nearest place, in use from now on, as are all behind it.

        Whoever learns has those behind it learn as well, so none of them is forgotten before it.
        """
        behind: tuple[_History, ...] = ()
        for place in reversed((_nearest(key), *_behind(key))):
            history = self._histories.get(place)
            if history is None:
                history = self._histories[place] = _History(place, behind)
            behind = (history, *behind)
        return behind[0]


class _History:
    """The last answers of one place, how many were ever `learned`, the points drawn from them, and those behind it.

    Points are kept until an eighth of the answers behind them are new, and so drawn anew each time below eight. They
    are a list, and the `forecast` made of them only where somebody asks for this place: most are asked from before it.
    """

    __slots__ = ("answers", "behind", "due", "forecast", "learned", "place", "points")

    def __init__(self, place: _Place, behind: "tuple[_History, ...]") -> None:
        self.place, self.behind = place, behind
        self.answers = [0] * _WINDOW  # a ring: the next goes over the oldest
        self.learned = self.due = 0
        self.points: list[int] = []
        self.forecast: Forecast | None = None

    def draw(self, behind: list[int]) -> None:
        """Draw anew: quantiles of what is held as far as that goes, and the rest like the points `behind`."""
        held = sorted(self.answers[: self.learned])
        share = round(POINTS * len(held) / (len(held) + _DOUBT))
        points = [*_spread(share, len(held))(held), *_spread(POINTS - share, len(behind))(behind)]
        points.sort()
        self.points, self.forecast, self.due = points, None, self.learned + len(held) // _STALE


def _nearest(key: LengthKey) -> _Place:
    """Where answers to requests most like this one are kept."""
    model, whose, route, flags, input_tokens = key
    return _step(input_tokens), model, whose, route, flags


def _behind(key: LengthKey) -> tuple[_Place, ...]:
    """Where those to requests less and less like it are."""
    model, whose, route, flags, input_tokens = key
    step = _step(input_tokens)
    return (
        ("4", step >> 2, model, whose, route, flags),
        ("1", step >> 4, model, whose, route, flags),
        ("own", model, whose, route, flags),
        ("everyone's", model, route, flags),
        ("model", model),
    )


@lru_cache(maxsize=8192)
def _step(input_tokens: int) -> int:
    return int(_STEPS * math.log2(max(1, input_tokens)))


@cache
def _spread(points: int, count: int) -> Callable[[list[int]], tuple[int, ...]]:
    """Takes the quantiles (k + 1/2) / points among `count` numbers in order; two points or more."""
    return itemgetter(*[int((at + 0.5) * count / points) for at in range(points)])
