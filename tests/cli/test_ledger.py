"""`wattshed ledger` shows, exports and prunes what a gateway wrote."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from tests.cli.metering import Said, runner
from wattshed.cli import ledger
from wattshed.domain.schema import LEDGER
from wattshed.gateway.ledger.ledger import CandidateCost, Row, Settlement
from wattshed.gateway.ledger.store import open_store

NOW = datetime.now(UTC)
ROW = Row(
    "r1",
    NOW,
    model="llama",
    system="m1",
    attempts=1,
    candidates=(CandidateCost("m1", 10.0, 2.0), CandidateCost("a100", None, None)),
    runtime_s=2.0,
    input_tokens=10,
    output_tokens=20,
    hindsight_energy_j=10.0,
    baseline_energy_j=1234.0,
)
REFUSED = Row("r2", NOW - timedelta(days=2), outcome="refused", status=429)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """`wattshed ledger ARGUMENTS`."""
    monkeypatch.setenv("COLUMNS", "200")
    return runner(ledger.command, capfd)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A ledger of two requests, one of them two days old."""
    path = str(tmp_path / "ledger.db")
    store = open_store(path)
    store.write([ROW, REFUSED], [Settlement("r1", 9.0, 1.0, None)])
    store.close()
    return path


def test_show_sums_up_by_system(run: Callable[..., Said], path: str) -> None:
    """Each system has a line; what is not known says so, and is not 0."""
    words, document = run("show", path), run("show", path, "--json").document

    assert {one["system"]: (one["requests"], one["saved_j"], one["attributed_j"]) for one in document["systems"]} == {
        "m1": (1, 1224.0, 9.0),
        None: (1, None, None),
    }
    assert "1,224" in words.out
    assert "not known" in words.out
    assert "(none)" in words.out


def test_show_keeps_to_a_period(run: Callable[..., Said], path: str) -> None:
    """Since and until cut by arrival; a time without a zone is UTC."""
    since = (NOW - timedelta(hours=1)).replace(tzinfo=None).isoformat()

    assert [one["system"] for one in run("show", path, "--since", since, "--json").document["systems"]] == ["m1"]
    assert [one["system"] for one in run("show", path, "--until", since, "--json").document["systems"]] == [None]


def test_show_says_that_there_was_nothing(run: Callable[..., Said], path: str) -> None:
    """A period without requests is said in words, and not by a table without rows."""
    said = run("show", path, "--since", "2100-01-01")

    assert said.out == "no request is in the ledger, or none of this time\n"


def test_export_writes_every_column(run: Callable[..., Said], path: str, tmp_path: Path) -> None:
    """The Parquet file has the columns of the schema, with their types, in order of arrival."""
    out = tmp_path / "new" / "rows.parquet"

    said = run("export", path, "--out", str(out), "--json")

    rows = pl.read_parquet(out)
    assert said.document == {"file": str(out), "rows": 2}
    assert rows.columns == [column.name for column in LEDGER]
    assert rows["request"].to_list() == ["r2", "r1"]
    assert rows["arrived_at"].to_list() == [REFUSED.arrived_at, NOW]
    assert rows["attributed_energy_j"].to_list() == [None, 9.0]
    assert rows["candidates"].to_list() == [None, '[["m1",10.0,2.0],["a100",null,null]]']
    assert [path.name for path in out.parent.iterdir()] == ["rows.parquet"]


def test_an_empty_ledger_exports_an_empty_table(run: Callable[..., Said], path: str, tmp_path: Path) -> None:
    """A period without rows gives a file with columns and no rows."""
    out = tmp_path / "none.parquet"

    run("export", path, "--out", str(out), "--until", "2020-01-01")

    assert pl.read_parquet(out).shape == (0, len(LEDGER))


def test_prune_deletes_old_rows(run: Callable[..., Said], path: str) -> None:
    """Rows older than the days to keep go, the others stay."""
    assert run("prune", path, "--keep-days", "1", "--json").document == {"deleted": 1}
    assert run("show", path, "--json").document["systems"][0]["requests"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prune",), "say with --keep-days"),
        (("prune", "--keep-days", "1e9"), "reaches back before the calendar"),
        (("prune", "--keep-days", "1", "--since", "2026-01-01"), "--since is for show and export"),
        (("show", "--keep-days", "1"), "--keep-days is for prune"),
        (("show", "--out", "x"), "--out is for export"),
        (("show", "--since", "yesterday"), "--since takes a time such as 2026-11-23"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    run: Callable[..., Said], path: str, arguments: tuple[str, ...], words: str
) -> None:
    """A flag that an action has no use for is no flag to ignore, and nothing is deleted by default."""
    said = run(arguments[0], path, *arguments[1:])

    assert said.exit_code == 2
    assert words in said.err


def test_a_ledger_that_is_not_there_is_not_made(run: Callable[..., Said], tmp_path: Path) -> None:
    """A mistyped path is exit code 3, and no empty ledger appears."""
    said = run("show", str(tmp_path / "typo.db"))

    assert (said.exit_code, list(tmp_path.iterdir())) == (3, [])
    assert "typo.db: no such ledger" in said.err


def test_a_file_that_is_no_ledger_is_refused(run: Callable[..., Said], tmp_path: Path) -> None:
    """Another file is exit code 2."""
    path = tmp_path / "notes.txt"
    path.write_text("dear diary, " * 100)

    said = run("show", str(path))

    assert said.exit_code == 2
    assert "is no ledger" in said.err
