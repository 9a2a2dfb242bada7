"""The database behind a ledger: SQLite through the standard library, PostgreSQL through psycopg.

Both are drivers of Python's DB-API (PEP 249) and begin and end transactions in SQL. One connection is kept for writing
and opened anew where it broke; whoever reads has one of their own.

SQLite is kept in WAL mode with `synchronous=NORMAL`: readers and the writer do not wait for each other, a crash of the
process loses nothing that was committed, and a crash of the machine at most the last transactions, never the file
(https://sqlite.org/wal.html, section 3.2).
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Final, Literal, Protocol

from wattshed.errors import MissingError, UsageError
from wattshed.gateway.ledger.failures import failure

BUSY_S: Final = 1.0
"""How long a batch waits for another writer before it counts as locked."""

MOST_VALUES: Final = 32_766 if sqlite3.sqlite_version_info >= (3, 32) else 999
"""Values of one statement in SQLite (https://sqlite.org/limits.html, section 9)."""

_CONNECT_S: Final = 5
_READ_AT_ONCE: Final = 5000
_SECRET: Final = re.compile(r"(?<=//)([^:@/]*:).*(?=@)|([?&]password=)[^&]*")


# Python's driver looks for an adapter of each None and bool. Where it finds none it makes an error, hides it, and takes
# the value as it is: that was a fifth of what a row takes. These change nothing else, for whoever uses the driver too.
sqlite3.register_adapter(type(None), lambda _: None)
sqlite3.register_adapter(bool, int)


class Cursor(Protocol):
    """What is asked of a driver's cursor."""

    @property
    def rowcount(self) -> int: ...  # noqa: D102

    def execute(self, sql: str, values: Sequence[object] = (), /) -> object: ...  # noqa: D102

    def executemany(self, sql: str, rows: Sequence[Sequence[object]], /) -> object: ...  # noqa: D102

    def fetchmany(self, size: int, /) -> list[Sequence[object]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ledger lies: the path of a file, or the URL of a server as libpq takes it. Text without its password."""

    kind: Literal["sqlite", "postgresql"]
    address: str

    @classmethod
    def of(cls, ledger: str) -> "Place":
        """The place that a URL or a path names; `UsageError` for any other kind of database."""
        scheme, separator, rest = ledger.partition("://")
        kind = scheme.partition("+")[0]  # what follows the plus is a driver, and there is one of each kind
        if not separator:
            return cls("sqlite", ledger)
        if kind == "postgresql":
            return cls("postgresql", f"postgresql://{rest}")
        if kind == "sqlite" and rest.startswith("/") and len(rest) > 1:
            return cls("sqlite", rest[1:])
        if kind not in {"", "sqlite"}:
            raise UsageError(f"a ledger is kept in sqlite or postgresql, not in {kind}")
        raise UsageError("the ledger's URL cannot be read; write sqlite:///PATH or postgresql://HOST/DATABASE")

    def __str__(self) -> str:
        return self.address if self.kind == "sqlite" else _SECRET.sub(r"\1\2***", self.address)


class Database:
    """One database. `marker` stands for a value in its SQL, and `row_faults` are raised for values that it cannot hold.

    All else that a driver raises comes as `LedgerError`. The connection is for one thread at a time.
    """

    def __init__(self, place: Place) -> None:
        self.place, self._driver = place, _driver(place)
        self.marker = "?" if place.kind == "sqlite" else "%s"
        driver = self._driver
        self.row_faults = (driver.DataError, driver.IntegrityError, driver.InterfaceError, OverflowError, UnicodeError)
        self._kept: Any = None

    @contextmanager
    def transaction(self, *, alone: bool = False) -> Iterator[Cursor]:
        """A cursor within a transaction, which ends with the block; `alone` lets no other writer in."""
        with self._translated():
            if self._kept is None or getattr(self._kept, "closed", False):
                self._kept = self._opened()
            with _transaction(
                self._kept, self._kept.cursor(), immediate=alone and self.place.kind == "sqlite"
            ) as cursor:
                yield cursor

    def parts(self, sql: str, values: Sequence[object]) -> Iterator[list[Sequence[object]]]:
        """What a query finds, some thousands of rows at a time, over a connection of its own."""
        with self._translated(), closing(self._opened()) as connection:
            # A named cursor is the server's: psycopg would fetch everything at once into any other.
            cursor = connection.cursor() if self.place.kind == "sqlite" else connection.cursor("rows")
            with _transaction(connection, cursor):
                cursor.execute(sql, values)
                while part := cursor.fetchmany(_READ_AT_ONCE):
                    yield part

    def close(self) -> None:
        """Let go of it; the next transaction would open it again."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self.row_faults:
            raise
        except self._driver.Error as error:
            failed = failure(error, str(self.place))
            if failed.reason == "unreachable":
                with suppress(self._driver.Error):
                    self.close()
            raise failed from error

    def _opened(self) -> Any:
        if self.place.kind == "postgresql":
            return self._driver.connect(self.place.address, autocommit=True, connect_timeout=_CONNECT_S)
        connection = sqlite3.connect(self.place.address, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection


@contextmanager
def _transaction(connection: Any, cursor: Any, *, immediate: bool = False) -> Iterator[Cursor]:
    connection.execute("BEGIN IMMEDIATE" if immediate else "BEGIN")
    try:
        with closing(cursor):
            yield cursor
        connection.execute("COMMIT")
    except BaseException:
        with suppress(Exception):  # a connection that broke has nothing to take back, and the first error is the one
            connection.execute("ROLLBACK")
        raise


def _driver(place: Place) -> ModuleType:
    if place.kind == "sqlite":
        return sqlite3
    try:
        return import_module("psycopg")
    except ModuleNotFoundError as error:
        raise MissingError(f"a PostgreSQL ledger needs {error.name}; run: pip install 'wattshed[postgres]'") from error
