"""The whole planning job: from a fleet, a profile and a workload to every policy's plan and the front.

The plan to follow is the per-query optimum of the objective. The others are there to be compared with it: the best
threshold of each kind, one system for everything, and the blind policies that a load balancer offers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from wattshed.domain.cost import Objective
from wattshed.domain.measurement import Profile
from wattshed.domain.plan import Plan
from wattshed.domain.query import Workload
from wattshed.domain.system import Fleet
from wattshed.planner.evaluate import Evaluator
from wattshed.planner.pareto import Front, front
from wattshed.planner.sweep import best_thresholds, ordered_pairs
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo, Random, RoundRobin
from wattshed.policies.policy import Policy
from wattshed.predictors.fit import Fitted, fit

OPTIMUM: Final = "optimum"
"""Short name of the plan to follow."""


@dataclass(frozen=True, slots=True, eq=False)
class Planning:
    """What planning found; `plans` and `policies` go by the same short names."""

    evaluator: Evaluator
    objective: Objective
    policies: Mapping[str, Policy]
    plans: Mapping[str, Plan]

    @property
    def chosen(self) -> Plan:
        """The plan to follow."""
        return self.plans[OPTIMUM]

    def front(self) -> Front:
        """All trades between energy and runtime that some lambda makes; worked out at each call."""
        return front(self.evaluator.workload, self.evaluator.costs)


def prepare(fleet: Fleet, profile: Profile, workload: Workload) -> Evaluator:
    """The fleet's predictors fitted to its profile, ready to evaluate policies on the workload."""
    return evaluator_of(fleet, profile, fit_fleet(fleet, profile), workload)


def fit_fleet(fleet: Fleet, profile: Profile) -> Fitted:
    """The predictors that the fleet asks for, of its own systems and no others; `kind` is that of most."""
    kinds = {pool.system: pool.predictor or fleet.predictor for pool in fleet.pools}
    fits = [
        fit(profile, kind=kind, channel=fleet.channel, only={(one, fleet.model) for one in kinds if kinds[one] == kind})
        for kind in sorted(set(kinds.values()), key=lambda kind: kind != fleet.predictor)
    ]
    predictors = {pair: predictor for fitted in fits for pair, predictor in fitted.predictors.items()}
    skipped = {pair: reason for fitted in fits for pair, reason in fitted.skipped.items()}
    return replace(fits[0], predictors=predictors, skipped=skipped)


def evaluator_of(fleet: Fleet, profile: Profile, fitted: Fitted, workload: Workload) -> Evaluator:
    """The evaluator of a fleet whose predictors are among `fitted`."""
    return Evaluator.of(
        fleet,
        workload,
        limits=[profile.limits_of(pool.system, fleet.model) for pool in fleet.pools],
        predictors=[fitted.predictor(pool.system, fleet.model) for pool in fleet.pools],
    )


def plan(evaluator: Evaluator, objective: Objective) -> Planning:
    """Every policy on the workload."""
    policies = candidates(evaluator, objective)
    plans = {name: evaluator.evaluate(policy) for name, policy in policies.items()}
    return Planning(evaluator, objective, policies, plans)


def candidates(evaluator: Evaluator, objective: Objective) -> dict[str, Policy]:
    """The policies to compare, the optimum first."""
    names = evaluator.fleet.names
    best = best_thresholds(evaluator.workload, evaluator.costs, pairs=ordered_pairs(names), objective=objective)
    return {
        OPTIMUM: Argmin(objective),
        **{f"best threshold on {kind}": optimum.policy for kind, optimum in best.items()},
        **{f"all to {name}": AllTo(position, name) for position, name in enumerate(names)},
        "round robin": RoundRobin(),
        "random": Random(),
    }
