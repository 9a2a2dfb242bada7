"""The suite that every policy passes, ours and users': one score, three drivers, the same decision.

class TestMyPolicy(PolicySuite):
    @pytest.fixture
    def policy(self) -> Policy:
        return MyPolicy(...)        # for a fleet of SYSTEMS systems
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
import pytest

from wattshed.domain.arrays import Integers
from wattshed.domain.cost import CostTable
from wattshed.domain.query import Query
from wattshed.domain.system import FleetState
from wattshed.errors import InfeasibleError
from wattshed.policies.policy import Candidate, Policy, Score, choose, place

SYSTEMS = 3
NAMES = ("M1", "V100", "A100")
QUERIES = 100

compiled = cache(numba.njit)
"""The score as the simulator runs it, compiled once a test run."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Queries, what they cost, and what the fleet is doing: all a decision hangs on. Some fit no system."""

    input_tokens: Integers
    output_tokens: Integers
    costs: CostTable
    state: FleetState
    serial: Integers
    draw: float

    @classmethod
    def of(cls, seed: int) -> "Scene":
        """A scene drawn at random; small whole numbers make ties likely."""
        rng = np.random.default_rng(seed)
        shape = (QUERIES, SYSTEMS)
        energy_j, runtime_s = rng.integers(1, 9, (2, *shape)).astype(np.float64)
        costs = CostTable(energy_j, runtime_s, rng.random(shape) < 0.7, np.zeros(shape, np.bool_))
        available = rng.random(SYSTEMS) < 0.9
        state = FleetState(rng.integers(0, 3, SYSTEMS).astype(np.float64), rng.integers(0, 5, SYSTEMS), available)
        m, n = rng.integers(1, 100, (2, QUERIES))
        return cls(m, n, costs, state, rng.permutation(QUERIES), float(rng.random()))

    def open_to(self, row: int) -> list[bool]:
        """Whether each system may serve a query."""
        return [bool(open_) for open_ in self.costs.feasible[row] & self.state.available]

    def candidates(self, row: int) -> Iterator[Candidate]:
        """One query on each system, in plain numbers."""
        for position in range(SYSTEMS):
            yield Candidate(
                int(self.input_tokens[row]),
                int(self.output_tokens[row]),
                float(self.costs.energy_j[row, position]),
                float(self.costs.runtime_s[row, position]),
                float(self.state.wait_s[position]),
                int(self.state.in_flight[position]),
                position,
                SYSTEMS,
                int(self.serial[row]),
                self.draw,
            )

    def planned(self, policy: Policy) -> list[int]:
        """Positions as the planner finds them."""
        m, n = self.input_tokens, self.output_tokens
        chosen = place(policy, m, n, self.costs, state=self.state, serial=self.serial, draw=self.draw)
        return [int(position) for position in chosen]

    def served(self, policy: Policy, row: int) -> int:
        """Position as the gateway finds it, query by query; -1 where it refuses."""
        energy_j, runtime_s = self.costs.energy_j[row].tolist(), self.costs.runtime_s[row].tolist()
        query = Query(int(self.input_tokens[row]), int(self.output_tokens[row]))
        try:
            return choose(
                policy,
                query,
                NAMES,
                energy_j,
                runtime_s,
                self.costs.feasible[row].tolist(),
                state=self.state,
                serial=int(self.serial[row]),
                draw=self.draw,
            ).position
        except InfeasibleError:
            return -1

    def simulated(self, policy: Policy, row: int) -> int:
        """Position as a compiled loop finds it: the first of the least scores."""
        scores = _scores(compiled(policy.score), self, row, policy.parameters)
        least = min(scores)
        return scores.index(least) if least < np.inf else -1


class PolicySuite:
    """Tests of the contract; a subclass gives the fixture `policy`."""

    @pytest.fixture
    def policy(self) -> Policy:
        """The policy under test."""
        raise NotImplementedError("a subclass of PolicySuite says which policy it tests")

    @pytest.fixture(params=range(5))
    def scene(self, request: pytest.FixtureRequest) -> Scene:
        """Something to decide."""
        return Scene.of(request.param)

    def test_three_drivers_decide_alike(self, policy: Policy, scene: Scene) -> None:
        """Planner, gateway and simulator place every query on the same system, or all refuse it."""
        planned = scene.planned(policy)

        assert planned == [scene.served(policy, row) for row in range(QUERIES)]
        assert planned == [scene.simulated(policy, row) for row in range(QUERIES)]

    def test_refuses_only_what_nobody_can_serve(self, policy: Policy, scene: Scene) -> None:
        """A system that cannot serve is never chosen, and -1 means that none can."""
        for row, position in enumerate(scene.planned(policy)):
            open_to = scene.open_to(row)

            assert open_to[position] if any(open_to) else position == -1

    def test_scores_are_finite_and_pure(self, policy: Policy, scene: Scene) -> None:
        """The same candidate gets the same finite score every time."""
        first, again = (
            [
                policy.score(candidate, policy.parameters)
                for row in range(QUERIES)
                for candidate in scene.candidates(row)
            ]
            for _ in range(2)
        )

        assert np.isfinite(np.array(first, np.float64)).all()
        assert first == again

    def test_is_a_value(self, policy: Policy) -> None:
        """A policy is frozen and hashable, has a name, and its parameters are plain numbers."""
        with pytest.raises((AttributeError, TypeError)):  # TypeError: frozen classes with slots, bpo-46414
            policy.name = "other"  # type: ignore[misc]  # that it cannot be set is the point

        assert hash(policy) == hash(policy)
        assert policy.name
        assert all(type(parameter) is float for parameter in policy.parameters)

    def test_rotates_only_if_it_says_so(self, policy: Policy, scene: Scene) -> None:
        """Without `rotates`, neither turn nor lot changes a decision."""
        m, n = scene.input_tokens, scene.output_tokens
        turns = [place(policy, m, n, scene.costs, serial=turn, draw=(turn + 0.5) / SYSTEMS) for turn in range(SYSTEMS)]

        assert policy.rotates == any((turn != turns[0]).any() for turn in turns)


def _scores(score: Score, scene: Scene, row: int, parameters: tuple[float, ...]) -> list[float]:
    return [
        float(score(candidate, parameters)) if open_ else np.inf
        for candidate, open_ in zip(scene.candidates(row), scene.open_to(row), strict=True)
    ]
