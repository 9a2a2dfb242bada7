"""What databases say when they cannot, as codes of `schema.LEDGER_FAILURES`."""

from typing import Final

from wattshed.gateway.ledger.ledger import LedgerError

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


def failure(error: Exception, place: str) -> LedgerError:
    """What a driver raised as one of `schema.LEDGER_FAILURES`, with what to do."""
    reason = _reason(error)
    said = str(error).strip().splitlines() or ["no reason given"]
    return LedgerError(reason, f"{place}: {said[0]}; {_REMEDIES[reason]}")


def _reason(error: Exception) -> str:
    code, state = getattr(error, "sqlite_errorcode", None), getattr(error, "sqlstate", None)
    if isinstance(code, int):
        return _SQLITE_FAILURES.get(code & 0xFF, "failed")
    known = [reason for start, reason in _POSTGRES_FAILURES.items() if (state or "").startswith(start)]
    unreached = state is None and type(error).__name__ == "OperationalError"  # psycopg: no server answers, or any more
    return known[0] if known else "unreachable" if unreached else "failed"
