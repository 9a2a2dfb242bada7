"""Seconds of a batching engine's steps, fitted to when it answered each request under load.

A log of requests shows no step: what one cost the engine is spread over all that shared it. So the load is served again
by a simulator with some coefficients, and these are moved until it answers when the engine did, first tokens and last.
All are at least 0, as in `batch.py`, and the square and the hinges no larger than the log asks for. Gauss and Newton's
method: linear problems solved by non-negative least squares, steps halved until they help. Where a queue forms, times
hang on the order of events, and an error early on moves everybody after it; so there are two rounds:

    1. each request is handed to the simulator just before the engine took it up: errors do not add up in the queue, and
       the most prompt tokens of a step are searched among powers of two;
    2. each is handed over when it queued, as it was: what is left over is refined, with ever shorter secants.

The simulator is an argument, because this layer knows none.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from wattshed.domain.arrays import Booleans, Floats, Integers
from wattshed.domain.operation import Operation
from wattshed.domain.replay import Replay
from wattshed.errors import InputError
from wattshed.predictors.nonnegative import solved
from wattshed.predictors.steps import StepCost

LEAST_REQUESTS: Final = 20
"""Fewer requests than this fit nothing."""

_PROMPT_TOKEN, _SQUARE, _STEP, _HINGES = 2, 3, 4, 7
"""Positions among the coefficients of `StepCost.of`; the latency follows the hinges."""

_STRAIGHTNESS: Final = 0.03
"""Weight of the square and the hinges against relative errors, as in `batch.py`; 0.003 to 1 fit a replay alike."""

_FIRST_SECANT: Final = 0.1
_SECANTS: Final = (0.1, 0.03, 0.01, 0.003)
"""How far a coefficient moves to see its effect, as a part of the value that alone would explain the time of a step.

Long ones see past a change in the order of events, short ones are exact near the end.
"""

_CHUNKS_TOKENS: Final = (128, 256, 512, 1024, 2048, 4096, 8192, None)
"""What a step may read of prompts in engines as they come; None: all that there is."""

_OUTLYING: Final = 0.01
"""Relative error from which a time counts less: where the order of events flips, one request is far off, not all."""

_MOST_ROUNDS, _MOST_HALVINGS, _GAIN = 8, 4, 1e-2
"""Most steps with one secant, most halvings of a step, and the relative gain below which a shorter secant is tried."""

_FULL_STEPS: Final = 10
"""Slots may be a limit where others queued for as many steps while as many ran as ever did."""

_WORSE: Final = 2.0
"""They are one where without them the loss is as many times larger."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """When each of N requests had its first and its last token, shape (N,)."""

    first_token_at_s: Floats
    finished_at_s: Floats


Serve = Callable[[StepCost, Operation, Floats], Answers]
"""The requests of a log served with these seconds a step, under these limits, each handed over at its instant (N,)."""


@dataclass(frozen=True, slots=True)
class StepFit:
    """What explains a log: seconds of a step, the engine's limits, and the seconds from the queue to the scheduler.

    `misfit` is the root mean square of the relative errors of first and last tokens. Limits that never showed in the
    log are left open: slots for all its requests, and no `chunk_tokens`.
    """

    runtime: StepCost
    operation: Operation
    latency_s: float
    misfit: float

    def step_s(self, sequences: int, *, context_tokens: float) -> float:
        """Seconds of a step that reads no prompt, each of the sequences with a context of so many tokens."""
        cost = self.runtime
        bends_s = sum(slope_s * max(sequences - at, 0.0) for at, slope_s in cost.hinges)
        return cost.per_step + bends_s + sequences * (cost.per_sequence + cost.per_context_token * context_tokens)

    def prompt_s(self, input_tokens: int) -> float:
        """Seconds that a step takes longer because it reads a whole prompt, the only one."""
        cost = self.runtime
        square_s = cost.per_prompt_token_squared * input_tokens**2
        return cost.per_start + cost.per_prompt + cost.per_prompt_token * input_tokens + square_s


def fit_steps(measured: Replay, serve: Serve, *, rows: Booleans, slots: int | None = None) -> StepFit:
    """The fit to the requests in `rows`, shape (N,); of the others only what was asked is looked at, not the answers.

    `slots` says how many run at a time; where it is not given, `rows` must begin with the first request, so that they
    show it. `InputError` for too few requests, or where no time passes between tokens.
    """
    if (count := int(rows.sum())) < LEAST_REQUESTS:
        raise InputError(f"{count} requests fit no steps", fix=f"log at least {LEAST_REQUESTS}")
    step_s = _step_s(measured, rows)
    together = _running_together(measured, rows, step_s)
    limits = Operation(slots=slots or together or len(measured))
    forced = _Search.of(measured, serve, rows, handed_at_s=_taken_up_at_s(measured, rows, step_s))
    free = _Search.of(measured, serve, rows, handed_at_s=measured.queued_at_s)
    best = free.opened(free.refined(forced.over_chunks(limits)), given=slots is not None)
    misfit = float(np.sqrt(np.mean((best.times - free.target) ** 2)))
    return StepFit(free.cost(best.coefficients), best.operation, float(best.coefficients[-1]), misfit)


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """K coefficients, the latency last, under limits; what they make of 2R relative times, and how far off that is."""

    operation: Operation
    coefficients: Floats
    times: Floats
    loss: float


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """The search for the coefficients with which R of the requests are answered when the engine answered them.

    All are handed over at `handed_at_s`, shape (N,), and times count from there. An error of a last token is relative
    to the time until it; one of a first token to the geometric mean of that and its own, or the shortest would drown
    the rest. `unit`, shape (K,), is what each coefficient were if it alone explained the time of a step; `scale` and
    `target` have shape (2R,), `hinges` is what `StepCost.of` takes for measured concurrencies.
    """

    serve: Serve
    rows: Booleans
    handed_at_s: Floats
    hinges: tuple[int, ...]
    unit: Floats
    scale: Floats
    target: Floats

    @classmethod
    def of(cls, measured: Replay, serve: Serve, rows: Booleans, *, handed_at_s: Floats) -> Self:
        """The search for what the requests in `rows` show."""
        step_s, most = _step_s(measured, rows), _most_running(measured, rows)
        hinges = (1, *(most // part for part in (4, 2) if most >= 2 * part), most)
        unit = np.concatenate([_units(measured, rows, step_s), np.full(len(hinges) - 2, step_s / most), [step_s]])
        first_s, last_s = (measured.first_token_at_s - handed_at_s)[rows], (measured.finished_at_s - handed_at_s)[rows]
        scale = np.concatenate([np.sqrt(np.maximum(first_s, step_s) * last_s), last_s])
        return cls(serve, rows, handed_at_s, hinges, unit, scale, np.concatenate([first_s, last_s]) / scale)

    def cost(self, coefficients: Floats) -> StepCost:
        """The coefficients as seconds of a step."""
        return StepCost.of(tuple(map(float, coefficients[:-1])), self.hinges)

    def over_chunks(self, limits: Operation) -> _Point:
        """The best point over what a step may read of prompts."""
        start = np.zeros(self.unit.size)
        start[[_PROMPT_TOKEN, _STEP]] = self.unit[[_PROMPT_TOKEN, _STEP]] / 2
        return self._best(self.point(limits, start), _CHUNKS_TOKENS, [_FIRST_SECANT])

    def refined(self, start: _Point) -> _Point:
        """The lowest point reached from there with what a step may read, or with one size more or less."""
        at = _CHUNKS_TOKENS.index(start.operation.chunk_tokens)
        return self._best(start, _CHUNKS_TOKENS[max(at - 1, 0) : at + 2], _SECANTS)

    def descended(self, start: _Point, secants: Sequence[float]) -> _Point:
        """The lowest point reached from there, under its limits."""
        here = self.point(start.operation, start.coefficients)
        for secant in secants:
            for _ in range(_MOST_ROUNDS):
                before, here = here, self._lower(here, self._toward(here, secant))
                if here.loss > (1 - _GAIN) * before.loss:
                    break
        return here

    def opened(self, best: _Point, *, given: bool) -> _Point:
        """The same without limits that explain nothing; slots that were `given` stay."""
        unchunked = self.point(replace(best.operation, chunk_tokens=None), best.coefficients)
        best = unchunked if unchunked.loss <= best.loss else best
        unlimited = self.point(replace(best.operation, slots=self.rows.size), best.coefficients)
        return unlimited if not given and unlimited.loss < _WORSE * best.loss else best

    def point(self, operation: Operation, coefficients: Floats) -> _Point:
        """What the simulator makes of these coefficients."""
        answers = self.serve(self.cost(coefficients), operation, self.handed_at_s + coefficients[-1])
        first_s, last_s = answers.first_token_at_s - self.handed_at_s, answers.finished_at_s - self.handed_at_s
        times = np.concatenate([first_s[self.rows], last_s[self.rows]]) / self.scale
        return _Point(operation, coefficients, times, _loss(times - self.target))

    def _best(self, start: _Point, chunks_tokens: Iterable[int | None], secants: Sequence[float]) -> _Point:
        """The lowest of the points reached from there with each of these chunks."""
        starts = [replace(start, operation=replace(start.operation, chunk_tokens=chunk)) for chunk in chunks_tokens]
        return min((self.descended(one, secants) for one in starts), key=lambda point: point.loss)

    def _toward(self, here: _Point, secant: float) -> Floats:
        """The coefficients that were best if times were linear in them."""
        moved = here.coefficients + np.diag(secant * self.unit)
        missing = self.target - here.times
        weight = (1 + (missing / _OUTLYING) ** 2) ** -0.25
        effects = np.column_stack([self.point(here.operation, one).times - here.times for one in moved])
        slopes = weight[:, None] * effects / secant
        norm = np.linalg.norm(slopes, axis=0)
        norm[norm == 0] = 1
        pull = _STRAIGHTNESS * np.eye(norm.size)[[_SQUARE, *range(_HINGES, norm.size - 1)]]
        wanted = weight * missing + slopes @ (here.coefficients / self.unit)
        found = solved(np.vstack([slopes / norm, pull]), np.append(wanted, np.zeros(len(pull))))
        return np.asarray(found / norm * self.unit)

    def _lower(self, here: _Point, toward: Floats) -> _Point:
        """The first lower point on the way there, halving it each time; here, where there is none."""
        for halving in range(_MOST_HALVINGS + 1):
            part = 0.5**halving
            there = self.point(here.operation, (1 - part) * here.coefficients + part * toward)
            if there.loss < here.loss:
                return there
        return here


def _loss(errors: Floats) -> float:
    """Sum of squares of the small errors; large ones count as if they were linear.

    The pseudo-Huber loss, reweighted by `_toward`. Source: Charbonnier et al., doi:10.1109/83.551699.
    """
    return float(2 * _OUTLYING**2 * np.sum(np.sqrt(1 + (errors / _OUTLYING) ** 2) - 1))


def _step_s(measured: Replay, rows: Booleans) -> float:
    """A usual step: the median time between tokens; `InputError` where there is none."""
    tpot_s = measured.tpot_s[rows & (measured.output_tokens > 1)]
    if not tpot_s.size or not np.median(tpot_s) > 0:
        raise InputError("no time passes between tokens", fix="log the first and the last token of longer answers")
    return float(np.median(tpot_s))


def _running(measured: Replay, rows: Booleans) -> tuple[Integers, Integers, Floats]:
    """How many of `rows` run and how many queue, and for how many seconds, in each stretch between two events."""
    stamps = measured.queued_at_s[rows], measured.started_at_s[rows], measured.finished_at_s[rows]
    at_s = np.unique(np.concatenate(stamps))
    queued, started, finished = (np.searchsorted(np.sort(stamp), at_s, side="right") for stamp in stamps)
    running, queueing = np.asarray(started - finished, np.int64), np.asarray(queued - started, np.int64)
    return running, queueing, np.diff(at_s, append=at_s[-1])


def _most_running(measured: Replay, rows: Booleans) -> int:
    return int(_running(measured, rows)[0].max())


def _running_together(measured: Replay, rows: Booleans, step_s: float) -> int | None:
    """The most that ran at a time, where others queued meanwhile for longer than steps explain; None where not."""
    running, queueing, for_s = _running(measured, rows)
    full_s = for_s[(queueing > 0) & (running == running.max())].sum()
    return int(running.max()) if full_s > _FULL_STEPS * step_s else None


def _taken_up_at_s(measured: Replay, rows: Booleans, step_s: float) -> Floats:
    """Half a step before the engine took up each of `rows`, shape (N,), so that it is taken up in the same step again.

    Those after them queue until all of them are taken up, as where nobody overtakes.
    """
    first, last_s = int(rows.argmax()), measured.started_at_s[rows].max()
    later = np.arange(len(measured)) > first
    others_s = np.where(later, np.maximum(measured.queued_at_s, last_s), measured.queued_at_s)
    return np.where(rows, np.maximum(measured.queued_at_s, measured.started_at_s - step_s / 2), others_s)


def _units(measured: Replay, rows: Booleans, step_s: float) -> Floats:
    """What each of the seven coefficients were if it alone explained a step of `step_s`, shape (7,)."""
    m, n = measured.input_tokens[rows], measured.output_tokens[rows]
    reading_s = (measured.first_token_at_s - measured.started_at_s)[rows]
    read_s = max(float(np.quantile(reading_s / m, 0.1)), step_s / int(m.max()))
    sequence_s = step_s / _most_running(measured, rows)
    context_s = sequence_s / float(np.mean(m + n / 2))
    return np.array([step_s, step_s, read_s, read_s / m.max(), step_s, sequence_s, context_s])
