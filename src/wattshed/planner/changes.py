"""What would change the mind of a plan at endless capacity: another worth of a second, or watts that nobody counted.

With thousands of shapes some query moves at nearly every worth of a second; what a reader wants to know is what a
little energy buys. A saving is gone as soon as a system draws so much more power while it serves than its meters saw:
where the assignment stays as it is, that power is the joules saved over the seconds served there.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from wattshed.planner.planning import Planning

LITTLE: Final = 0.01
"""The fraction of its energy that a plan is offered to spend."""


@dataclass(frozen=True, slots=True)
class Trade:
    """Seconds of all queries saved for joules more, and the least worth of a second that makes the trade."""

    more_energy_j: float
    less_runtime_s: float
    exchange_w: float


@dataclass(frozen=True, slots=True)
class PowerChange:
    """Watts more on `system` while it serves, at which the plan takes no less energy than all to `baseline`."""

    system: str
    power_w: float
    baseline: str


def little_trade(planning: Planning) -> Trade | None:
    """The furthest along the exact front that `LITTLE` more energy goes; `None` where it buys nothing."""
    front = planning.front()
    now = front.at(planning.objective)
    last = int(np.searchsorted(front.energy_j, now.energy_j * (1 + LITTLE), side="right")) - 1
    trade = Trade(
        float(front.energy_j[last]) - now.energy_j,
        now.runtime_s - float(front.runtime_s[last]),
        float(front.exchange_w[last]),
    )
    return trade if trade.less_runtime_s > 0 else None


def power_changes(planning: Planning) -> list[PowerChange]:
    """For each system that serves, the least power that ends the saving against one of the others alone."""
    chosen, evaluator = planning.chosen, planning.evaluator
    found = []
    for share in chosen.shares:
        others = [name for name in evaluator.fleet.names if name != share.system]
        savings_j = {name: evaluator.baseline(name).energy_j - chosen.energy_j.value for name in others}
        if share.runtime_s > 0 and savings_j:
            hardest = min(savings_j, key=savings_j.__getitem__)
            if savings_j[hardest] > 0:
                found.append(PowerChange(share.system, savings_j[hardest] / share.runtime_s, hardest))
    return found
