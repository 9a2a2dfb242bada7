"""The audit of a fleet: what the paper's rules and the optimum save on machines that it never saw.

Every pair of systems is taken as the paper took its two: small queries to the first in the fleet file, the others to
the second. Beside them stand the optimum over the whole fleet, and where the line runs.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations

from wattshed.domain.measurement import Profile
from wattshed.domain.query import Workload
from wattshed.domain.system import Fleet
from wattshed.errors import InfeasibleError
from wattshed.planner.audit_pairs import ENERGY_ALONE, Case, rules
from wattshed.planner.planning import Planning, evaluator_of, fit_fleet, plan
from wattshed.planner.regions import Stretch, line
from wattshed.predictors.fit import Fitted


@dataclass(frozen=True, slots=True, eq=False)
class FleetAudit:
    """Everything `wattshed audit --fleet` says: the plan of least energy, every rule on every pair, and the line."""

    planning: Planning
    cases: tuple[Case, ...]
    line: tuple[Stretch, ...]

    def pair(self, below: str, above: str) -> dict[str, Case]:
        """The cases of one pair of systems, by rule."""
        return {case.rule: case for case in self.cases if (case.below_system, case.above_system) == (below, above)}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs that can serve every query, in the order of the fleet."""
        return list(dict.fromkeys((case.below_system, case.above_system) for case in self.cases))


def audit_fleet(fleet: Fleet, profile: Profile, workload: Workload) -> FleetAudit:
    """The audit of a fleet, resolved against its profile, on real pairs; `InfeasibleError` where some fit nowhere."""
    fitted = fit_fleet(fleet, profile)
    planning = plan(evaluator_of(fleet, profile, fitted, workload), ENERGY_ALONE)
    return FleetAudit(
        planning,
        tuple(_cases(fleet, profile, fitted, workload)),
        tuple(line(planning.evaluator, ENERGY_ALONE)),
    )


def _cases(fleet: Fleet, profile: Profile, fitted: Fitted, workload: Workload) -> Iterator[Case]:
    """Every rule on each pair of systems that can serve every query."""
    for pools in combinations(fleet.pools, 2):
        with suppress(InfeasibleError):
            evaluator = evaluator_of(replace(fleet, pools=pools), profile, fitted, workload)
            below, above = evaluator.fleet.names
            for rule, policy in rules(evaluator).items():
                yield Case(fleet.model, below, above, rule, pools[1].host_power_w, evaluator.evaluate(policy))
