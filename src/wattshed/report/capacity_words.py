"""Sentences of a plan under capacity, generated from its numbers: what to do, what it saves, what would change it."""

from collections.abc import Sequence
from typing import Final

from wattshed.planner.capacity_changes import ReplicaChange
from wattshed.planner.capacity_lengths import NotKnowing
from wattshed.planner.capacity_plan import EVENLY_BUSY, CapacityPlanning, RuledOut
from wattshed.planner.capacity_regret import Regret
from wattshed.planner.capacity_study import CapacityStudy
from wattshed.report.words import bounds, in_percent, in_percent_with_bounds
from wattshed.units import hours, kwh, percent

_ROUNDING: Final = 1e-12
"""A share of a cost below which nothing but the rounding of sums is left."""


def capacity_advice(study: CapacityStudy) -> str:
    """What to do, what it saves against the evenly busy fleet, and what capacity itself costs."""
    found = study.found
    plan, saving = found.plan, found.even.saving
    shares = ", ".join(f"{percent(s.queries / plan.queries):.1f} % to {s.system}" for s in plan.shares)
    verdict = (
        f"It uses {percent(saving.energy.value):.2f} % ({bounds(saving.energy)}) less energy than a fleet kept "
        f"{EVENLY_BUSY}"
        if saving.energy.lower > 0
        else f"No saving against a fleet kept {EVENLY_BUSY} is certain ({in_percent_with_bounds(saving.energy)})"
    )
    return (
        f"Place {plan.queries:,} queries of {plan.workload} over {hours(found.horizon_s):.4g} h by "
        f"{found.planning.chosen.policy} within capacity: {shares}. {verdict}{_overloaded(found)}. "
        f"Energy {kwh(plan.energy_j.value):.4g} kWh, "
        f"{kwh(found.capacity_energy_j):+.3g} kWh against unlimited capacity."
    )


def _overloaded(found: CapacityPlanning) -> str:
    most = found.even.utilisation
    return f", which could not even hold the load ({percent(most):.0f} % utilised)" if most > 1.001 else ""


def proof_words(study: CapacityStudy) -> str:
    """The certificate in a sentence, and what whole queries cost."""
    proof, dearer, unit = study.found.assignment.certificate, study.found.whole.dearer, _unit(study, "J", "units of U")
    rounding = f"{percent(dearer):.1e} % more" if dearer > _ROUNDING else "no more"
    return (
        f"Certificate: no assignment costs less than {proof.dual:,.9g} {unit}, the optimum costs {proof.primal:,.9g} "
        f"{unit} (relative gap {max(0.0, proof.gap):.0e}); whole queries instead of fractions cost {rounding}. "
        f"Runtimes are service times of one query at a time in its slot: waiting is not counted."
    )


def price_words(study: CapacityStudy) -> str:
    """The unit of the prices."""
    return f"A slot-second is worth so many {_unit(study, 'joules (watts)', 'units of U')}."


def _unit(study: CapacityStudy, joules: str, otherwise: str) -> str:
    """What costs are in: joules, where Equation 1 counts nothing else."""
    objective = study.found.planning.objective
    return joules if objective.lam == objective.energy_ref_j == 1 else otherwise


def limit_words(max_runtime_s: float, ruled_out: Sequence[RuledOut]) -> str:
    """What the longest runtime ruled out, and where."""
    where = ", ".join(f"{one.queries:,} on {one.system}" for one in ruled_out if one.queries) or "none"
    return f"Queries that would run for more than {max_runtime_s:g} s, and so must go elsewhere: {where}."


def mind_words(study: CapacityStudy) -> list[str]:
    """What would change the plan's mind, a sentence each: lambda first, then replicas."""
    lambdas, lam = study.lambdas, study.found.planning.objective.lam
    known = [one for one in study.changes if one.energy_j is not None]
    return [
        f"The plan is optimal for lambda from {lambdas.lower:.4g} to {lambdas.upper:.4g} (it was asked for {lam:.4g}).",
        *(change_words(one, study.found) for one in known if one.added == 1),
        *(change_words(one, study.found) for one in study.changes if one.added == -1),
    ]


def change_words(change: ReplicaChange, found: CapacityPlanning) -> str:
    """What one replica more or fewer does."""
    what = f"One {'more' if change.added > 0 else 'fewer'} replica of {change.system}"
    if change.energy_j is None or change.runtime_s is None:
        return f"{what} and the load does not fit."
    if abs(change.energy_j) < 1e-9 * abs(found.plan.energy_j.value):
        return f"{what} changes nothing."
    verb = "saves" if change.energy_j < 0 else "costs"
    return (
        f"{what} {verb} {kwh(abs(change.energy_j)):.3g} kWh ({abs(change.energy_j):,.0f} J) over the horizon, and "
        f"{'takes' if change.runtime_s > 0 else 'saves'} {hours(abs(change.runtime_s)):.3g} h of runtime; its idle "
        f"power is not counted."
    )


def regret_cells(regret: Regret) -> tuple[str, str, str, str]:
    """A rule's row: the rule, joules beyond the optimum, the same in per cent, and whether it keeps capacity."""
    kept = "yes" if regret.overload == 0 else f"no, {percent(1 + regret.overload):.0f} % of it asked"
    return regret.rule, f"{regret.energy_j:+,.0f}", in_percent(regret.share), kept


def not_knowing_words(prices: Sequence[NotKnowing]) -> str:
    """What it costs to place queries before their answers' lengths are known."""
    told = "; ".join(
        f"knowing {one.knowledge}, {one.energy_j:+,.0f} J ({in_percent(one.share)})"
        if one.energy_j is not None and one.share is not None
        else f"knowing {one.knowledge}, the load does not fit"
        for one in prices
    )
    return f"The plan knows every answer's length. What it costs at least not to: {told}."
