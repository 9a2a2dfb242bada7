"""What a policy costs on a workload, exactly on the histogram, and what it saves against every single system.

A plan's assignment is fixed; its intervals come from the predictors' bootstrap. Replicate r resamples the trials of
every system, and plan and baseline are summed under the same replicate, so their common error cancels in the saving.
A baseline answers for the whole workload: queries that its system cannot run are continued past the limit and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.cost import CostTable
from wattshed.domain.plan import Interval, Plan, Saving, Share
from wattshed.domain.prediction import ZERO_TOTALS, Totals
from wattshed.domain.query import Workload
from wattshed.domain.system import Fleet, Limits
from wattshed.planner.costs import cost_table, require_served
from wattshed.policies.policy import Policy, place
from wattshed.predictors.predictor import Predictor

_CELLS: Final = 4096
"""Cells that narrow a quantile down before sorting; only its own cell is sorted."""

_BOUNDARIES: Final = {"gpu": "GPU", "cpu": "CPU as billed", "total": "GPU + CPU as billed", "platform": "whole machine"}


@dataclass(frozen=True, slots=True, eq=False)
class Bill:
    """Energy and runtime of a set of queries: the estimate, and the same under each of R replicates."""

    energy_j: float
    runtime_s: float
    replicates: Totals

    @property
    def energy_interval_j(self) -> Interval:
        """The energy with its interval."""
        return Interval.of(self.energy_j, self.replicates.energy_j)

    @property
    def runtime_interval_s(self) -> Interval:
        """The runtime with its interval."""
        return Interval.of(self.runtime_s, self.replicates.runtime_s)

    def __add__(self, other: "Bill") -> "Bill":
        """The bill of two disjoint sets of queries."""
        return Bill(
            self.energy_j + other.energy_j, self.runtime_s + other.runtime_s, self.replicates + other.replicates
        )


@dataclass(frozen=True, slots=True, eq=False)
class Evaluator:
    """A fleet, a workload and what the one costs on the other; evaluates any number of policies.

    `predictors`, `limits` (as measured) and `baselines` have one entry a pool; a baseline is the bill of the whole
    workload on that system.
    """

    fleet: Fleet
    workload: Workload
    costs: CostTable
    predictors: tuple[Predictor, ...]
    limits: tuple[Limits, ...]
    baselines: tuple[Bill, ...]

    @classmethod
    def of(
        cls, fleet: Fleet, workload: Workload, *, limits: Sequence[Limits], predictors: Sequence[Predictor]
    ) -> "Evaluator":
        """The evaluator of a fleet, with its cost table and baselines worked out once.

        Raises `InfeasibleError` where some query fits no system.
        """
        costs = cost_table(fleet, workload, limits=limits, predictors=predictors)
        require_served(workload, costs)
        alone = cls(fleet, workload, costs, tuple(predictors), tuple(limits), ())
        bills = tuple(alone._bill(position, workload.queries, phases=1) for position in range(len(fleet.pools)))
        return replace(alone, baselines=bills)

    def baseline(self, system: str) -> Bill:
        """The bill of the whole workload on one system; KeyError where the fleet has none of that name."""
        return self.baselines[self.fleet.position(system)]

    def evaluate(self, policy: Policy) -> Plan:
        """The plan of a policy; one that rotates is the mean over as many phases as there are systems."""
        phases = self._phases(policy)
        times = np.stack([(phases == position).sum(axis=0) for position in range(len(self.fleet.pools))])
        return self.placed(policy.name, (self.workload.queries * times).T, phases=len(phases))

    def placed(self, policy: str, served: Integers, *, phases: int = 1) -> Plan:
        """The plan that has each system serve so many queries of each shape, `served` (B, S), over `phases` in all."""
        bills = self._bills(served, phases)
        bill = sum(bills[1:], bills[0])
        return Plan(
            policy=policy,
            workload=self.workload.name,
            boundary=boundary(self.fleet),
            assignment=np.where((served.T > 0).sum(axis=0) == 1, served.T.argmax(axis=0), -1),
            shares=self._shares(bills, served, phases),
            energy_j=bill.energy_interval_j,
            runtime_s=bill.runtime_interval_s,
            mean_runtime_s=bill.runtime_s / self.workload.total_queries,
            p95_runtime_s=self._p95_runtime_s(served),
            savings=self._savings(bill),
        )

    def bill(self, served: Integers, *, phases: int = 1) -> Bill:
        """What that costs altogether."""
        bills = self._bills(served, phases)
        return sum(bills[1:], bills[0])

    def _bills(self, served: Integers, phases: int) -> list[Bill]:
        return [self._bill(position, served[:, position], phases=phases) for position in range(served.shape[1])]

    def _phases(self, policy: Policy) -> Integers:
        """Positions in each of P phases of a rotation, shape (P, B); P is 1 for a policy that does not rotate."""
        m, n = self.workload.input_tokens, self.workload.output_tokens
        count = len(self.fleet.pools) if policy.rotates else 1
        return np.stack(
            [place(policy, m, n, self.costs, serial=phase, draw=(phase + 0.5) / count) for phase in range(count)]
        )

    def _bill(self, position: int, served: Integers, *, phases: int) -> Bill:
        """The bill of one system that serves so many queries of each shape, `served` (B,), over so many phases."""
        if not served.any():
            return Bill(0.0, 0.0, ZERO_TOTALS)
        totals = self.predictors[position].totals(self.workload.input_tokens, self.workload.output_tokens, served)
        host_energy_j = self.fleet.pools[position].host_power_w * totals.runtime_s
        return Bill(
            float(served @ self.costs.energy_j[:, position]) / phases,
            float(served @ self.costs.runtime_s[:, position]) / phases,
            Totals((totals.energy_j + host_energy_j) / phases, totals.runtime_s / phases),
        )

    def _shares(self, bills: Sequence[Bill], served: Integers, phases: int) -> tuple[Share, ...]:
        """What each system serves; mean counts over phases are rounded so that they still add up."""
        queries = np.diff(np.round(np.cumsum([0, *served.sum(axis=0)]) / phases)).astype(np.int64)
        outside = (served * self.costs.extrapolated).sum(axis=0) / phases
        return tuple(
            Share(name, int(count), bill.energy_j, bill.runtime_s, min(int(count), round(float(extrapolated))))
            for name, count, bill, extrapolated in zip(self.fleet.names, queries, bills, outside, strict=True)
        )

    def _savings(self, bill: Bill) -> tuple[Saving, ...]:
        """The saving against each system alone, in order of position."""
        return tuple(
            Saving(
                name,
                _less(bill.energy_j, baseline.energy_j, bill.replicates.energy_j, baseline.replicates.energy_j),
                _less(bill.runtime_s, baseline.runtime_s, bill.replicates.runtime_s, baseline.replicates.runtime_s),
                int(self.workload.queries[~self.costs.feasible[:, position]].sum()),
            )
            for position, (name, baseline) in enumerate(zip(self.fleet.names, self.baselines, strict=True))
        )

    def _p95_runtime_s(self, served: Integers) -> float:
        positions, shapes = np.nonzero(served.T)  # system by system, as arrays lie
        return p95(self.costs.runtime_s[shapes, positions], served[shapes, positions])


def best_baseline(plan: Plan) -> Saving:
    """The saving against the single system of least energy, the hardest to beat.

    Queries it cannot run are continued past its limits and counted in `infeasible_queries`.
    """
    return min(plan.savings, key=lambda saving: saving.energy.value)


def boundary(fleet: Fleet) -> str:
    """Whose joules the fleet's plans count."""
    hosts = [f" + {pool.host_power_w:g} W host power on {pool.name}" for pool in fleet.pools if pool.host_power_w]
    return _BOUNDARIES.get(fleet.channel, fleet.channel) + "".join(hosts)


def p95(values: Floats, weights: Integers) -> float:
    """The smallest of N values that at least 95 % of the weight does not exceed, exactly; O(N) but for one cell."""
    low, spread = values.min(), np.ptp(values)
    if spread == 0:
        return float(low)
    cells = ((values - low) / spread * (_CELLS - 1)).astype(np.int64)  # never falls as the value grows
    reached = np.cumsum(np.bincount(cells, weights=weights)).astype(np.int64)  # exact below 2**53
    target = -(-19 * int(reached[-1]) // 20)
    cell = int(np.searchsorted(reached, target))
    inside = np.flatnonzero(cells == cell)
    inside = inside[np.argsort(values[inside])]
    before = int(reached[cell - 1]) if cell else 0
    return float(values[inside[np.searchsorted(before + np.cumsum(weights[inside]), target)]])


def _less(value: float, baseline: float, replicates: Floats, baseline_replicates: Floats) -> Interval:
    """By what fraction `value` is less than the baseline; replicates (R,) are compared one with its own."""
    return Interval.of(1 - value / baseline, 1 - replicates / baseline_replicates)
