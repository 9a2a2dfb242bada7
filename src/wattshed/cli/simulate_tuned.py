"""A run whose policy tunes itself: each period its prices are set anew, from the work that was sent to each system.

As in the gateway (`gateway/placing/slot_prices.py`): the same loop, target and measure of work.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wattshed.domain.arrays import Integers
    from wattshed.domain.cost import Objective
    from wattshed.simulator.scenario import Run, Scenario

DRAIN_PERIODS: Final = 30
"""A backlog is worked off in so many periods; see `policies/price_loop.py`."""


def simulate_tuned(scenario: "Scenario", objective: "Objective", *, period_s: float, seed: int) -> "Run":
    """The run, under the policy that it ended with; the first period knows no prices."""
    import numpy as np

    from wattshed.gateway.placing.slot_prices import Tuning
    from wattshed.policies.price_loop import PriceLoop
    from wattshed.policies.priced import Priced
    from wattshed.simulator.run import Simulation

    names, target = tuple(machine.name for machine in scenario.machines), Tuning().target_utilisation
    start = Priced(objective, (0.0,) * len(names), names=names)
    loop = PriceLoop(start, drain_s=DRAIN_PERIODS * period_s, target=target)
    simulation, sent = Simulation(scenario, seed=seed), _Sent(scenario, period_s)
    loop.observe(float(scenario.arrival_s[0]), (0.0,) * len(names))
    for at_s in np.arange(scenario.arrival_s[0] + period_s, scenario.arrival_s[-1], period_s).tolist():
        simulation.advance(at_s)
        simulation.policy = loop.observe(at_s, sent.utilisation(simulation.positions, at_s))
    simulation.advance(np.inf)
    return replace(simulation.result(), scenario=replace(scenario, policy=simulation.policy))


class _Sent:
    """Slot-seconds of work that was sent to each system in a period, over those that it has."""

    def __init__(self, scenario: "Scenario", period_s: float) -> None:
        self._scenario, self._begun = scenario, 0
        self._slot_s = [machine.replicas * machine.operation.slots * period_s for machine in scenario.machines]

    def utilisation(self, positions: "Integers", at_s: float) -> list[float]:
        """Since it was last asked, by the predicted seconds of those that have come; `positions` has shape (Q,)."""
        import numpy as np

        until = int(np.searchsorted(self._scenario.arrival_s, at_s, side="right"))
        new, self._begun = slice(self._begun, until), until
        bucket, position, runtime_s = self._scenario.bucket[new], positions[new], self._scenario.costs.runtime_s
        return [float(runtime_s[bucket[position == at], at].sum()) / slot_s for at, slot_s in enumerate(self._slot_s)]
