"""What would change the mind of a plan at endless capacity: another worth of a second, or watts that nobody counted.

With thousands of shapes some query moves at nearly every worth of a second; what a reader wants to know is what a
little energy buys. A saving is gone as soon as a system draws so much more power while it serves than its meters saw:
where the assignment stays as it is, that power is the joules saved over the seconds served there. And machines that
share a load do not finish together: those that wait for the last one draw power, and one alone waits for nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from wattshed.domain.plan import Plan
from wattshed.planner.evaluate import Evaluator, best_baseline
from wattshed.planner.planning import Planning
from wattshed.policies.argmin import Argmin

LITTLE: Final = 0.01
"""The fraction of its energy that a plan is offered to spend."""


HOST_POWERS_W: Final = (0.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
"""Host powers that a fleet is planned anew for: from a laptop's idle processor to a busy server's two packages."""


@dataclass(frozen=True, slots=True)
class Trade:
    """Seconds of all queries saved for joules more, and the least worth of a second that makes the trade."""

    more_energy_j: float
    less_runtime_s: float
    exchange_w: float


@dataclass(frozen=True, slots=True)
class PowerChange:
    """Watts more on `system` while it serves, at which the plan takes no less energy than all to `baseline`.

    `share` is that power over what its meters saw: by so much they must have read too little.
    """

    system: str
    power_w: float
    baseline: str
    share: float


@dataclass(frozen=True, slots=True)
class IdleChange:
    """Watts of every waiting machine at which the plan takes no less energy than all to `baseline`.

    The replicas of all systems that serve start together, and wait for the last of them: `waiting_s` in all, over
    `horizon_s`. Those of the baseline do not wait, and what serves nothing is switched off.
    """

    power_w: float
    waiting_s: float
    horizon_s: float
    last: str
    baseline: str


@dataclass(frozen=True, slots=True, eq=False)
class HostPower:
    """The plan of least cost if every system drew `power_w` more while it serves."""

    power_w: float
    plan: Plan


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
        if min(share.runtime_s, share.energy_j) > 0 and savings_j:
            hardest = min(savings_j, key=savings_j.__getitem__)
            if savings_j[hardest] > 0:
                saved_j = savings_j[hardest]
                found.append(PowerChange(share.system, saved_j / share.runtime_s, hardest, saved_j / share.energy_j))
    return found


def idle_change(planning: Planning) -> IdleChange | None:
    """Idle power that ends the saving against the best single system; `None` where none is saved or nobody waits."""
    chosen, best = planning.chosen, best_baseline(planning.chosen).baseline
    counts = {pool.name: pool.count for pool in planning.evaluator.fleet.pools}
    serving = [share for share in chosen.shares if share.queries]
    last = max(serving, key=lambda share: share.runtime_s / counts[share.system])
    horizon_s = last.runtime_s / counts[last.system]
    waiting_s = sum(counts[share.system] * horizon_s - share.runtime_s for share in serving)
    saved_j = planning.evaluator.baseline(best).energy_j - chosen.energy_j.value
    if saved_j <= 0 or waiting_s <= 0:
        return None
    return IdleChange(saved_j / waiting_s, waiting_s, horizon_s, last.system, best)


def host_powers(planning: Planning, powers_w: Sequence[float] = HOST_POWERS_W) -> list[HostPower]:
    """The fleet planned anew for each power, on top of what its file says of hosts."""
    return [HostPower(power_w, _with_hosts(planning, power_w)) for power_w in powers_w]


def _with_hosts(planning: Planning, power_w: float) -> Plan:
    known = planning.evaluator
    pools = tuple(replace(pool, host_power_w=pool.host_power_w + power_w) for pool in known.fleet.pools)
    fleet = replace(known.fleet, pools=pools)
    evaluator = Evaluator.of(fleet, known.workload, limits=known.limits, predictors=known.predictors)
    return evaluator.evaluate(Argmin(planning.objective))
