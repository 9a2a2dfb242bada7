"""What databases say when they cannot, as codes of `schema.LEDGER_FAILURES`, and where they are, without passwords."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from wattshed.gateway.ledger import LedgerError

_SQLITE_FAILURES: Final = {5: "locked", 6: "locked", 13: "disk_full", 14: "unreachable", 11: "damaged", 26: "damaged"}
"""Primary result codes, https://sqlite.org/rescode.html."""

_POSTGRES_FAILURES: Final = {"53100": "disk_full", "55P03": "locked", "08": "unreachable", "57P": "unreachable"}
"""SQLSTATEs or their beginnings, PostgreSQL 17 manual, appendix A."""

_REMEDIES: Final = {
    "locked": "end the process that holds it",
    "disk_full": "make room on its disk",
    "unreachable": "see that its folder or server is there and lets us in",
    "damaged": "move the file away; a new one is made at the next start",
    "failed": "see the message of the database",
}


def failure(error: SQLAlchemyError, place: str) -> LedgerError:
    """What went wrong as one of `schema.LEDGER_FAILURES`, with what to do."""
    reason = _reason(
        getattr(error, "orig", None), lost=isinstance(error, DatabaseError) and error.connection_invalidated
    )
    said = str(getattr(error, "orig", None) or error).strip().splitlines() or ["no reason given"]
    return LedgerError(reason, f"{place}: {said[0]}; {_REMEDIES[reason]}")


def place_of(url: sa.URL) -> str:
    """Where a ledger is, as people may read it."""
    return str(url.database) if url.drivername == "sqlite" else url.render_as_string(hide_password=True)


def _reason(error: BaseException | None, *, lost: bool) -> str:
    code, state = getattr(error, "sqlite_errorcode", None), getattr(error, "sqlstate", None)
    if isinstance(code, int):
        return _SQLITE_FAILURES.get(code & 0xFF, "failed")
    known = [reason for start, reason in _POSTGRES_FAILURES.items() if (state or "").startswith(start)]
    unreached = lost or (state is None and type(error).__name__ == "OperationalError")  # psycopg: no server answered
    return known[0] if known else "unreachable" if unreached else "failed"
