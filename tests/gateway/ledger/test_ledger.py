"""The ledger takes rows at once, writes them from a thread, and outlives whatever its disk does."""

import contextlib
import logging
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest

from tests.gateway.ledger.postgres import postgres_url
from wattshed.domain.schema import LEDGER, LEDGER_VERSION
from wattshed.errors import InputError, MissingError, UsageError
from wattshed.gateway.ledger.database import Database, Place
from wattshed.gateway.ledger.ledger import CandidateCost, Ledger, LedgerError, Pace, Row, Settlement, Written
from wattshed.gateway.ledger.store import MOST_TEXT, STEPS, TABLE, LedgerStore, open_store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
QUICK = Pace(batch_s=0.01)
FULL = Row(
    request="r1",
    arrived_at=NOON,
    client_request="theirs",
    key="team-a",
    model="llama",
    streamed=True,
    status=200,
    system="a100",
    lam=0.5,
    candidates=(CandidateCost("a100", 12.5, 0.5), CandidateCost("m1", None, None)),
    attempts=1,
    runtime_s=1.5,
    input_tokens=10,
    output_tokens=20,
    extrapolated=False,
    hindsight_energy_j=10.0,
    baseline_energy_j=14.0,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for a ledger in each database; PostgreSQL where its programs and driver are."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    found: str = request.getfixturevalue("postgres")
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """A PostgreSQL server, and a fresh database of it at each call."""
    with postgres_url(tmp_path_factory.mktemp("postgres")) as fresh:
        yield fresh


@pytest.fixture
def postgres(server: Callable[[], str]) -> str:
    """The URL of an empty database."""
    return server()


@contextlib.contextmanager
def opened(url: str) -> Iterator[LedgerStore]:
    """A store that is closed at the end."""
    store = open_store(url)
    try:
        yield store
    finally:
        store.close()


def wait_until(done: Callable[[], bool]) -> None:
    """Wait for what a thread does, for at most five seconds."""
    until_s = time.monotonic() + 5
    while not done():
        assert time.monotonic() < until_s, "it did not happen within 5 s"
        time.sleep(0.002)


def all_rows(store: LedgerStore) -> list[Row]:
    """Every row, in order of arrival."""
    return [row for part in store.rows() for row in part]


@dataclass
class FakeStore:
    """Keeps rows in a list; fails while `broken`, and blocks nobody."""

    broken: LedgerError | RuntimeError | None = None
    kept: list[Row] = field(default_factory=list)
    pruned: list[datetime] = field(default_factory=list)
    closed: bool = False

    def write(self, rows: Sequence[Row], settlements: Sequence[Settlement]) -> Written:
        """Keep them or fail."""
        if self.broken is not None:
            raise self.broken
        self.kept.extend(rows)
        return Written(len(rows), len(settlements), 0)

    def prune(self, before: datetime) -> int:
        """Remember what was asked."""
        self.pruned.append(before)
        return 0

    def close(self) -> None:
        """Count."""
        self.closed = True


def test_a_row_is_the_schemas() -> None:
    """Row, the table of the schema and the database have the same columns in the same order."""
    names = [column.name for column in LEDGER]

    assert list(Row._fields) == names
    assert len(STEPS) == LEDGER_VERSION


def test_rows_come_back_as_they_went(url: str) -> None:
    """Every kind of value survives the database; a row without numbers has none, and never zeros."""
    empty = Row("r2", NOON + timedelta(microseconds=1), outcome="refused")
    with opened(url) as store:
        written = store.write([empty, FULL], [])

        assert written == Written(2, 0, 0)
        assert all_rows(store) == [FULL, empty]


def test_instants_sort_as_text(tmp_path: Path) -> None:
    """SQLite keeps instants in UTC to the microsecond, whole seconds and other zones too, in text of one width."""
    zone = timezone(timedelta(hours=2))
    instants = [NOON, NOON.astimezone(zone) + timedelta(microseconds=7), NOON + timedelta(seconds=1)]
    with opened(str(tmp_path / "ledger.sqlite")) as store:
        store.write([FULL._replace(request=str(number), arrived_at=at) for number, at in enumerate(instants)], [])

    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as connection:
        texts = [text for (text,) in connection.execute("SELECT arrived_at FROM wattshed_requests ORDER BY request")]

    assert texts == [at.astimezone(UTC).isoformat(timespec="microseconds") for at in instants] == sorted(texts)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_every_row_of_a_batch_is_written(url: str, count: int) -> None:
    """However many rows a batch has, each is written once, and a second writing of it changes nothing."""
    rows = [FULL._replace(request=f"r{number:03}", runtime_s=float(number)) for number in range(count)]
    with opened(url) as store:
        for _ in range(2):
            store.write(rows, [])

        assert all_rows(store) == rows


def test_one_bad_row_of_many_is_left_out(url: str) -> None:
    """A row that no database takes costs the others of its statement nothing."""
    rows = [FULL._replace(request=f"r{number:03}") for number in range(150)]
    bad = FULL._replace(request="bad", model=None)  # type: ignore[arg-type]  # a slip of ours
    with opened(url) as store:
        written = store.write([*rows[:70], bad, *rows[70:]], [])

        assert (written.rows, written.refused) == (150, 1)
        assert all_rows(store) == rows


def test_long_texts_are_cut(url: str) -> None:
    """Texts that clients choose take no more room than is worth keeping."""
    with opened(url) as store:
        store.write([FULL._replace(model="m" * 1000, choice="c" * 1000)], [])

        (row,) = all_rows(store)

    assert (row.model, row.choice) == ("m" * MOST_TEXT, "c" * MOST_TEXT)


def test_joules_find_their_row_later(url: str) -> None:
    """A settlement updates the row of its request; one for a row that is not there changes nothing."""
    with opened(url) as store:
        store.write([FULL, FULL._replace(request="r2")], [])

        late = [Settlement("r1", 9.5, 2.0, None), Settlement("r2", None, None, "agent_gone")]
        written = store.write([], [*late, Settlement("gone", 1.0, 0.0, None)])

        assert written.settled in (2, 3)
        found = [(row.attributed_energy_j, row.attributed_idle_energy_j, row.energy_reason) for row in all_rows(store)]
        assert found == [(9.5, 2.0, None), (None, None, "agent_gone")]


def test_a_row_written_twice_is_there_once(url: str) -> None:
    """A batch whose commit was lost on the way back may be written again."""
    with opened(url) as store:
        store.write([FULL], [])
        store.write([FULL, FULL._replace(request="r2")], [])

        assert [row.request for row in all_rows(store)] == ["r1", "r2"]


def test_what_no_database_holds_is_mended_or_left_out(url: str) -> None:
    """Lone surrogates, NULs and huge caps, all of a client's making, cost no other row its place."""
    odd = FULL._replace(request="odd", model="a\ud800b\0c", most_output_tokens=10**30)
    with opened(url) as store:
        written = store.write([FULL, odd, Row("none", NOON, model=None)], [Settlement("r1", 1.0, 0.0, None)])  # type: ignore[arg-type]  # a slip of ours

        assert (written.rows, written.refused) == (2, 1)
        assert {row.request: (row.model, row.attributed_energy_j) for row in all_rows(store)} == {
            "odd": ("a?bc", None),
            "r1": ("llama", 1.0),
        }


def test_retention_deletes_what_is_older(url: str) -> None:
    """Rows before the instant go, and no other."""
    with opened(url) as store:
        store.write([FULL, FULL._replace(request="new", arrived_at=NOON + timedelta(hours=1))], [])

        assert store.prune(NOON + timedelta(minutes=1)) == 1
        assert [row.request for row in all_rows(store)] == ["new"]


def test_sums_add_only_what_is_known(url: str) -> None:
    """Sums are over rows that have the number; where none has there is no sum."""
    bare = FULL._replace(request="bare", hindsight_energy_j=None, baseline_energy_j=None, outcome="failed")
    with opened(url) as store:
        store.write([FULL, bare, FULL._replace(request="r3", system=None)], [])

        by_system = {sums.system: sums for sums in store.sums()}

    assert (by_system["a100"].requests, by_system["a100"].answered) == (2, 1)
    assert (by_system["a100"].hindsight_j, by_system["a100"].saved_j, by_system["a100"].attributed_j) == (10, 4, None)
    assert by_system[None].input_tokens == 10


def test_a_period_is_half_open(url: str) -> None:
    """`since` is in the period and `until` is not, in whichever zone they are given."""
    second = FULL._replace(request="r2", arrived_at=NOON + timedelta(seconds=1))
    with opened(url) as store:
        store.write([FULL, second], [])

        (part,) = store.rows(since=NOON, until=second.arrived_at)

    assert [row.request for row in part] == ["r1"]


def test_an_old_ledger_is_mended(url: str) -> None:
    """Steps that are due run once, in order, and keep the rows; steps that were taken are not taken again."""
    with opened(url) as store:
        store.write([FULL], [])
    added = (*STEPS, (f"ALTER TABLE {TABLE} ADD COLUMN mood TEXT", f"UPDATE {TABLE} SET mood = 'good'"))

    for _ in range(2):
        open_store(url, steps=added).close()

    [[mood]] = next(Database(Place.of(url)).parts(f"SELECT mood FROM {TABLE}", ()))
    assert mood == "good"


def test_a_step_that_fails_changes_nothing(url: str) -> None:
    """A migration is taken whole or not at all: the ledger stays as it was and opens as before."""
    with opened(url) as store:
        store.write([FULL], [])
    broken = (*STEPS, (f"ALTER TABLE {TABLE} ADD COLUMN mood TEXT", "NO SUCH STATEMENT"))

    with pytest.raises(LedgerError):
        open_store(url, steps=broken)

    with opened(url) as store:
        assert all_rows(store) == [FULL]
        open_store(url, steps=(*STEPS, (f"ALTER TABLE {TABLE} ADD COLUMN mood TEXT",))).close()


def test_a_newer_ledger_is_refused(url: str) -> None:
    """A gateway never writes into a table that it does not know."""
    open_store(url, steps=(*STEPS, ())).close()

    with pytest.raises(InputError, match="version 3, and this Wattshed knows versions up to 2; install"):
        open_store(url)


@pytest.mark.parametrize("ledger", ["mysql://host/db", "://", "sqlite://host:x/y"])
def test_other_urls_are_refused(ledger: str) -> None:
    """A ledger is SQLite or PostgreSQL."""
    with pytest.raises(UsageError, match="ledger"):
        open_store(ledger)


def test_a_place_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """A file that is no database, a folder that is not there and a ledger to be read that is not there each say so."""
    (tmp_path / "notes.txt").write_text("dear diary, " * 100)

    with pytest.raises(InputError, match=r"notes\.txt: is no ledger; give another file"):
        open_store(str(tmp_path / "notes.txt"))
    with pytest.raises(LedgerError, match="folder or server"):
        open_store(str(tmp_path / "nowhere" / "ledger.db"))
    with pytest.raises(MissingError, match="no such ledger"):
        open_store(str(tmp_path / "typo.db"), new=False)


def test_no_password_is_shown() -> None:
    """A server that does not answer is named without the password of its URL."""
    pytest.importorskip("psycopg")

    with pytest.raises(LedgerError) as raised:
        open_store("postgresql://me:secret@127.0.0.1:9/ledger")

    assert raised.value.reason == "unreachable"
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("ledger", "shown"),
    [
        ("postgresql+psycopg://me:a:b/c@host/ledger", "postgresql://me:***@host/ledger"),
        (
            "postgresql://me@host/ledger?password=secret&sslmode=require",
            "postgresql://me@host/ledger?password=***&sslmode=require",
        ),
        ("postgresql://host:5432/ledger", "postgresql://host:5432/ledger"),
        ("sqlite:////var/ledger.db", "/var/ledger.db"),
        ("here/ledger.db", "here/ledger.db"),
    ],
)
def test_a_place_is_told_without_its_password(ledger: str, shown: str) -> None:
    """Wherever a URL may bear a password, people see three stars; a path is shown as it is."""
    assert str(Place.of(ledger)) == shown


def test_a_server_that_was_restarted_is_found_again(postgres: str) -> None:
    """The batch that meets the broken connection fails and is kept; the next one is written over a new connection."""
    with opened(postgres) as store, opened(postgres) as other:
        store.write([FULL], [])
        with other._database.transaction() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

        with pytest.raises(LedgerError, match="terminating"):
            store.write([FULL._replace(request="r2")], [])
        store.write([FULL._replace(request="r2")], [])

        assert [row.request for row in all_rows(store)] == ["r1", "r2"]


def test_rows_are_written_within_a_second(tmp_path: Path) -> None:
    """A row that was appended is committed, for any reader, after one batch."""
    store = open_store(str(tmp_path / "ledger.db"))
    ledger = Ledger(store)
    ledger.append(FULL)

    started_s = time.monotonic()
    with opened(str(tmp_path / "ledger.db")) as reader:
        wait_until(lambda: bool(all_rows(reader)))

    assert time.monotonic() - started_s < 1
    assert ledger.close() == 0


def test_a_locked_ledger_is_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While another process holds the file rows wait and failures are counted; then all of them are written."""
    path = tmp_path / "ledger.db"
    store = open_store(str(path))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder, caplog.at_level(logging.ERROR):
        holder.execute("BEGIN EXCLUSIVE")
        ledger = Ledger(store, QUICK)
        ledger.append(FULL)
        wait_until(lambda: ledger.state().failures["locked"] >= 1)
        held = ledger.state()
        holder.execute("ROLLBACK")

        wait_until(lambda: ledger.state().results["written"] == 1)

    assert held.waiting == 1
    assert held.problem is not None
    assert "end the process that holds it" in held.problem
    assert ledger.state().problem is None
    assert ledger.close() == 0


def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    """Where the disk is full rows wait; when there is room again they are written, each once."""
    store = open_store(str(tmp_path / "ledger.db"))
    pages = _limit_pages(store, 0)
    ledger = Ledger(store, QUICK)
    rows = [FULL._replace(request=f"r{number}", choice="x" * 300) for number in range(200)]
    for row in rows:
        ledger.append(row)

    wait_until(lambda: ledger.state().failures["disk_full"] >= 1)
    _limit_pages(store, pages + 1000)
    wait_until(lambda: ledger.state().results["written"] == 200)

    assert sorted(row.request for row in all_rows(store)) == sorted(row.request for row in rows)
    ledger.close()


def test_a_crash_loses_what_was_not_committed_and_no_more(tmp_path: Path) -> None:
    """After kill -9 the ledger opens again and holds whole batches: all that were appended a second before."""
    path = tmp_path / "ledger.db"
    script = f"""
        import os, signal, time
        from datetime import UTC, datetime
        from wattshed.gateway.ledger.ledger import Ledger, Row
        from wattshed.gateway.ledger.store import open_store
        ledger = Ledger(open_store({str(path)!r}))
        for number in range(500):
            ledger.append(Row(f"old{{number}}", datetime.now(UTC)))
        time.sleep(1)
        for number in range(500):
            ledger.append(Row(f"new{{number}}", datetime.now(UTC)))
        os.kill(os.getpid(), signal.SIGKILL)
    """

    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False)

    with opened(str(path)) as store:
        names = {row.request for row in all_rows(store)}
    assert ran.returncode == -9, ran.stderr
    assert {f"old{number}" for number in range(500)} <= names
    assert len(names) in (500, 1000)


@pytest.mark.parametrize("broken", [LedgerError("disk_full", "full"), RuntimeError("a driver's bug")])
def test_append_never_fails_and_never_grows_without_end(broken: LedgerError | RuntimeError) -> None:
    """With a store that takes nothing, rows beyond the bound are dropped and counted, and nobody is told by error."""
    store = FakeStore(broken=broken)
    ledger = Ledger(store, Pace(batch_s=0.01, most_waiting=10))

    for number in range(25):
        ledger.append(Row(str(number), NOON))
    ledger.settle(Settlement("1", 1.0, 0.0, None))
    wait_until(lambda: sum(ledger.state().failures.values()) > 0)

    state = ledger.state()
    assert (state.waiting, state.results["dropped"], state.results["written"]) == (10, 16, 0)
    assert ledger.close() == 10
    assert store.closed


def test_old_rows_go_by_themselves() -> None:
    """With a retention the thread prunes at once and then once in a while, by the clock of the day."""
    store = FakeStore()
    ledger = Ledger(store, Pace(batch_s=0.005, keep_s=60.0), utc=lambda: NOON)

    wait_until(lambda: bool(store.pruned))
    ledger.close()

    assert store.pruned == [NOON - timedelta(seconds=60)]


def test_rows_that_come_while_others_are_written_wait_for_the_next_batch() -> None:
    """Requests that never cease bring a transaction a batch, and not one for every few rows."""
    began_s: list[float] = []

    class Busy(FakeStore):
        """A row comes with every write."""

        def write(self, rows: Sequence[Row], settlements: Sequence[Settlement]) -> Written:
            began_s.append(time.monotonic())
            if len(began_s) < 4:
                ledger.append(FULL)
            return super().write(rows, settlements)

    store = Busy()
    ledger = Ledger(store, Pace(batch_s=0.05))
    ledger.append(FULL)
    wait_until(lambda: len(store.kept) == 4)

    assert ledger.close() == 0
    assert all(later - earlier >= 0.05 for earlier, later in pairwise(began_s))


def test_appending_is_quick(record_property: Callable[[str, object], None]) -> None:
    """An append costs the event loop less than 5 us."""
    store = FakeStore()
    ledger = Ledger(store, Pace(batch_s=60))
    best_s = float("inf")

    for _ in range(5):
        started_s = time.perf_counter()
        for _ in range(2000):
            ledger.append(FULL)
        best_s = min(best_s, (time.perf_counter() - started_s) / 2000)
    ledger.close()

    record_property("append_s", best_s)
    assert best_s < 5e-6


def _limit_pages(store: LedgerStore, pages: int) -> int:
    """Let the file grow to so many pages, or no more than it is; SQLite calls the rest a full disk. Its pages now."""
    with store._database.transaction() as cursor:  # over the one connection, so the next batch meets this limit
        cursor.execute("PRAGMA page_count")
        now = int(str(cursor.fetchmany(1)[0][0]))
        cursor.execute(f"PRAGMA max_page_count={max(pages, now)}")
    return now
