"""Shadow prices found online, from nothing: a slot grows dearer while a system is asked for more than it has.

One price a system, each a proportional and integral controller of its own utilisation, whose gain tunes itself:

    error     = utilisation - target + backlog / drain_s       backlog: seconds of work beyond the target so far
    integral  = max(0, integral + gain x error)
    price     = max(0, integral + gain x error)

While the error keeps its sign the gain doubles, and each time it changes sign the gain halves (Kesten, Annals of
Mathematical Statistics 29, 1958: steps that shrink as signs alternate converge to the root through noise), so prices in
any unit are found, from any start. The backlog is what queues hold; to drain it pays back what was overspent on the
way. Overload that all systems have in common is left out: no price cures it, and prices that rose together would fall
slowly together once it is over. No clock and no chance in here: `observe` is told the instant, and returns the policy
to go on with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from wattshed.policies.priced import Priced

_PATIENCE: Final = 3
"""Errors of one sign in a row before a gain that was halved grows again; 3 and 5 do equally well on Alpaca."""

_LARGEST_STEP, _LEAST_STEP = 0.5, 0.005
"""Gain as a fraction of the price: a price at most halves in a step, and never stops following a change."""

_DEAREST: Final = 1e6
"""Largest price over the first guess, which may be off a thousandfold: where all are full, all would rise for ever."""


@dataclass(slots=True)
class _Price:
    """The controller of one system; `gain` is in U per slot-second and unit of utilisation, as is `first_step`."""

    first_step: float
    integral: float
    gain: float
    dearest: float
    backlog_s: float = 0.0
    last_error: float = 0.0
    alike: int = 0
    turned: bool = False

    def observe(self, excess: float, passed_s: float, drain_s: float) -> float:
        """The new price after `passed_s` seconds with `excess` utilisation beyond the target."""
        self.backlog_s = max(0.0, self.backlog_s + excess * passed_s)
        error = min(1.0, max(-1.0, excess + self.backlog_s / drain_s))
        if self.integral > 0 or error > 0:  # a system with room at price 0 has nothing to find
            self._tune(error)
        self.last_error = error
        self.integral = min(max(0.0, self.integral + self.gain * error), self.dearest)
        return max(0.0, self.integral + self.gain * error)

    def _tune(self, error: float) -> None:
        sign = error * self.last_error
        self.alike = self.alike + 1 if sign > 0 else 0
        if sign < 0:
            self.turned = True
            self.gain /= 2
        elif self.alike >= (_PATIENCE if self.turned else 1):
            self.alike = 0
            self.gain *= 2
        largest = max(self.first_step, _LARGEST_STEP * self.integral)
        self.gain = min(largest, max(self.gain, _LEAST_STEP * self.integral))


class PriceLoop:
    """Prices of the slots of S systems, found by watching how busy these are.

    `start` has the prices to begin with, a plan's or none at all (`Priced.free`). `target` is the utilisation to hold;
    queues want it below 1. `drain_s` is the time in which a backlog is to be worked off: some 30 times the interval
    between observations. `first_step` is the first guess of a price, in U per slot-second; off by a thousandfold it
    costs ten observations.
    """

    def __init__(
        self,
        start: Priced,
        *,
        drain_s: float,
        target: float = 1.0,
        first_step: float = 1.0,
    ) -> None:
        if not (drain_s > 0 and target > 0 and first_step > 0):
            raise ValueError("drain_s, target and first_step are positive")
        self._drain_s, self._target = drain_s, target
        self._last_at_s: float | None = None
        self._policy = replace(start, tilts=())
        self._prices = [
            _Price(first_step, price, max(first_step, 0.1 * price), _DEAREST * max(first_step, price))
            for price in start.prices
        ]

    @property
    def policy(self) -> Priced:
        """The policy to go on with."""
        return self._policy

    def observe(self, at_s: float, utilisation: Sequence[float]) -> Priced:
        """The policy to go on with after the time up to `at_s`, on any axis that never runs back.

        `utilisation` has one entry a system: slot-seconds of work that was sent to it since the last observation, over
        the slot-seconds it had. Above 1 its queue grows; a count of busy slots, which stops at 1, wants a `target`
        below 1. The first observation is taken to span no time.
        """
        if len(utilisation) != len(self._prices):
            raise ValueError(f"{len(self._prices)} systems have as many utilisations, got {len(utilisation)}")
        passed_s = 0.0 if self._last_at_s is None else at_s - self._last_at_s
        if passed_s < 0:
            raise ValueError(f"time runs back by {-passed_s:g} s")
        self._last_at_s = at_s
        excess = [float(share) - self._target for share in utilisation]
        common = max(0.0, min(excess))
        prices = [
            price.observe(own - common, passed_s, self._drain_s)
            for price, own in zip(self._prices, excess, strict=True)
        ]
        self._policy = replace(self._policy, prices=tuple(prices))
        return self._policy
