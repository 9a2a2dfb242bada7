"""What is simulated: machines, what queries cost on them, when queries come, and who decides where they go."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wattshed.domain.arrays import Floats, Integers
from wattshed.domain.cost import CostTable
from wattshed.domain.operation import Operation
from wattshed.policies.policy import Policy
from wattshed.predictors.steps import StepCosts


@dataclass(frozen=True, slots=True)
class Machine:
    """`replicas` of one system of the fleet, alike; a query goes to the replica with the fewest requests.

    With `steps` it batches continuously: requests in its slots share steps. Without, a query holds one slot for R(m, n)
    and takes E(m, n), whoever else is there (engines that do not batch, and predictors that know of no company).
    """

    name: str
    operation: Operation
    replicas: int = 1
    steps: StepCosts | None = None
    host_power_w: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """Q queries of B shapes over S machines; `costs` has shape (B, S), as the planner's.

    `input_tokens` and `output_tokens` have shape (B,); `arrival_s`, never falling, and `bucket` have shape (Q,).
    """

    machines: tuple[Machine, ...]
    costs: CostTable
    input_tokens: Integers
    output_tokens: Integers
    arrival_s: Floats
    bucket: Integers
    policy: Policy


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """What became of Q queries, arrays of shape (Q,); instants are virtual seconds, NaN where it never came to that.

    `position` is the machine's, -1 where no machine could serve; `replica` counts within the machine. `outcome` indexes
    `OUTCOMES`. `energy_j` is the query's share of the steps that it was in, without idle and sleep.
    """

    position: Integers
    replica: Integers
    started_at_s: Floats
    first_token_at_s: Floats
    finished_at_s: Floats
    energy_j: Floats
    outcome: Integers
    preemptions: Integers


OUTCOMES = ("completed", "turned_away", "infeasible", "lost")
"""Served; every queue was full; no machine can run it; its machine failed and nobody else took it."""


@dataclass(frozen=True, slots=True, eq=False)
class MachineTotals:
    """Seconds and joules of one machine, its replicas added up, by state; `None` is a power that nobody gave.

    The seconds of all states add up to replicas x `Run.horizon_s`.
    """

    name: str
    queries: int
    seconds: Mapping[str, float] = field(default_factory=dict)
    energy_j: Mapping[str, float | None] = field(default_factory=dict)


STATES = ("busy", "idle", "asleep", "waking", "down")
"""What a replica does; busy as long as a request is in a slot."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One simulated run, from the first arrival to the last end, `horizon_s` in all.

    `compiled` is False where numba could not compile the policy's score, which then ran at Python's speed.
    """

    scenario: Scenario
    service: Service
    totals: tuple[MachineTotals, ...]
    horizon_s: float
    compiled: bool = True
