"""The per-query optimum: each query to the system where it costs least.

With unlimited replicas the sum in Equation 2 falls apart into one minimum a query, so this solves Equations 2-4 exactly
and no threshold can do better (`tests/oracles` checks it against all partitions).
"""

from dataclasses import dataclass

from wattshed.domain.cost import Objective
from wattshed.policies.policy import Candidate, Number, Score


@dataclass(frozen=True, slots=True)
class Argmin:
    """Each query to the system of least U = lambda E + (1 - lambda) R, the wait for a slot counted in R."""

    objective: Objective

    @property
    def name(self) -> str:
        """Name with lambda, and with the reference scales where they are not the paper's 1 J and 1 s."""
        objective = self.objective
        scales = f", E in {objective.energy_ref_j:g} J, R in {objective.runtime_ref_s:g} s"
        plain = objective.energy_ref_j == objective.runtime_ref_s == 1
        return f"least cost at lambda {objective.lam:g}" + ("" if plain else scales)

    @property
    def parameters(self) -> tuple[float, ...]:
        """What a joule and a second cost."""
        objective = self.objective
        return objective.lam / objective.energy_ref_j, (1 - objective.lam) / objective.runtime_ref_s

    @property
    def score(self) -> Score:
        """`by_cost`."""
        return by_cost

    @property
    def rotates(self) -> bool:
        """No: a shape always goes to the same system."""
        return False


def by_cost(candidate: Candidate, parameters: tuple[float, ...]) -> Number:
    """U of the query on the system, Equation 1, with the wait added to the runtime."""
    energy_weight, runtime_weight = parameters
    return energy_weight * candidate.energy_j + runtime_weight * (candidate.runtime_s + candidate.wait_s)
