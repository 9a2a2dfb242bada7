"""A measured log of one engine's requests: its steps fitted to it, and served again to see how far that holds.

    fit_replay(log, fit_on=150) -> StepFit          seconds of a step and limits, from the first 150 requests
    served_again(log, fit) -> Replay                the same requests, arrivals as logged, answers as simulated
    compared(log, again, rows) -> Comparisons       mean times beside each other, for requests that no fit has seen

Joules are not in such a log: a `StepFit` has the seconds of `StepCosts`, and its joules come from a batch predictor.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Booleans, Floats
from wattshed.domain.cost import CostTable
from wattshed.domain.operation import Operation
from wattshed.domain.replay import Replay
from wattshed.errors import InputError, UsageError
from wattshed.policies.fixed import AllTo
from wattshed.predictors.steps import StepCost, StepCosts
from wattshed.predictors.steps_fit import LEAST_REQUESTS, Answers, StepFit, fit_steps
from wattshed.simulator.run import simulate
from wattshed.simulator.scenario import Machine, Scenario

_FREE = StepCost(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""Joules that nobody asks for."""

_POLICY = AllTo(0, "engine")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Mean of one time of several requests, measured and simulated."""

    quantity: str
    measured_s: float
    simulated_s: float

    @property
    def error(self) -> float | None:
        """Relative to the measured mean, above 0 where the simulator is slow; None where it measured no time at all."""
        return self.simulated_s / self.measured_s - 1 if self.measured_s > 0 else None


def fit_replay(log: Replay, *, fit_on: int | None = None, slots: int | None = None) -> StepFit:
    """What explains the first `fit_on` requests of a log, or all; answers to the others are not looked at.

    `slots` is how many requests the engine runs at a time, where it is known. `InputError` for too few in the log,
    `UsageError` for too few to fit.
    """
    if len(log) < LEAST_REQUESTS:
        raise InputError(f"holds {len(log)} requests", fix=f"log at least {LEAST_REQUESTS}")
    fit_on = len(log) if fit_on is None else fit_on
    if not LEAST_REQUESTS <= fit_on <= len(log):
        raise UsageError(f"the fit takes from {LEAST_REQUESTS} to all {len(log)} requests of the log, got {fit_on}")
    return fit_rows(log, np.arange(len(log)) < fit_on, slots=slots)


def fit_rows(log: Replay, rows: Booleans, *, slots: int | None = None) -> StepFit:
    """The same for the requests in `rows`, shape (N,), in one stretch; `slots` must be given if it begins later."""

    def serve(runtime: StepCost, operation: Operation, handed_at_s: Floats) -> Answers:
        _, first_token_at_s, finished_at_s = _instants(log, runtime, operation, handed_at_s)
        return Answers(first_token_at_s, finished_at_s)

    return fit_steps(log, serve, rows=rows, slots=slots)


def served_again(log: Replay, fit: StepFit) -> Replay:
    """The requests of a log as the simulator answers them, with what was fitted."""
    instants = _instants(log, fit.runtime, fit.operation, log.queued_at_s + fit.latency_s)
    return Replay(log.input_tokens, log.output_tokens, log.queued_at_s, *instants)


def compared(log: Replay, again: Replay, rows: Booleans) -> Iterator[Comparison]:
    """Mean time to the first token, between tokens and end to end, of the requests in `rows`, shape (N,).

    Answers of one token have nothing in between; where there are only such, nor has their mean.
    """
    for quantity in ("ttft_s", "tpot_s", "runtime_s"):
        counted = rows & np.isfinite(getattr(log, quantity))
        if counted.any():
            measured_s, simulated_s = (float(getattr(one, quantity)[counted].mean()) for one in (log, again))
            yield Comparison(quantity, measured_s, simulated_s)


def _instants(log: Replay, runtime: StepCost, operation: Operation, handed_at_s: Floats) -> tuple[Floats, ...]:
    """When each request of a log starts, has its first and its last token, if it is handed over then; shapes (N,)."""
    order = np.argsort(handed_at_s, kind="stable")
    machine = Machine("engine", operation, steps=StepCosts(_FREE, runtime))
    free, true = np.zeros((len(log), 1)), np.ones((len(log), 1), np.bool_)
    arrivals = handed_at_s[order], np.asarray(order, np.int64)
    costs = CostTable(free, free, feasible=true, extrapolated=~true)
    service = simulate(Scenario((machine,), costs, log.input_tokens, log.output_tokens, *arrivals, _POLICY)).service
    back = np.argsort(order)
    return service.started_at_s[back], service.first_token_at_s[back], service.finished_at_s[back]
