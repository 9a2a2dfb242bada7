"""The ledger's table in SQLite (by default) or PostgreSQL (by URL): rows in, rows and sums out.

Rows go to the driver as tuples, in statements written by hand: SQLAlchemy took 0.1 to 0.3 s of every start.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from wattshed.domain.schema import LEDGER
from wattshed.errors import InputError, MissingError, WattshedError
from wattshed.gateway.ledger.database import MOST_VALUES, Cursor, Database, Place
from wattshed.gateway.ledger.ledger import CandidateCost, LedgerError, Row, Settlement, Written
from wattshed.gateway.ledger.steps import STEPS, TABLE, migrate

_Plain: TypeAlias = Sequence[object]  # a row as the driver takes it

MOST_TEXT: Final = 400
"""Characters of a text that are kept; clients choose some of them."""

_NAMES: Final = tuple(f'"{column.name}"' for column in LEDGER)
_ROWS_AT_ONCE: Final = (min(64, MOST_VALUES // len(_NAMES)), 8, 1)
"""Rows of one statement in SQLite, most first. At each the thread gives the interpreter's lock away, and a busy event
loop is slow to give it back: of 12,500 rows that came as fast as one process could make them, up to 5,500 waited when
they were written one by one (three runs), and up to 1,200 by 64. Making 64 ready takes 0.4 ms; the loop may wait."""

_FLAGS: Final = tuple(position for position, column in enumerate(LEDGER) if column.kind == "flag")
_ARRIVED, _CANDIDATES = Row._fields.index("arrived_at"), Row._fields.index("candidates")
_TEXTS: Final = itemgetter(
    *(at for at, column in enumerate(LEDGER) if column.kind == "text" and column.name != "candidates")
)
_AS_JSON, _FROM_JSON = msgspec.json.Encoder(), msgspec.json.Decoder(tuple[CandidateCost, ...])
_MOST_INTEGER: Final = 2**63 - 1
_PRUNED_AT_ONCE: Final = 5000


@dataclass(frozen=True, slots=True)
class SystemSums:
    """What the ledger holds of one system: sums over the rows that have the number, `None` where no row has.

    Saved joules are the baseline's less ours, over rows with both; `metered_hindsight_j` is what hindsight predicted
    for the rows that `attributed_j` sums.
    """

    system: str | None
    requests: int
    answered: int
    input_tokens: int | None
    output_tokens: int | None
    hindsight_j: float | None
    saved_j: float | None
    attributed_requests: int
    attributed_j: float | None
    metered_hindsight_j: float | None
    wasted_j: float | None


class LedgerStore:
    """One ledger, opened; `open_store` makes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        place = database.marker
        self._inserts = {rows: _insert(place, rows) for rows in _ROWS_AT_ONCE}
        self._update = (
            f"UPDATE {TABLE} SET attributed_energy_j = {place}, attributed_idle_energy_j = {place}, "  # noqa: S608 - ours
            f"energy_reason = {place} WHERE request = {place}"
        )
        self._delete = (
            f"DELETE FROM {TABLE} WHERE request IN "  # noqa: S608 - ours
            f"(SELECT request FROM {TABLE} WHERE arrived_at < {place} LIMIT {_PRUNED_AT_ONCE})"
        )

    def write(self, rows: Sequence[Row], settlements: Sequence[Settlement]) -> Written:
        """All of it in one transaction; a row that the database will never take is left out and counted."""
        settled: list[_Plain] = [(one.energy_j, one.idle_energy_j, one.reason, one.request) for one in settlements]
        try:
            return self._written(rows, settled)
        except self._database.row_faults:
            return self._written_one_by_one(rows, settled)

    def prune(self, before: datetime) -> int:
        """Delete rows that arrived before an instant, a few thousand at a time, so that writers get their turn."""
        deleted, last = 0, _PRUNED_AT_ONCE
        while last == _PRUNED_AT_ONCE:
            with self._database.transaction() as cursor:
                cursor.execute(self._delete, (self._instant(before),))
                last = cursor.rowcount
            deleted += last
        return deleted

    def rows(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[list[Row]]:
        """Rows that arrived from `since` to before `until`, in order of arrival, some thousands at a time."""
        where, bounds = self._between(since, until)
        sql = f"SELECT {', '.join(_NAMES)} FROM {TABLE}{where} ORDER BY arrived_at, request"  # noqa: S608 - ours
        for part in self._database.parts(sql, bounds):
            yield [_row(one) for one in part]

    def sums(self, since: datetime | None = None, until: datetime | None = None) -> list[SystemSums]:
        """What each system served, the most requests first."""
        where, bounds = self._between(since, until)
        sql = f'SELECT {_SUMS} FROM {TABLE}{where} GROUP BY "system" ORDER BY COUNT(*) DESC'  # noqa: S608 - ours
        return [_sums(one) for part in self._database.parts(sql, bounds) for one in part]

    @property
    def place(self) -> str:
        """Where the ledger is, without its password."""
        return str(self._database.place)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _written(self, rows: Sequence[Row], settled: list[_Plain]) -> Written:
        found = 0
        with self._database.transaction() as cursor:
            self._put(cursor, rows)
            if settled:
                cursor.executemany(self._update, settled)
                found = cursor.rowcount
        return Written(len(rows), max(found, 0), 0)

    def _put(self, cursor: Cursor, rows: Sequence[Row]) -> None:
        """Insert rows, some at a time: SQLite by statements of many, PostgreSQL's driver sends them in a row anyway."""
        if self._database.place.kind != "sqlite":
            if rows:
                cursor.executemany(self._inserts[1], [self._plain(row) for row in rows])
            return
        at = 0
        for many, insert in self._inserts.items():
            while at + many <= len(rows):
                part = map(self._plain, rows[at : at + many])
                cursor.execute(insert, tuple(chain.from_iterable(part)))
                at += many

    def _written_one_by_one(self, rows: Sequence[Row], settled: list[_Plain]) -> Written:
        """The same after a row was refused: each by itself, first mended, and the hopeless ones left out."""
        refused = 0
        for row in rows:
            try:
                self._written([Row._make(map(_mended, row))], [])
            except self._database.row_faults:
                refused += 1  # where the database fails, those before are written again, which does no harm
        found = self._written([], [tuple(map(_mended, one)) for one in settled])
        return Written(len(rows) - refused, found.settled, refused)

    def _plain(self, row: Row) -> _Plain:
        """The row as the driver takes it."""
        plain: list[Any] = list(row)
        if max(map(len, filter(None, _TEXTS(row)))) > MOST_TEXT:
            plain = [value[:MOST_TEXT] if type(value) is str else value for value in plain]
        plain[_ARRIVED] = self._instant(plain[_ARRIVED])
        if plain[_CANDIDATES] is not None:
            plain[_CANDIDATES] = _AS_JSON.encode(plain[_CANDIDATES]).decode()
        return plain

    def _instant(self, at: datetime) -> object:
        """SQLite has no instants: text of fixed width in UTC, which sorts."""
        at = at.astimezone(UTC)
        return _in_text(at) if self._database.place.kind == "sqlite" else at

    def _between(self, since: datetime | None, until: datetime | None) -> tuple[str, _Plain]:
        place = self._database.marker
        bounds = [(sign, at) for sign, at in ((">=", since), ("<", until)) if at is not None]
        where = " AND ".join(f"arrived_at {sign} {place}" for sign, _ in bounds)
        return f" WHERE {where}" if bounds else "", tuple(self._instant(at) for _, at in bounds)


def open_store(ledger: str, *, steps: Sequence[Sequence[str]] = STEPS, new: bool = True) -> LedgerStore:
    """The ledger at a URL (`sqlite:///PATH`, `postgresql://...`) or at the path of an SQLite file, mended if it is old.

    `LedgerError` where it cannot be opened now, `InputError` where it is no ledger or a newer one, and `MissingError`
    where there is none and it is not to be `new`.
    """
    place = Place.of(ledger)
    if not new and place.kind == "sqlite" and not Path(place.address).is_file():
        raise MissingError(f"{place}: no such ledger; give the ledger of a gateway that has run")
    database = Database(place)
    try:
        migrate(database, steps)
    except (LedgerError, InputError) as error:
        database.close()
        raise _unopened(error, place) from error
    return LedgerStore(database)


@contextmanager
def opened(ledger: str) -> Iterator[LedgerStore]:
    """A ledger that is there already, for as long as it is read."""
    store = open_store(ledger, new=False)
    try:
        yield store
    finally:
        store.close()


def _unopened(error: WattshedError, place: Place) -> WattshedError:
    """The same where it was to be opened: what is no database was never a ledger."""
    if isinstance(error, LedgerError) and error.reason == "damaged":
        return InputError("is no ledger", path=str(place), fix="give another file, or move this one away")
    return error


def _insert(marker: str, rows: int) -> str:
    """The statement for so many rows; one that is there already stays: a commit whose answer was lost comes again."""
    row = f"({', '.join([marker] * len(_NAMES))})"
    values = ", ".join([row] * rows)
    return f"INSERT INTO {TABLE} ({', '.join(_NAMES)}) VALUES {values} ON CONFLICT (request) DO NOTHING"  # noqa: S608 - ours


_SAVED = "CASE WHEN hindsight_energy_j IS NOT NULL THEN baseline_energy_j - hindsight_energy_j END"
_SUMS = (
    "\"system\", COUNT(*), COUNT(CASE WHEN outcome = 'done' THEN 1 END), "
    "CAST(SUM(input_tokens) AS BIGINT), CAST(SUM(output_tokens) AS BIGINT), "
    f"SUM(hindsight_energy_j), SUM({_SAVED}), COUNT(attributed_energy_j), SUM(attributed_energy_j), "
    "SUM(CASE WHEN attributed_energy_j IS NOT NULL THEN hindsight_energy_j END), SUM(wasted_energy_j)"
)


def _in_text(at: datetime) -> str:
    """An instant of UTC as `isoformat` puts it to the microsecond, which takes thrice as long."""
    return f"{_AS_JSON.encode(at)[1:20].decode()}.{at.microsecond:06d}+00:00"


def _mended(value: object) -> object:
    """A value that a database can hold: no lone surrogates, no NULs, no integer beyond 64 bits."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "")
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-_MOST_INTEGER, min(value, _MOST_INTEGER))
    return value


def _sums(stored: Sequence[Any]) -> SystemSums:
    return SystemSums(*stored)


def _row(stored: Sequence[Any]) -> Row:
    values = list(stored)
    if isinstance(values[_ARRIVED], str):
        values[_ARRIVED] = datetime.fromisoformat(values[_ARRIVED])
    for position in _FLAGS:
        values[position] = None if values[position] is None else bool(values[position])
    if values[_CANDIDATES] is not None:
        values[_CANDIDATES] = _FROM_JSON.decode(values[_CANDIDATES])
    return Row(*values)
