"""The ledger: one row a request, written behind the event loop's back.

    event loop                              thread `ledger`
    append(row) ------.                 .-> every `batch_s`: one transaction --> store
                      +--> queue ------'      refused by the store: the batch is kept and tried again, later and later
    settle(joules) ---'     bounded             (locked, disk full, server gone: counted, never raised to a request)

`append` and `settle` only put something into a queue: they never wait and never raise. Where the queue is full the row
is dropped and counted. What a crash loses is what no batch had committed: `batch_s` of rows, less than a second of
them. How rows are stored is `gateway/ledger/store.py`'s business; this module loads no database.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from typing import ClassVar, Final, NamedTuple, Protocol

import msgspec

from wattshed.domain.schema import LEDGER_FAILURES
from wattshed.errors import WattshedError
from wattshed.units import S_PER_H

log = logging.getLogger(__name__)

BATCH_S: Final = 0.5
MOST_BACK_OFF_S: Final = 30.0
MOST_WAITING: Final = 100_000
"""Rows that wait in memory, about 1 KB each; at 200 requests/s they bridge eight minutes without a disk."""

MOST_AT_ONCE: Final = 2000
"""Rows of one transaction."""


class CandidateCost(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a request was predicted to take on one system; without numbers where the system could not serve it.

    One is made a system and request, hence a Struct; it is a list of three in JSON.
    """

    system: str
    energy_j: float | None
    runtime_s: float | None


class Row(NamedTuple):
    """One request, field by field a column of `schema.LEDGER`, which gives unit and meaning of each.

    A NamedTuple and no dataclass: it is made in the hot path, where it takes 4 us against 12 us, and is already the
    tuple that a database takes.
    """

    request: str
    arrived_at: datetime
    client_request: str | None = None
    key: str | None = None
    route: str = "chat"
    model: str = ""
    variant: str | None = None
    streamed: bool = False
    outcome: str = "done"
    status: int | None = None
    failure: str | None = None
    finish_reason: str | None = None
    system: str | None = None
    policy: str | None = None
    choice: str | None = None
    lam: float | None = None
    candidates: tuple[CandidateCost, ...] | None = None
    baseline: str | None = None
    shadow: str | None = None
    attempts: int = 0
    in_flight: int | None = None
    wait_s: float | None = None
    ttft_s: float | None = None
    runtime_s: float = 0.0
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    estimated_input_tokens: int | None = None
    predicted_output_tokens: float | None = None
    most_output_tokens: int | None = None
    predicted_energy_j: float | None = None
    predicted_energy_lower_j: float | None = None
    predicted_energy_upper_j: float | None = None
    predicted_runtime_s: float | None = None
    predicted_p95_runtime_s: float | None = None
    extrapolated: bool | None = None
    hindsight_energy_j: float | None = None
    hindsight_energy_lower_j: float | None = None
    hindsight_energy_upper_j: float | None = None
    hindsight_runtime_s: float | None = None
    hindsight_runtime_lower_s: float | None = None
    hindsight_runtime_upper_s: float | None = None
    baseline_energy_j: float | None = None
    baseline_energy_lower_j: float | None = None
    baseline_energy_upper_j: float | None = None
    shadow_energy_j: float | None = None
    attributed_energy_j: float | None = None
    attributed_idle_energy_j: float | None = None
    energy_reason: str | None = None
    wasted_energy_j: float | None = None
    carbon_g: float | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """The joules of a finished request as its system's meter has them, or the code of why there are none."""

    request: str
    energy_j: float | None
    idle_energy_j: float | None
    reason: str | None

    def __post_init__(self) -> None:
        if (self.energy_j is None) == (self.reason is None):
            raise ValueError(f"request {self.request!r}: joules or a reason, not both and not neither")


class LedgerError(WattshedError):
    """A ledger that cannot be read or written just now; `reason` is a code of `schema.LEDGER_FAILURES`."""

    exit_code: ClassVar[int] = 3

    def __init__(self, reason: str, problem: str) -> None:
        self.reason = reason
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch: rows written, rows given their joules, and rows that the store will never take."""

    rows: int
    settled: int
    refused: int


class Store(Protocol):
    """Where rows end up; only the ledger's thread calls it."""

    def write(self, rows: Sequence[Row], settlements: Sequence[Settlement]) -> Written:
        """Write all of it or nothing, in one transaction; `LedgerError` where it cannot be written now."""
        ...

    def prune(self, before: datetime) -> int:
        """Delete rows that arrived before an instant; how many they were."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often rows are written and old ones deleted, and how many may wait. `keep_s` of `None` keeps all."""

    batch_s: float = BATCH_S
    most_waiting: int = MOST_WAITING
    keep_s: float | None = None
    prune_every_s: float = S_PER_H


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What the ledger has done so far; `problem` is None while all is well.

    `results` and `failures` are counts by code (`LABELS` and `LEDGER_FAILURES` of the schema).
    """

    waiting: int
    results: Mapping[str, int]
    failures: Mapping[str, int]
    problem: str | None


class Ledger:
    """Takes rows from the event loop and writes them from a thread."""

    def __init__(
        self,
        store: Store,
        pace: Pace | None = None,
        *,
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._pace, self._utc, self._now_s = store, pace or Pace(), utc, now_s
        self._queue: deque[Row | Settlement] = deque()  # the loop appends, the thread pops: each is atomic
        self._results = dict.fromkeys(("written", "settled", "refused"), 0)
        self._failures = dict.fromkeys(LEDGER_FAILURES, 0)  # all keys from the start: the loop copies while we count
        self._problem: str | None = None
        self._dropped = 0  # the loop's alone
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    def append(self, row: Row) -> None:
        """Keep a row for writing; drop and count it where too many wait."""
        if len(self._queue) < self._pace.most_waiting:
            self._queue.append(row)
        else:
            self._dropped += 1

    def settle(self, settlement: Settlement) -> None:
        """Add joules, or the reason for none, to a row that was appended before."""
        if len(self._queue) < self._pace.most_waiting:
            self._queue.append(settlement)
        else:
            self._dropped += 1

    def state(self) -> LedgerState:
        """What became of the rows so far."""
        results = {"dropped": self._dropped, **self._results}
        return LedgerState(len(self._queue), results, dict(self._failures), self._problem)

    def close(self, most_s: float = 5.0) -> int:
        """Write what waits, for at most so long, and let go; the number of rows that are lost. Blocks: call it last."""
        self._closing.set()
        self._thread.join(most_s)
        if self._queue:
            log.error("the ledger is closed with rows that could not be written", extra={"rows": len(self._queue)})
        return len(self._queue)

    def _run(self) -> None:
        """The thread: a batch, a rest, and so on; the last batch comes after `close`."""
        rest_s, pruned_at_s = self._pace.batch_s, -inf
        while not self._closing.wait(rest_s):
            rest_s = self._pace.batch_s if self._written() else min(2 * rest_s, MOST_BACK_OFF_S)
            if self._pace.keep_s is not None and self._now_s() - pruned_at_s >= self._pace.prune_every_s:
                self._prune(timedelta(seconds=self._pace.keep_s))
                pruned_at_s = self._now_s()
        self._written()
        self._store.close()

    def _written(self) -> bool:
        """Write what waits now; False where the store will not have it now.

        What comes meanwhile waits for the next turn: where requests never cease, chasing the last of them took a
        transaction for every few rows.
        """
        left = len(self._queue)
        while left:
            batch = tuple(self._queue[i] for i in range(min(left, MOST_AT_ONCE)))
            if not self._kept(batch):
                return False
            for _ in batch:
                self._queue.popleft()
            left -= len(batch)
        return True

    def _kept(self, batch: Sequence[Row | Settlement]) -> bool:
        rows = [one for one in batch if isinstance(one, Row)]
        settlements = [one for one in batch if isinstance(one, Settlement)]
        try:
            written = self._store.write(rows, settlements)
        except LedgerError as error:
            return self._failed(error.reason, error)
        except Exception as error:  # noqa: BLE001 - the boundary of the thread: it must outlive whatever a driver raises
            return self._failed("failed", error)
        self._results["written"] += written.rows
        self._results["settled"] += written.settled
        self._results["refused"] += written.refused
        self._problem = None
        return True

    def _failed(self, reason: str, error: Exception) -> bool:
        self._failures[reason] += 1
        if self._problem is None:  # once for each time that it goes wrong, not once a retry
            log.warning("the ledger cannot be written; rows wait in memory", extra={"reason": reason}, exc_info=error)
        self._problem = str(error)
        return False

    def _prune(self, keep: timedelta) -> None:
        try:
            self._store.prune(self._utc() - keep)
        except Exception as error:  # noqa: BLE001 - as above; what was not deleted is deleted next time
            self._failed(error.reason if isinstance(error, LedgerError) else "failed", error)
