"""From the ledger's rows to trials that a fit can learn from: what requests took, each on the machine that served it.

    rows --whole, uncached, counted--> lessons --company--> cells of like requests --eight or more--> trials

*Seconds* are those in a slot. *Joules* are attributed ones, and no others: a prediction would only teach what is known
already. *Company* is how many requests were on the machine on average while one was, by the ledger's own times; the
batch form learns from all of it, the others from requests that were as good as alone. Requests differ in length where
trials of a campaign repeat, so those within half an octave of both lengths make up a cell, at their mean lengths; where
they are fewer than eight, those within an octave.

Nothing here is as good as a profile: whoever sent the requests chose their lengths, a slow client's stream counts as
the machine's time, and where several were present their joules were split by a rule.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log2
from typing import Final, NamedTuple

import numpy as np

from wattshed.domain.arrays import Floats
from wattshed.domain.choices import Channel, PredictorKind
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System
from wattshed.errors import InputError
from wattshed.gateway.ledger.ledger import Row
from wattshed.predictors.fit import Fitted, Pair

LEAST_REQUESTS: Final = 8
"""Requests of a cell: fewer say little of its mean where each scatters by a tenth or two."""

MOST_REQUESTS: Final = 500
"""The latest of a cell, so that a machine is fitted as it is now, and memory does not grow with the ledger."""

BOUNDARY: Final = "attributed to requests by a gateway, from what the node's agent counts"


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a ledger teaches: trials, and by reason how many requests were left out.

    Pairs of which the ledger has no joules at all are `seconds_only`: the joules of their trials are those of `base`.
    """

    profile: Profile
    left_out: Mapping[str, int]
    seconds_only: frozenset[Pair] = frozenset()
    base: Fitted | None = None


class _Lesson(NamedTuple):
    """One request that may teach something; `presence` is its place among those of its system."""

    system: str
    model: str
    variant: str
    presence: int
    input_tokens: int
    output_tokens: int
    runtime_s: float
    energy_j: float | None


class _Key(NamedTuple):
    """A cell: system, model as it is called there, requests in flight, and m and n in steps of an octave's part."""

    system: str
    model: str
    variant: str
    concurrency: int
    per_octave: int
    input_step: int
    output_step: int


@dataclass(slots=True)
class _Heard:
    """What was read so far; `presences` has the start and stop of each request on a system, in s from the first."""

    lessons: list[_Lesson]
    presences: dict[str, list[tuple[float, float]]]
    left_out: Counter[str]
    first_at: datetime | None = None
    last_at: datetime | None = None


def lessons_of(
    parts: Iterable[Sequence[Row]], ledger: str, *, kind: PredictorKind, channel: Channel, base: Fitted | None = None
) -> Lessons:
    """What the rows teach a form of this kind; `InputError` where that is nothing.

    `base` has the joules of pairs that have no meter, and then their seconds alone are learned.
    """
    heard = _Heard([], defaultdict(list), Counter())
    for part in parts:
        for row in part:
            _hear(heard, row)
    metered = {(one.system, one.model) for one in heard.lessons if one.energy_j is not None}
    borrowed = frozenset(() if base is None else set(base.predictors) - metered)
    cells = _cells(heard, metered | borrowed, borrowed, alone=kind != "batch")
    trials = tuple(trial for key in sorted(cells) for trial in _trials(key, cells[key], channel, base))
    if not trials:
        said = "; ".join(f"{count} {reason}" for reason, count in heard.left_out.most_common()) or "it has no rows"
        raise InputError(f"no request can be learned from ({said})", path=ledger, fix="serve more, with an agent")
    taught = {(trial.system.name, trial.system.model) for trial in trials}
    name = f"{ledger}, {heard.first_at:%Y-%m-%d} to {heard.last_at:%Y-%m-%d}, {len(trials)} requests"
    return Lessons(Profile(name, trials), dict(heard.left_out.most_common()), borrowed & taught, base)


def _hear(heard: _Heard, row: Row) -> None:
    heard.first_at, heard.last_at = heard.first_at or row.arrived_at, row.arrived_at
    if row.system is None or row.wait_s is None:
        heard.left_out["sent to no system"] += 1
        return
    arrived_s = (row.arrived_at - heard.first_at).total_seconds()
    presences = heard.presences[row.system]
    presences.append((arrived_s + row.wait_s, arrived_s + row.runtime_s))
    unfit = _unfit(row)
    if unfit is not None:
        heard.left_out[unfit] += 1
        return
    runtime_s, tokens = row.runtime_s - row.wait_s, (row.input_tokens or 0, row.output_tokens or 0)
    where = row.system, row.model, row.variant or row.model
    heard.lessons.append(_Lesson(*where, len(presences) - 1, *tokens, runtime_s, row.attributed_energy_j))


def _unfit(row: Row) -> str | None:
    """Why a row teaches nothing, if it does not."""
    if row.outcome != "done":
        return "not answered whole"
    if row.route == "embeddings":
        return "embeddings"
    if not row.input_tokens or not row.output_tokens or row.runtime_s <= (row.wait_s or 0.0):
        return "without counted tokens"
    return "partly answered by a cache" if row.cached_tokens else None


def _cells(heard: _Heard, pairs: set[Pair], borrowed: frozenset[Pair], *, alone: bool) -> dict[_Key, "deque[_Lesson]"]:
    """The lessons by cell, large enough ones only; everyone else is counted among those left out."""
    company = {system: _company(np.array(presences)) for system, presences in heard.presences.items()}
    fit = list[tuple[_Lesson, int]]()
    for lesson in heard.lessons:
        pair = (lesson.system, lesson.model)
        together = round(2 ** (_step(company[lesson.system][lesson.presence], 2) / 2))
        if pair not in pairs or (lesson.energy_j is None and pair not in borrowed):
            heard.left_out["without attributed joules"] += 1
        elif alone and together > 1:
            heard.left_out["in company, which only the kind batch tells apart"] += 1
        else:
            fit.append((lesson, together))
    kept, others = _gathered(fit, 2)
    wider, lost = _gathered(others, 1)
    if lost:
        heard.left_out[f"with fewer than {LEAST_REQUESTS} like them, or with no joules together"] = len(lost)
    return kept | wider


def _gathered(
    lessons: Iterable[tuple[_Lesson, int]], per_octave: int
) -> tuple[dict[_Key, "deque[_Lesson]"], list[tuple[_Lesson, int]]]:
    """Lessons and their company by cell, and those whose cell is no good."""
    cells: dict[_Key, list[tuple[_Lesson, int]]] = defaultdict(list)
    for lesson, together in lessons:
        steps = _step(lesson.input_tokens, per_octave), _step(lesson.output_tokens, per_octave)
        key = _Key(lesson.system, lesson.model, lesson.variant, together, per_octave, *steps)
        cells[key].append((lesson, together))
    good = {key: deque((one for one, _ in cell), MOST_REQUESTS) for key, cell in cells.items() if _sound(cell)}
    return good, [one for key, cell in cells.items() if key not in good for one in cell]


def _sound(cell: Sequence[tuple[_Lesson, int]]) -> bool:
    """Whether a cell has a mean that a curve can be fitted to; attributed joules of one request may be below 0."""
    energies_j = [one.energy_j for one, _ in cell if one.energy_j is not None]
    return len(cell) >= LEAST_REQUESTS and (not energies_j or sum(energies_j) > 0)


def _company(presences: Floats) -> Floats:
    """How many were present on average while each of N was, itself included; `presences` has shape (N, 2)."""
    start_s, stop_s = presences.T

    def past(ends_s: Floats, at_s: Floats) -> Floats:
        """Seconds since each of the ends before an instant, added up."""
        ordered = np.sort(ends_s)
        before = np.searchsorted(ordered, at_s)
        passed: Floats = before * at_s - np.concatenate([[0.0], np.cumsum(ordered)])[before]
        return passed

    def present_s(at_s: Floats) -> Floats:
        return past(start_s, at_s) - past(stop_s, at_s)

    lasted_s = np.maximum(stop_s - start_s, 1e-9)
    together: Floats = (present_s(stop_s) - present_s(start_s)) / lasted_s
    return np.maximum(together, 1.0)


def _step(count: float, per_octave: int) -> int:
    """The nearest octave, or part of one."""
    return round(per_octave * log2(count))


def _energy_j(lesson: _Lesson, base: Fitted | None) -> float:
    """Its joules; those of `base` where it has none, so that there is something to stand beside its seconds."""
    if lesson.energy_j is not None or base is None:
        return lesson.energy_j or 0.0
    m, n = np.array([lesson.input_tokens]), np.array([lesson.output_tokens])
    return float(base.predictors[lesson.system, lesson.model].energy.mean(m, n)[0])


def _trials(key: _Key, cell: Sequence[_Lesson], channel: Channel, base: Fitted | None) -> Iterator[Measurement]:
    """The requests of a cell as trials; what they asked for is its middle, or what comes nearest to that among them.

    So cells share token counts, and leaving one of these out leaves out a whole row of them (`predictors/check.py`).

    A ledger has the sum of the parts that are billed. Only the sum is read again, hence a part of 0 J in `total`.
    """
    system = System(key.system, key.model, "as served", engine=key.variant, concurrency=key.concurrency)
    lengths = zip(*[(lesson.input_tokens, lesson.output_tokens) for lesson in cell], strict=True)
    middles = [round(2 ** (step / key.per_octave)) for step in (key.input_step, key.output_step)]
    tokens = [min(max(middle, min(ours)), max(ours)) for middle, ours in zip(middles, lengths, strict=True)]
    for number, lesson in enumerate(cell):
        energy_j = _energy_j(lesson, base)
        yield Measurement(
            system,
            "ledger",
            tokens[0],
            tokens[1],
            lesson.input_tokens,
            lesson.output_tokens,
            number,
            False,
            lesson.runtime_s,
            BOUNDARY,
            gpu_energy_j=energy_j if channel in {"gpu", "total"} else None,
            cpu_energy_j=energy_j if channel == "cpu" else 0.0 if channel == "total" else None,
            platform_energy_j=energy_j if channel == "platform" else None,
        )
