"""Prices of slots that find themselves: what the machines are sent is watched, and the policy follows.

    every `every_s`: seconds of work sent to each machine, over its slot-seconds --> `PriceLoop` --> `Priced`

Work counts as it is predicted when a request begins, so a machine is seen to be asked for more than it has before its
queue is long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isclose
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from wattshed.domain.cost import Objective
from wattshed.errors import InputError
from wattshed.files import read_whole
from wattshed.gateway.fleet.live import LiveFleet
from wattshed.policies.price_loop import PriceLoop
from wattshed.policies.priced import Priced

KnownPrices: TypeAlias = dict[tuple[str, Objective], float]
"""Prices by system and by the objective whose units they are in."""

_DRAIN: Final = 30.0
"""Observations in which a backlog is to be worked off, as `PriceLoop` advises."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How slot prices find themselves: the share of each machine's time to be used, and how often to look."""

    target_utilisation: float = 0.9
    every_s: float = 5.0

    def __post_init__(self) -> None:
        if not (0 < self.target_utilisation <= 1 and 0 < self.every_s < inf):
            raise ValueError("prices are tuned to a utilisation above 0 and up to 1, every few seconds")


class SlotPrices:
    """Owns the loop of one fleet. `start` are prices to begin from, one a machine."""

    def __init__(self, tuning: Tuning, live: LiveFleet, slots: Sequence[int], *, start: Priced, at_s: float) -> None:
        self._live, self._slots, self._at_s = live, slots, at_s
        self._sent_s = live.sent_s
        self._loop = PriceLoop(
            start,
            drain_s=_DRAIN * tuning.every_s,
            target=tuning.target_utilisation,
        )
        self._loop.observe(at_s, (0.0,) * len(slots))

    def observe(self, at_s: float) -> Priced:
        """The policy to go on with, by what was sent to the machines since the last call."""
        sent_s, passed_s = self._live.sent_s, at_s - self._at_s
        if passed_s <= 0:
            return self._loop.policy
        used = [
            (now_s - before_s) / (slots * passed_s)
            for now_s, before_s, slots in zip(sent_s, self._sent_s, self._slots, strict=True)
        ]
        self._sent_s, self._at_s = sent_s, at_s
        return self._loop.observe(at_s, used)


def read_prices(path: Path, names: Sequence[str], objective: Objective) -> Priced:
    """The prices of a plan for systems of these names; `InputError` where it has none for one, or for another goal."""
    content = read_whole(path, wanted="the plan.json of wattshed plan --capacity")
    try:
        plan = msgspec.json.decode(content, type=_Plan)
    except msgspec.DecodeError as error:
        fix = "give the plan.json of wattshed plan --capacity"
        raise InputError(f"holds no prices of slots ({error})", path=path, fix=fix) from error
    missing = [name for name in names if name not in plan.prices]
    if missing:
        problem = f"has no price of {_listed(missing)}, only of {_listed(list(plan.prices))}"
        strange = [name for name in plan.prices if name not in names]
        rename = f", or call {_listed(strange)} as the systems are called here" if strange else ""
        raise InputError(problem, path=path, field="prices", fix=f"add what is missing{rename}")
    try:
        return plan.policy(names, objective)
    except ValueError as error:
        raise InputError(str(error), path=path, field="prices") from error


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names)) or "nobody"


class _Goal(msgspec.Struct, frozen=True):
    """The objective that a plan's prices are in units of."""

    lam: float = 1.0
    energy_ref_j: float = 1.0
    runtime_ref_s: float = 1.0


class _Plan(msgspec.Struct):
    """What is read of a plan."""

    prices: dict[str, float]
    tilts: dict[str, float] = {}
    objective: _Goal = _Goal()

    def policy(self, names: Sequence[str], objective: Objective) -> Priced:
        """The policy at the plan's prices; ValueError where the objective is not the plan's."""
        ours = objective.lam, objective.energy_ref_j, objective.runtime_ref_s
        theirs = self.objective.lam, self.objective.energy_ref_j, self.objective.runtime_ref_s
        if not all(map(isclose, ours, theirs)):
            raise ValueError(f"are in units of the objective (lam, J, s) {theirs}, and the one here is {ours}")
        tilts = tuple(self.tilts.get(name, 0.0) for name in names)
        return Priced(objective, tuple(self.prices[name] for name in names), tilts if any(tilts) else (), tuple(names))


def prices_of(policy: object) -> tuple[float, ...] | None:
    """What a slot of each machine costs under a policy, in U per second; `None` where it has no prices."""
    return policy.prices if isinstance(policy, Priced) else None


def begun(policy: Priced, known: KnownPrices, names: Sequence[str]) -> Priced:
    """The policy with the prices that systems of these names had before a reload, under the same objective."""
    of = policy.objective
    prices = tuple(known.get((name, of), price) for name, price in zip(names, policy.prices, strict=True))
    return Priced(of, prices, names=tuple(names))
