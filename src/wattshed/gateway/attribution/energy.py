"""Whose joules were they, live: windows of an agent's meter, split over the requests that were on its node.

    present --finished--> ended --every window up to its end is split--> settled: joules, or the reason for none

Windows tile time, and each is split once, by `domain.attribution.attribute`, over everyone who was present in it. It
waits for them to end, because what a request did in a window is known then (tokens come with the end), but for no
longer than `patience_s`: then whoever still runs counts with the tokens that are expected of it. A window without
joules leaves everyone in it without. So of all joules counted, at any instant,

    counted = delivered + undelivered + unattributed + pending

where undelivered ones are those of requests that were told they have none, and pending ones those of requests that are
not settled. Attempts that fail are present like others, and a retry is another presence: name them apart.

`split.py` does the arithmetic. Idle power is the least of the last windows in which nobody was present.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Final, NamedTuple

from wattshed.domain.attribution import Attribution, Weights
from wattshed.gateway.ledger.ledger import Settlement

RESIDENCE: Final = Weights(0.0, 0.0, 0.0)
"""Where no batch predictor says what work costs: joules are split by time present."""

_EMPTY_WINDOWS: Final = 16
"""Windows without requests whose least power is idle power; work that an engine ends late is in few of them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How the joules of a node are split, and how long a window waits for those in it to end.

    `idle_power_w` holds until a window without requests has shown what it is.
    """

    weights: Weights = RESIDENCE
    idle_power_w: float = 0.0
    patience_s: float = 15.0

    def __post_init__(self) -> None:
        if not (isfinite(self.idle_power_w) and self.idle_power_w >= 0 and 0 < self.patience_s < float("inf")):
            raise ValueError("idle power is at least 0 W, and patience is finite and above 0 s")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts of a request: expected ones while it runs, then those that it had."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Joules that a node counted between two instants of our clock, or the code of why there are none."""

    started_at_s: float
    stopped_at_s: float
    energy_j: float | None
    reason: str | None = None

    def __post_init__(self) -> None:
        if not self.started_at_s < self.stopped_at_s:
            raise ValueError(f"a window takes time, got {self.started_at_s} s to {self.stopped_at_s} s")
        if (self.energy_j is None) == (self.reason is None):
            raise ValueError("a window has joules or a reason, not both and not neither")


class Life(NamedTuple):
    """A request as far as it is known; of one that still runs the tokens are expected ones, and its end is now."""

    request: str
    started_at_s: float
    first_token_at_s: float | None
    finished_at_s: float
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Due:
    """A window that can be split, and the lives of those present in it."""

    window: Window
    lives: tuple[Life, ...]


@dataclass(frozen=True, slots=True)
class Joules:
    """Where all joules that a node counted have gone; the first is the sum of the others, to rounding."""

    counted_j: float
    delivered_j: float
    undelivered_j: float
    unattributed_j: float
    pending_j: float


@dataclass(slots=True)
class _Presence:
    request: str
    started_at_s: float
    tokens: Tokens
    first_token_at_s: float | None = None
    finished_at_s: float | None = None
    active_j: float = 0.0
    idle_j: float = 0.0
    reason: str | None = None
    windows: int = 0
    told: bool = False

    @property
    def energy_j(self) -> float:
        return self.active_j + self.idle_j


class NodeEnergy:
    """Owns the presences and windows of one node; every instant comes in from outside, on one clock."""

    def __init__(self, terms: Terms, since_s: float) -> None:
        self.terms = terms
        self._present: dict[str, _Presence] = {}
        self._windows: list[Window] = []
        self._empty_w: deque[float] = deque(maxlen=_EMPTY_WINDOWS)
        self._until_s = self._split_until_s = since_s
        self._counted_j = self._delivered_j = self._undelivered_j = self._unattributed_j = 0.0

    @property
    def until_s(self) -> float:
        """Where the last window ends, and the next one begins."""
        return self._until_s

    @property
    def joules(self) -> Joules:
        """Where all joules so far have gone."""
        pending_j = sum(presence.energy_j for presence in self._present.values() if not presence.told)
        waiting_j = sum(window.energy_j or 0.0 for window in self._windows)
        return Joules(
            self._counted_j, self._delivered_j, self._undelivered_j, self._unattributed_j, pending_j + waiting_j
        )

    def forget_idle(self) -> None:
        """What is counted from now on is of other parts, which idle at another power."""
        self._empty_w.clear()
        self.terms = replace(self.terms, idle_power_w=0.0)

    def began(self, request: str, at_s: float, expected: Tokens) -> None:
        """A request is on the node; ValueError where one of this name is already."""
        if request in self._present:
            raise ValueError(f"request {request!r} is on the node already; name its attempts apart")
        self._present[request] = _Presence(request, at_s, expected)

    def first_token(self, request: str, at_s: float) -> None:
        """Its first token has come; a stranger's does nothing."""
        presence = self._present.get(request)
        if presence is not None and presence.first_token_at_s is None:
            presence.first_token_at_s = at_s

    def finished(self, request: str, at_s: float, tokens: Tokens | None = None) -> None:
        """It has ended, whichever way; `tokens` where they are known. A stranger, or a second end, does nothing."""
        presence = self._present.get(request)
        if presence is not None and presence.finished_at_s is None:
            presence.finished_at_s = max(at_s, presence.started_at_s)
            presence.tokens = tokens or presence.tokens

    def counted(self, window: Window) -> None:
        """The next window; ValueError where it does not begin as the last one ended."""
        if window.started_at_s != self._until_s:
            raise ValueError(f"windows tile time: one ended at {self._until_s} s, the next begins elsewhere")
        self._until_s = window.stopped_at_s
        self._counted_j += window.energy_j or 0.0
        self._windows.append(window)

    def due(self, now_s: float) -> tuple[Due, ...]:
        """The windows that can be split now, in order; they stay due until `take`."""
        ready = []
        for window in self._windows:
            inside = self._inside(window)
            impatient = now_s - window.stopped_at_s >= self.terms.patience_s or window.energy_j is None
            if not impatient and any(presence.finished_at_s is None for presence in inside):
                break
            ready.append(Due(window, tuple(_life(presence, now_s) for presence in inside)))
        return tuple(ready)

    def take(self, due: Sequence[Due], shares: Sequence[Attribution | None]) -> None:
        """Give everyone their part of the windows that were due; `shares` are `energy_split.split`'s."""
        for one, attribution in zip(due, shares, strict=True):
            if attribution is None:
                self._leave_without(one)
            else:
                self._give(attribution)
                self._learn_idle(one)
            self._split_until_s = one.window.stopped_at_s
        del self._windows[: len(due)]

    def settled(self, now_s: float) -> list[Settlement]:
        """Those whose joules are complete since last asked, and those that have waited for too long, with a reason."""
        ended = [presence for presence in self._present.values() if presence.finished_at_s is not None]
        return [
            *(one for presence in ended if (one := self._complete(presence)) is not None),
            *(one for presence in ended if (one := self._overdue(presence, now_s)) is not None),
        ]

    def _inside(self, window: Window) -> list[_Presence]:
        return [
            presence
            for presence in self._present.values()
            if presence.started_at_s < window.stopped_at_s
            and (presence.finished_at_s is None or presence.finished_at_s > window.started_at_s)
        ]

    def _leave_without(self, due: Due) -> None:
        for life in due.lives:
            presence = self._present[life.request]
            presence.reason = presence.reason or due.window.reason

    def _learn_idle(self, due: Due) -> None:
        window = due.window
        if not due.lives and window.energy_j is not None and window.energy_j >= 0:
            self._empty_w.append(window.energy_j / (window.stopped_at_s - window.started_at_s))
            self.terms = replace(self.terms, idle_power_w=min(self._empty_w))

    def _give(self, attribution: Attribution) -> None:
        self._unattributed_j += attribution.unattributed_j
        for request, active_j, idle_j in zip(
            attribution.requests, attribution.active_j.tolist(), attribution.idle_j.tolist(), strict=True
        ):
            presence = self._present[request]
            presence.active_j += active_j
            presence.idle_j += idle_j
            presence.windows += 1
            if presence.told:
                self._undelivered_j += active_j + idle_j

    def _complete(self, presence: _Presence) -> Settlement | None:
        """What a request gets that lies behind the last split; it is present no more."""
        if (presence.finished_at_s or 0.0) > self._split_until_s:
            return None
        del self._present[presence.request]
        if presence.told:
            return None
        if presence.reason is not None or not presence.windows:
            self._undelivered_j += presence.energy_j
            return Settlement(presence.request, None, None, presence.reason or "window_too_short")
        self._delivered_j += presence.energy_j
        return Settlement(presence.request, presence.energy_j, presence.idle_j, None)

    def _overdue(self, presence: _Presence, now_s: float) -> Settlement | None:
        """What a request is told whose windows do not come; it stays, so that others do not get its joules."""
        waited_s = now_s - (presence.finished_at_s or 0.0)
        if presence.told or presence.request not in self._present or waited_s < 2 * self.terms.patience_s:
            return None
        presence.told = True
        self._undelivered_j += presence.energy_j
        return Settlement(presence.request, None, None, presence.reason or "pending")


def _life(presence: _Presence, now_s: float) -> Life:
    running, now_s = presence.finished_at_s is None, max(now_s, presence.started_at_s)
    return Life(
        presence.request,
        presence.started_at_s,
        presence.first_token_at_s,
        now_s if running else presence.finished_at_s or 0.0,
        presence.tokens,
    )
