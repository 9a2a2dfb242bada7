"""A campaign: every cell of a design, in random order, until the stopping rule is content.

    load -> settle, idle -> for each visit: settle, warm up, window, window, ... -> settle, idle

`run` is a generator of events and touches nothing but the bench it is given (engine, meter, clock), so a journal, a
display and a test can all drive it. What a failure does:

    out_of_memory, timed_out, refused, any meter's    the cell is marked, the campaign goes on
    engine_gone                                       the same, after one attempt to load the engine again;
                                                      gone twice in a row, and the campaign ends
    campaign_timeout                                  cells that nobody began, since the time was up
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from wattshed.domain.measurement import Measurement
from wattshed.domain.system import System
from wattshed.errors import EngineError, MeterError, MissingError
from wattshed.profiler.design import Design, Shape, Visit, visits
from wattshed.profiler.events import (
    CampaignDone,
    CellDone,
    CellFailed,
    CellStarted,
    Ended,
    Event,
    IdleMeasured,
    Plain,
    TrialDone,
    When,
)
from wattshed.profiler.stopping import Fixed, Stopping, StopReason
from wattshed.profiler.summary import alike_energies_j
from wattshed.profiler.thermal import Floor, settle
from wattshed.profiler.trial import PARTS, Bench, Place, measured, open_window

WARM_UP_S: Final = 1.0
"""Least length of a warm-up, which is a whole query at least: clocks and caches follow within it, and no sequence is of
a length that the engine never met. On an H100, each first step at a length took 30 to 40 ms more (decision 0008)."""

GONE: Final = "engine_gone"
"""The reason of an engine that no longer answers."""

NO_TIME: Final = "campaign_timeout"
"""The reason of a cell that was not begun, since the campaign's time was up."""

TRIED_AGAIN: Final = (GONE, NO_TIME)
"""Reasons that say nothing about a cell: it is measured when the campaign is resumed."""

MOST_GONE: Final = 2


@dataclass(frozen=True, slots=True)
class Campaign:
    """What is measured and how.

    A cell ends within `cell_timeout_s` plus one window, and has one in any case. After `timeout_s` in one session no
    further visit begins but the first and the last look at the reference; a resumed campaign goes on with the rest.
    """

    design: Design
    stopping: Stopping
    seed: int = 0
    window_s: float = 5.0
    warm_ups: int = 1
    idle_s: float = 10.0
    settle_s: float = 20.0
    cell_timeout_s: float = 1800.0
    timeout_s: float = math.inf
    reference_every: int = 8
    reference_windows: int = 2

    @property
    def visits(self) -> tuple[Visit, ...]:
        """The cells in the order that the seed gives."""
        return visits(self.design, np.random.default_rng(self.seed), reference_every=self.reference_every)

    @property
    def settings(self) -> dict[str, Plain]:
        """Everything that a second run needs to do the same; `reference` where one was named."""
        numbers: dict[str, Plain] = {
            "seed": self.seed,
            "window_s": self.window_s,
            "warm_ups": self.warm_ups,
            "idle_s": self.idle_s,
            "settle_s": self.settle_s,
            "cell_timeout_s": self.cell_timeout_s,
            "reference_every": self.reference_every,
            "reference_windows": self.reference_windows,
        }
        cells: list[Plain] = [_counts(shape) for shape in self.design.shapes]
        named = self.design.named_reference
        reference: dict[str, Plain] = {} if named is None else {"reference": _counts(named)}
        return {"design": self.design.name, "cells": cells, "stopping": self.stopping.rule, **numbers, **reference}


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier sessions did on this host: trials by visit, and the visits that are over."""

    session: int = 0
    trials: Mapping[int, tuple[Measurement, ...]] = field(default_factory=dict)
    over: frozenset[int] = frozenset()


def run(campaign: Campaign, bench: Bench, *, earlier: Earlier | None = None) -> Iterator[Event]:
    """The events of a campaign, from where `earlier` left off.

    Raises `EngineError` where the engine cannot be loaded at all; later failures are events.
    """
    return _Run(campaign, bench, earlier or Earlier()).events()


class _Run:
    """One session: owns the counters that change as it goes."""

    def __init__(self, campaign: Campaign, bench: Bench, earlier: Earlier) -> None:
        self._campaign, self._bench, self._earlier = campaign, bench, earlier
        self._session = earlier.session
        self._order = sum(len(trials) for trials in earlier.trials.values())
        self._numbers = Counter(_cell(trial) for trials in earlier.trials.values() for trial in trials)
        self._idle_power_w: float | None = None
        self._gone = 0

    def events(self) -> Iterator[Event]:
        deadline_s = self._bench.now_s() + self._campaign.timeout_s
        self._bench.engine.load()
        if self._bench.meter is not None:
            self._bench.meter.start()
        yield self._idle("before")
        ended: Ended = "complete"
        visits = self._campaign.visits
        for visit in (one for one in visits if one.number not in self._earlier.over):
            if self._bench.now_s() > deadline_s and visit not in (visits[0], visits[-1]):  # or nobody knows the drift
                ended = "timed_out"
                yield CellFailed(self._session, visit.number, NO_TIME, "the campaign was out of time before it began")
                continue
            yield from self._visit(visit)
            if self._gone >= MOST_GONE:
                yield CampaignDone(self._session, "engine_gone")
                return
        yield self._idle("after")
        yield CampaignDone(self._session, ended)

    def _visit(self, visit: Visit) -> Iterator[Event]:
        yield CellStarted(visit)
        deadline_s = self._bench.now_s() + self._campaign.cell_timeout_s
        try:
            yield from self._cell(visit, deadline_s)
            self._gone = 0
        except (EngineError, MeterError) as error:
            yield CellFailed(self._session, visit.number, error.reason, str(error))
            if error.reason == GONE:
                self._revive()

    def _cell(self, visit: Visit, deadline_s: float) -> Iterator[Event]:
        """Warm-ups and windows until the rule is content or the time is up."""
        before = self._earlier.trials.get(visit.number, ())
        trials = [trial for trial in before if not trial.warm_up]
        stop, floor = self._decide(visit, trials), Floor(None, 0.0)
        if stop is None:
            floor = settle(self._bench, most_s=self._campaign.settle_s)
            yield from self._warm_up(visit, recorded=any(trial.warm_up for trial in before))
        while stop is None:
            if trials and self._bench.now_s() > deadline_s:
                stop = "cell_timeout"
                break
            done = self._trial(visit, warm_up=False)
            trials.append(done.trial)
            yield done
            stop = self._decide(visit, trials)
        yield CellDone(self._session, visit.number, stop, floor.settled, floor.waited_s)

    def _warm_up(self, visit: Visit, *, recorded: bool) -> Iterator[Event]:
        """Warm-ups as trials; those that repeat recorded ones after a resume only warm."""
        for _ in range(self._campaign.warm_ups):
            if recorded:
                open_window(self._bench, visit.shape, window_s=WARM_UP_S, serial=self._serial() + (1 << 47))
            else:
                yield self._trial(visit, warm_up=True)

    def _trial(self, visit: Visit, *, warm_up: bool) -> TrialDone:
        window_s = WARM_UP_S if warm_up else self._campaign.window_s
        window = open_window(self._bench, visit.shape, window_s=window_s, serial=self._serial())
        cell = (visit.experiment, visit.shape)
        place = Place(visit, self._session, self._numbers[cell], self._order, warm_up, self._idle_power_w)
        trial = measured(window, self._system(visit.shape), place)
        self._numbers[cell] += 1
        self._order += 1
        return TrialDone(self._session, visit.number, trial, window.samples)

    def _serial(self) -> int:
        """First serial of the next trial: room for a million prompts, and none from before a resume."""
        return (self._session << 48) + (self._order << 20)

    def _system(self, shape: Shape) -> System:
        system = self._bench.engine.system
        return replace(system, concurrency=shape.concurrency)

    def _decide(self, visit: Visit, trials: list[Measurement]) -> StopReason | None:
        if not trials:
            return None
        rule = Fixed(self._campaign.reference_windows) if visit.is_reference else self._campaign.stopping
        energy_j = alike_energies_j(trials)
        whole = energy_j if energy_j.size == len(trials) else None
        return rule.decide(np.array([trial.runtime_s for trial in trials]), whole)

    def _idle(self, when: When) -> IdleMeasured:
        """Power of each part while the engine, loaded, has nothing to do."""
        meter, duration_s = self._bench.meter, self._campaign.idle_s
        if meter is None or duration_s <= 0:
            return IdleMeasured(self._session, when, 0.0, dict.fromkeys(PARTS))
        try:
            settle(self._bench, most_s=self._campaign.settle_s)
            started_at_s = meter.mark()
            self._bench.sleep(duration_s)
            energy = meter.between(started_at_s, meter.mark())
        except MeterError:
            return IdleMeasured(self._session, when, 0.0, dict.fromkeys(PARTS))
        parts = {part: energy.part(part) for part in PARTS}
        power_w = {
            part: None if one is None or one.energy_j is None else one.energy_j / energy.duration_s
            for part, one in parts.items()
        }
        known = [one.energy_j / energy.duration_s for one in energy.billed if one.energy_j is not None]
        self._idle_power_w = sum(known) if known else None
        return IdleMeasured(self._session, when, energy.duration_s, {str(part): w for part, w in power_w.items()})

    def _revive(self) -> None:
        """Load the engine once more; where that fails it is gone for good."""
        self._gone += 1
        try:
            self._bench.engine.close()
            self._bench.engine.load()
        except (EngineError, MissingError):  # the second where the device itself is no longer there
            self._gone = MOST_GONE


def _counts(shape: Shape) -> list[Plain]:
    return [shape.input_tokens, shape.output_tokens, shape.concurrency]


def _cell(trial: Measurement) -> tuple[str, Shape]:
    shape = Shape(trial.requested_input_tokens, trial.requested_output_tokens, trial.system.concurrency)
    return trial.experiment, shape
