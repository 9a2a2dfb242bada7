"""`wattshed ledger`: look into the gateway's ledger, take it out as Parquet, or delete what is old."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from wattshed.cli.frame import JsonFlag, emit, table
from wattshed.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from wattshed.gateway.ledger.store import SystemSums

EXAMPLES: Final = (
    "Examples: [bold]wattshed ledger show ledger.db[/]  ·  "
    "[bold]wattshed ledger export ledger.db --since 2026-11-01 --out november.parquet[/]  ·  "
    "[bold]wattshed ledger prune postgresql://gw@db/wattshed --keep-days 90[/]"
)

Action = Literal["show", "export", "prune"]


def command(
    action: Annotated[Action, typer.Argument(help="Sum up by system, write rows as Parquet, or delete old rows.")],
    ledger: Annotated[str, typer.Argument(metavar="LEDGER", help="SQLite file, or URL as in the gateway's file.")],
    since: Annotated[str | None, typer.Option(metavar="TIME", help="First instant, ISO 8601; UTC if no zone.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Instant after the last.")] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file that export writes.")] = None,
    keep_days: Annotated[float | None, typer.Option(min=0, help="Days of rows that prune leaves.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Show, export or prune the ledger that a gateway keeps of its requests; the gateway may go on meanwhile."""
    period = instant("--since", since), instant("--until", until)
    _refuse_strays(action, {"--out": out}, "export")
    _refuse_strays(action, {"--keep-days": keep_days}, "prune")
    if action == "export":
        _export(ledger, period, out or Path("ledger.parquet"), as_json=json_)
    elif action == "prune":
        _refuse_strays("prune", {"--since": since, "--until": until}, "show and export")
        _prune(ledger, keep_days, as_json=json_)
    else:
        _sum_up(ledger, period, as_json=json_)


def _sum_up(ledger: str, period: tuple[datetime | None, datetime | None], *, as_json: bool) -> None:
    from wattshed.gateway.ledger.store import opened

    with opened(ledger) as store:
        sums = store.sums(*period)
    document = {"ledger": store.place, "systems": [asdict(one) for one in sums]}
    emit(document, as_json=as_json, show=lambda console: _show(console, sums))


def _export(ledger: str, period: tuple[datetime | None, datetime | None], out: Path, *, as_json: bool) -> None:
    from wattshed.cli.ledger_parquet import write_parquet
    from wattshed.gateway.ledger.store import opened

    with opened(ledger) as store:
        rows = write_parquet(store.rows(*period), out)
    emit({"file": str(out), "rows": rows}, as_json=as_json, show=lambda console: _wrote(console, rows, out))


def _prune(ledger: str, keep_days: float | None, *, as_json: bool) -> None:
    from wattshed.gateway.ledger.store import opened

    if keep_days is None:
        raise UsageError("prune deletes rows for good; say with --keep-days how many days to leave")
    try:
        before = datetime.now(UTC) - timedelta(days=keep_days)
    except OverflowError as error:
        raise UsageError(f"--keep-days {keep_days:g} reaches back before the calendar; give fewer") from error
    with opened(ledger) as store:
        deleted = store.prune(before)
    emit({"deleted": deleted}, as_json=as_json, show=lambda console: console.print(f"deleted {deleted} rows"))


def _show(console: "Console", sums: "list[SystemSums]") -> None:
    if not sums:
        console.print("no request is in the ledger, or none of this time")
        return
    headers = ("requests", "answered", "input\ntokens", "output\ntokens", "joules", "saved", "wasted")
    shown = table(
        "Requests by system", "system", *headers, "metered\nrequests", "joules by\nmeter", "predicted\nfor them"
    )
    for one in sums:
        energies_j = (one.hindsight_j, one.saved_j, one.wasted_j)
        shown.add_row(
            one.system or "(none)",
            str(one.requests),
            str(one.answered),
            *(_number(tokens) for tokens in (one.input_tokens, one.output_tokens)),
            *(_number(energy_j) for energy_j in energies_j),
            str(one.attributed_requests),
            _number(one.attributed_j),
            _number(one.metered_hindsight_j),
        )
    console.print(shown)
    console.print("joules: predicted for the tokens that came; saved: against the baseline's system, by prediction;")
    console.print("by meter: attributed to requests from the joules that their node's agent counted.")


def _wrote(console: "Console", rows: int, out: Path) -> None:
    console.print(f"wrote {rows} rows to {out}", markup=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def instant(flag: str, given: str | None) -> datetime | None:
    """An instant in ISO 8601; UTC where it names no zone."""
    if given is None:
        return None
    try:
        at = datetime.fromisoformat(given)
    except ValueError as error:
        raise UsageError(f"{flag} takes a time such as 2026-11-23 or 2026-11-23T12:00+01:00, got {given!r}") from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _refuse_strays(action: str, given: "dict[str, object]", where: str) -> None:
    """`UsageError` for a flag that means nothing to this action."""
    for flag, value in given.items():
        if value is not None and action not in where.split(" and "):
            raise UsageError(f"{flag} is for {where}, and {action} takes none; leave it out")
