"""A policy asked about the whole fleet at once: what `choose` decides, with one call of the score for all systems.

A score is arithmetic (see `policies/policy.py`), so mostly it takes arrays of shape (S,) as readily as numbers, in a
third of the time of ten calls. A score that looks something up by position does not. Whether it does is tried out when
the policy is bound; those that fail, and fleets of few systems, are asked one by one. The decisions are the same: tests
replay both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

import msgspec
import numpy as np

from wattshed.domain.plan import Decision
from wattshed.gateway.fleet.live import Look
from wattshed.gateway.placing.asking import Stage
from wattshed.gateway.placing.tariff import Expected
from wattshed.policies.fixed import AllTo
from wattshed.policies.policy import Candidate, Policy, Score

_FEW: Final = 12
"""Systems up to which asking one by one takes no longer: 0.6 us each, where arrays take 10 us for any number."""

_TRIALS: Final = 8
"""Fleets drawn at random on which a score has to say the same at once as one by one."""


class _Seat(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The fields of a `Candidate` of plain numbers: 0.1 us to make, where a tuple with names takes 0.4."""

    input_tokens: int
    output_tokens: int
    energy_j: float
    runtime_s: float
    wait_s: float
    in_flight: int
    position: int
    systems: int
    serial: int
    draw: float


class Scene(msgspec.Struct, eq=False):
    """All that a decision hangs on, put as scores take it once for all policies that are asked.

    Made once a request, and never changed but for what it keeps of its own answers. `expected` includes wake energy.
    """

    input_tokens: int
    output_tokens: int
    expected: Expected
    look: Look
    stages: Sequence[Stage]
    serial: int
    draw: float
    _together: Candidate | None = None
    _apart: "list[_Seat] | None" = None

    @property
    def together(self) -> Candidate:
        """All systems as one candidate, of arrays of shape (S,)."""
        if self._together is None:
            expected, look = self.expected, self.look
            self._together = Candidate(
                self.input_tokens,
                self.output_tokens,
                np.array(expected.energy_j),
                np.array(expected.runtime_s),
                np.array(look.wait_s),
                np.array(look.in_flight),
                np.arange(len(expected.energy_j)),
                len(expected.energy_j),
                self.serial,
                self.draw,
            )
        return self._together

    @property
    def apart(self) -> "list[_Seat]":
        """Each system by itself, of plain numbers."""
        if self._apart is None:
            m, n, serial, draw = self.input_tokens, self.output_tokens, self.serial, self.draw
            energy_j, runtime_s = self.expected.energy_j, self.expected.runtime_s
            wait_s, in_flight, systems = self.look.wait_s, self.look.in_flight, len(energy_j)
            self._apart = [
                _Seat(m, n, energy_j[at], runtime_s[at], wait_s[at], in_flight[at], at, systems, serial, draw)
                for at in range(systems)
            ]
        return self._apart


@dataclass(frozen=True, slots=True)
class Bound:
    """A policy for a fleet of S systems, its name and numbers worked out once, and whether it scores them `at_once`.

    `always` is the position of one that looks at nothing, as most baselines do.
    """

    name: str
    parameters: tuple[float, ...]
    score: Score
    rotates: bool
    at_once: bool
    always: int | None = None

    @classmethod
    def of(cls, policy: Policy, systems: int) -> "Bound":
        """The same policy, tried out."""
        at_once, always = _scores_at_once(policy, systems), policy.position if isinstance(policy, AllTo) else None
        return cls(policy.name, policy.parameters, policy.score, policy.rotates, at_once, always)

    def decide(self, names: Sequence[str], scene: Scene, left: Sequence[int]) -> Decision:
        """Its choice among the positions `left`, of which there is one at least."""
        expected, systems, scores = scene.expected, len(names), self._scores(scene, left)
        reason = self.name
        if len(left) < systems:
            reason += f"; {systems - len(left)} of {systems} systems cannot serve it"
        best = scores.index(min(scores))
        energy_j, runtime_s = expected.energy_j[best], expected.runtime_s[best]
        return Decision(names[best], best, self.name, reason, tuple(scores), energy_j, runtime_s)

    def best(self, scene: Scene, left: Sequence[int]) -> int:
        """The position that it would choose."""
        if self.always is not None and self.always in left:
            return self.always
        scores = self._scores(scene, left)
        return scores.index(min(scores))

    def _scores(self, scene: Scene, left: Sequence[int]) -> list[float]:
        """A score each system, infinite where it is not `left`."""
        if self.at_once and len(left) > _FEW:
            return self._together(scene, left)
        candidates, score, parameters = scene.apart, self.score, self.parameters
        scores = [inf] * len(candidates)
        for at in left:
            scores[at] = float(score(candidates[at], parameters))  # type: ignore[arg-type]  # has the same fields
        return scores

    def _together(self, scene: Scene, left: Sequence[int]) -> list[float]:
        scored = self.score(scene.together, self.parameters)
        scores: list[float] = (scored if scored.dtype.kind == "f" else scored.astype(np.float64)).tolist()
        if len(left) < len(scores):
            inside = set(left)
            scores = [score if position in inside else inf for position, score in enumerate(scores)]
        return scores


def _scores_at_once(policy: Policy, systems: int) -> bool:
    """Whether the score says the same of arrays of shape (S,) as of S numbers, on fleets drawn at random."""
    rng = np.random.default_rng(0)
    return all(_says_the_same(policy, _drawn(rng, systems), systems) for _ in range(_TRIALS))


def _drawn(rng: np.random.Generator, systems: int) -> Candidate:
    m, n, serial = (int(tokens) for tokens in 2 ** rng.uniform(0, 12, 3))
    energy_j, runtime_s, wait_s = rng.lognormal(1, 2, (3, systems))
    return Candidate(
        m,
        n,
        energy_j,
        runtime_s,
        wait_s,
        rng.integers(0, 9, systems),
        np.arange(systems),
        systems,
        serial,
        rng.random(),
    )


def _says_the_same(policy: Policy, at_once: Candidate, systems: int) -> bool:
    one_by_one = [
        float(policy.score(Candidate(*(_at(part, position) for part in at_once)), policy.parameters))
        for position in range(systems)
    ]
    try:
        scores = np.asarray(policy.score(at_once, policy.parameters), np.float64)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError):  # what arrays make of plain Python
        return False
    return bool(scores.tolist() == one_by_one)


def _at(part: object, position: int) -> object:
    return part[position].item() if isinstance(part, np.ndarray) else part
