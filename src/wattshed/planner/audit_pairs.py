"""The second half of the audit: whole queries, real (m, n) pairs, a predictor of both, and what the meters left out.

Every number is a plan evaluated on the same workload, so policies, nodes and accountings compare row by row. Savings
hold the plan as chosen and resample the trials behind the predictors.
Source: METHOD, faults 6 and 8 to 11 of the published figures.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations
from typing import Final

from wattshed.domain.cost import Objective
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.plan import Interval, Plan
from wattshed.domain.query import Workload
from wattshed.domain.system import Fleet, Limits, Pool
from wattshed.errors import InfeasibleError
from wattshed.planner.audit_lengths import SHARED_MODELS, Fault, Step
from wattshed.planner.evaluate import Evaluator, best_baseline
from wattshed.planner.mean_predictor import MeanPredictor
from wattshed.planner.planning import OPTIMUM
from wattshed.planner.published import A100, M1, V100
from wattshed.planner.sweep import best_thresholds
from wattshed.policies.argmin import Argmin
from wattshed.policies.policy import Policy
from wattshed.policies.threshold import Pair, Threshold, TwoThresholds
from wattshed.predictors.fit import Fitted, fit

OMITTED_A100: Final = "Palmetto Intel+A100"
"""The A100 node that was measured and left out of the published figures (fault 8)."""

PUBLISHED_THRESHOLD: Final = 32
"""The threshold that the paper recommends for input and for output."""

STATED_HOST_POWER_W: Final = 40.0
"""Power of the AMD host beyond the few cores that were billed: a stated assumption, swept in `host_power_cases`.

A low one: its packages drew 264 to 333 W by the same AMDuProf logs, all tenants and idle power included."""

HOST_POWERS_W: Final = (0.0, 20.0, 40.0, 60.0, 80.0, 120.0, 160.0, 240.0, 320.0)
"""Host powers of the sensitivity table, up to the package power that AMDuProf logged."""

MODELS: Final = ("Falcon (7B)", *SHARED_MODELS)
"""Models of the paper."""

INPUT_RULE: Final = f"m <= {PUBLISHED_THRESHOLD}"
"""Name of the paper's threshold on input length."""

ENERGY_ALONE: Final = Objective(lam=1.0)

MEAN: Final = "mean of " + " and ".join(SHARED_MODELS)
"""Label of cases averaged over the models as the paper did."""


@dataclass(frozen=True, slots=True)
class Billing:
    """What a trial is billed for, and which nodes may serve."""

    fault: Fault
    title: str
    nodes: tuple[str, ...] = (A100,)
    amd_host_power_w: float = 0.0
    gross_packages: bool = False
    compute_runtime: bool = False


PAIR_STEPS: Final = (
    Billing("fault 6", "real (m, n) pairs"),
    Billing("fault 8", "the omitted A100 node too", (A100, OMITTED_A100)),
    Billing("fault 9", f"{STATED_HOST_POWER_W:g} W for the AMD host", (A100, OMITTED_A100), STATED_HOST_POWER_W),
    Billing("fault 10", "Intel packages gross", (A100, OMITTED_A100), STATED_HOST_POWER_W, True),
    Billing("fault 11", "M1 runtimes without meter start", (A100, OMITTED_A100), STATED_HOST_POWER_W, True, True),
)
"""Faults undone on real pairs, each row keeping what the rows before it undid; fault numbers are METHOD's."""


@dataclass(frozen=True, slots=True)
class Case:
    """One policy on one pair of systems with one model (or the mean): its plan on the real pairs."""

    model: str
    below_system: str
    above_system: str
    rule: str
    host_power_w: float
    plan: Plan

    @property
    def best_saving(self) -> Interval:
        """The energy saving against the better of the two systems alone."""
        return best_baseline(self.plan).energy


@dataclass(frozen=True, slots=True)
class Waiting:
    """What idle power does to a hybrid of two machines: the one that finishes first waits `idle_s` for the other.

    `replicas_to_match` slower machines would finish together with the faster one, and nobody would wait. Both are
    `None` where one machine serves nothing and may be switched off.
    """

    case: Case
    saved_energy_j: float
    idle_s: float | None
    replicas_to_match: float | None

    @property
    def break_even_w(self) -> float | None:
        """Idle power at which the waiting eats the saving; `None` where nobody waits."""
        return self.saved_energy_j / self.idle_s if self.idle_s else None

    def saving_at(self, idle_power_w: float) -> float:
        """The saving against the best single system, as a fraction, when the waiting machine draws `idle_power_w`."""
        hybrid_j = self.case.plan.energy_j.value
        return (self.saved_energy_j - idle_power_w * (self.idle_s or 0.0)) / (hybrid_j + self.saved_energy_j)


@dataclass(frozen=True, slots=True, eq=False)
class PairAudit:
    """Evaluates fleets of the profile's systems on one workload. `fitted` are the predictors of trials as billed."""

    profile: Profile
    workload: Workload
    fitted: Fitted

    @classmethod
    def of(cls, profile: Profile, workload: Workload) -> "PairAudit":
        """The audit of a profile, its predictors fitted once."""
        return cls(profile, workload, _fitted(profile, MODELS))

    def steps(self) -> Iterator[Step]:
        """Every policy under every billing, averaged over the models as the paper did."""
        for billing in PAIR_STEPS:
            fitted = _fitted(billed(self.profile, billing), SHARED_MODELS)
            fleet = _fleet(M1, billing.nodes, {A100: billing.amd_host_power_w})
            evaluator = self._evaluator(fitted, fleet, SHARED_MODELS)
            for rule, policy in rules(evaluator).items():
                yield _step(billing, rule, evaluator, evaluator.evaluate(policy))

    def cases(self) -> Iterator[Case]:
        """Every policy for each model on each pair of systems that ran it, as billed, without meter start."""
        for model in MODELS:
            able = [name for name in (M1, A100, OMITTED_A100, V100) if (name, model) in self.fitted.predictors]
            able = [name for name in able if self.profile.limits_of(name, model).max_total_tokens != 0]
            for below, above in combinations(able, 2):
                with suppress(InfeasibleError):  # a pair that cannot run every query has no case
                    yield from self._rules(below, above, (model,))

    def host_power_cases(self) -> Iterator[Case]:
        """Every policy of M1 and either A100 node as the host power of the latter grows, averaged over the models."""
        for node in (A100, OMITTED_A100):
            for host_power_w in HOST_POWERS_W:
                yield from self._rules(M1, node, SHARED_MODELS, host_power_w)

    def _limits(self, system: str, models: Sequence[str]) -> Limits:
        """What the system can run with every one of the models."""
        each = [self.profile.limits_of(system, model) for model in models]
        return reduce(Limits.tightened, each)

    def mean_predictor(self, system: str) -> MeanPredictor:
        """The predictor of one system, averaged over the models that all systems ran."""
        return _mean_predictor(self.fitted, system, SHARED_MODELS)

    def _rules(self, below: str, above: str, models: Sequence[str], host_power_w: float = 0.0) -> Iterator[Case]:
        evaluator = self._evaluator(self.fitted, _fleet(below, (above,), {above: host_power_w}), models)
        label = models[0] if len(models) == 1 else MEAN
        for rule, policy in rules(evaluator).items():
            yield Case(label, below, above, rule, host_power_w, evaluator.evaluate(policy))

    def _evaluator(self, fitted: Fitted, fleet: Fleet, models: Sequence[str]) -> Evaluator:
        names = [pool.system for pool in fleet.pools]
        predictors = [_mean_predictor(fitted, name, models) for name in names]
        limits = [self._limits(name, models) for name in names]
        return Evaluator.of(fleet, self.workload, limits=limits, predictors=predictors)


def billed(profile: Profile, billing: Billing) -> Profile:
    """The profile as an billing bills it."""

    def bill(trial: Measurement) -> Measurement:
        if not billing.compute_runtime:
            trial = replace(trial, compute_runtime_s=None)
        if billing.gross_packages and trial.package_energy_j is not None:
            trial = replace(trial, cpu_energy_j=trial.package_energy_j)
        return trial

    return replace(profile, measurements=tuple(bill(trial) for trial in profile.measurements))


def waiting(case: Case) -> Waiting:
    """What idle power does to a case's hybrid, one machine of each kind."""
    saving, hybrid_j = best_baseline(case.plan).energy.value, case.plan.energy_j.value
    saved_energy_j = saving * hybrid_j / (1 - saving)
    slow_s, fast_s = sorted((share.runtime_s for share in case.plan.shares), reverse=True)
    if fast_s == 0:
        return Waiting(case, saved_energy_j, None, None)
    return Waiting(case, saved_energy_j, slow_s - fast_s, slow_s / fast_s)


def _fitted(profile: Profile, models: Sequence[str]) -> Fitted:
    return fit(profile, only=[(name, model) for name in (M1, A100, OMITTED_A100, V100) for model in models])


def _mean_predictor(fitted: Fitted, system: str, models: Sequence[str]) -> MeanPredictor:
    return MeanPredictor(tuple(fitted.predictor(system, model) for model in models))


def _fleet(first: str, nodes: Sequence[str], host_power_w: Mapping[str, float]) -> Fleet:
    pools = tuple(Pool(name, name, host_power_w=host_power_w.get(name, 0.0)) for name in (first, *nodes))
    return Fleet("audit", "bundled:wilkins2024", MEAN, pools)


def rules(evaluator: Evaluator) -> dict[str, Policy]:
    """The paper's rules, the best threshold on m and of any kind, and the per-query optimum, by name.

    Rules send small queries to the first system and the others to the cheapest of the rest.
    """
    large = min(range(1, len(evaluator.baselines)), key=lambda position: evaluator.baselines[position].energy_j)
    pair, most = Pair.of(evaluator.fleet.names, 0, large), PUBLISHED_THRESHOLD
    best = best_thresholds(evaluator.workload, evaluator.costs, pairs=[pair], objective=ENERGY_ALONE)
    return {
        INPUT_RULE: Threshold(pair, most),
        f"n <= {most}": Threshold(pair, most, input_weight=0, output_weight=1),
        f"m <= {most} and n <= {most}": TwoThresholds(pair, most, most, "and"),
        f"m <= {most} or n <= {most}": TwoThresholds(pair, most, most, "or"),
        "best threshold on m": best["m"].policy,
        "best threshold of any kind": min(best.values(), key=lambda optimum: optimum.cost).policy,
        OPTIMUM: Argmin(ENERGY_ALONE),
    }


def _step(billing: Billing, rule: str, evaluator: Evaluator, plan: Plan) -> Step:
    m1 = plan.saving(M1)
    a100 = min((plan.saving(node) for node in billing.nodes), key=lambda saving: saving.energy.value)
    return Step(
        fault=billing.fault,
        title=billing.title,
        analysis="pairs",
        rule=rule,
        policy=plan.policy,
        a100_system=a100.baseline,
        a100_energy_j=evaluator.baseline(a100.baseline).energy_interval_j,
        m1_energy_j=evaluator.baseline(M1).energy_interval_j,
        hybrid_energy_j=plan.energy_j,
        saving_against_a100=a100.energy,
        saving_against_m1=m1.energy,
        infeasible_queries=m1.infeasible_queries,
        m1_runtime_s=evaluator.baseline(M1).runtime_s,
        a100_runtime_s=evaluator.baseline(a100.baseline).runtime_s,
        hybrid_runtime_s=plan.runtime_s.value,
    )
