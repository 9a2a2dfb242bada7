"""Simulate: from a scenario to what became of every query, and what every machine did all the time.

simulate(scenario) -> Run                      to the end
Simulation(scenario).advance(until_s)          step by step, with a policy that may be another one in each step
"""

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.errors import InputError
from wattshed.policies.policy import Policy
from wattshed.simulator.compiling import compilable, specialised
from wattshed.simulator.kernel import drive
from wattshed.simulator.scenario import Run, Scenario
from wattshed.simulator.totals import positions, service, totals
from wattshed.simulator.world import build


def simulate(scenario: Scenario, *, seed: int = 0) -> Run:
    """What happens, from the first arrival until every query has its outcome.

    The same scenario and seed give the same run, bit for bit. `InputError` where the scenario makes no sense.
    """
    simulation = Simulation(scenario, seed=seed)
    simulation.advance(np.inf)
    return simulation.result()


class Simulation:
    """One run that can be stopped at any instant, to look at it and to replace its `policy`.

    Its clock is that of the arrivals, and begins with the first of them.
    """

    def __init__(self, scenario: Scenario, *, seed: int = 0) -> None:
        _check(scenario)
        self.policy: Policy = scenario.policy
        self._scenario = scenario
        self._world = build(scenario, seed=seed)
        self._compiled = True
        self._taken_slot_s = np.zeros(len(scenario.machines))

    @property
    def now_s(self) -> float:
        """The instant up to which everything has happened."""
        return float(self._world.clock.now_s[0])

    @property
    def finished(self) -> bool:
        """Whether every query has its outcome."""
        return int(self._world.clock.open[0]) == 0

    @property
    def positions(self) -> Integers:
        """The machine that each query was given to last, -1 where to none yet, shape (Q,); for control loops."""
        return positions(self._world)

    def advance(self, until_s: float) -> Floats:
        """Let everything happen up to an instant; the share of each machine's slots in use meanwhile, shape (S,).

        Time stops when every query has its outcome. An instant that has passed is a ValueError.
        """
        began_s, before_slot_s = self.now_s, self._taken_slot_s
        if until_s < began_s:
            raise ValueError(f"it is {began_s} s already; {until_s} s has passed")
        self._drive(until_s)
        self._taken_slot_s = self._slot_s()
        machines = self._world.machines
        offered_slot_s = machines.slots * machines.replicas * (self.now_s - began_s)
        share = np.zeros(len(machines))
        np.divide(self._taken_slot_s - before_slot_s, offered_slot_s, out=share, where=offered_slot_s > 0)
        return share

    def result(self) -> Run:
        """The whole run; ValueError before every query has its outcome."""
        if not self.finished:
            raise ValueError(f"{self._world.clock.open[0]} queries are under way; advance to infinity first")
        began_s = self._scenario.arrival_s[0] if self._scenario.arrival_s.size else self.now_s
        return Run(
            self._scenario,
            service(self._world),
            totals(self._world, self._scenario.machines),
            float(self.now_s - began_s),
            self._compiled,
        )

    def _drive(self, until_s: float) -> None:
        """Compiled where the score can be compiled, else as it stands."""
        policy, world = self.policy, self._world
        if compilable(policy.score, policy.parameters):
            specialised(drive)(world, until_s, specialised(policy.score), policy.parameters)
        else:
            self._compiled = False
            drive(world, until_s, policy.score, policy.parameters)

    def _slot_s(self) -> Floats:
        """Slot-seconds of each machine that were in use so far, shape (S,)."""
        servers = self._world.servers
        slot_s = servers.slot_s + servers.running * (self.now_s - servers.slot_since_s)
        return np.bincount(servers.machine, slot_s, len(self._world.machines)).astype(np.float64)


def _check(scenario: Scenario) -> None:
    """InputError where the parts of a scenario do not fit together."""
    shape = scenario.input_tokens.size, len(scenario.machines)
    if scenario.costs.energy_j.shape != shape or not scenario.machines:
        raise InputError(f"costs of {shape[0]} shapes on {shape[1]} machines came as {scenario.costs.energy_j.shape}")
    if scenario.arrival_s.shape != scenario.bucket.shape:
        raise InputError(f"{scenario.arrival_s.size} arrival times for {scenario.bucket.size} queries")
    if not np.isfinite(scenario.arrival_s).all() or np.any(np.diff(scenario.arrival_s) < 0):
        raise InputError("arrival times fall, or are no numbers; sort the queries by time")
    if scenario.bucket.size and not 0 <= scenario.bucket.min() <= scenario.bucket.max() < shape[0]:
        raise InputError(f"a query is of no shape: buckets are 0 to {shape[0] - 1}")
    if np.any(scenario.costs.runtime_s < 0):
        raise InputError("a runtime is negative; fit a predictor that cannot fall below 0")
