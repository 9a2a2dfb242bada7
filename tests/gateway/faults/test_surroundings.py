"""What stands around the gateway fails: the ledger's disk, a node's agent, the clocks."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.gateway.faults.play import Hands, core_of, heard, metered
from tests.gateway.metering.test_agent import TOKEN, FakeMeter
from tests.gateway.scene import Scene, played
from tests.gateway.wires import until
from wattshed.gateway import story
from wattshed.gateway.ledger.ledger import Ledger, Pace, Settlement
from wattshed.gateway.ledger.store import open_store
from wattshed.gateway.metering.agent import Agent
from wattshed.gateway.wire.server import Server

FOREVER_S = 3600.0


def test_a_locked_ledger_and_a_full_disk_hold_up_nobody(tmp_path: Path) -> None:
    """Requests are answered while no row can be written; the rows wait, and are written once they can be."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(open_store(f"sqlite:///{path}"), Pace(batch_s=0.01))

    async def play(at: Scene) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            said = [await at.ask() for _ in range(5)]
            await until(lambda: ledger.state().failures["locked"] > 0)
            page = await at.send("GET", "/metrics")

        assert [one.status for one in said] == [200] * 5
        assert 'wattshed_ledger_failures_total{failure="locked"}' in page.body.decode()
        await until(lambda: ledger.state().results["written"] == 5)

    played(play, ledger=ledger)
    assert ledger.close() == 0


def test_an_agent_that_vanishes_leaves_a_reason_and_no_joules() -> None:
    """With its agent the joules of a request come from the meter; without it requests go on and the row says why."""
    hands = Hands()

    async def play(at: Scene) -> None:
        listening, settled = (
            Server(Agent(FakeMeter(hands), session="one", token=TOKEN, now_s=hands).answering),
            list[Settlement](),
        )
        url = f"http://127.0.0.1:{await listening.start('127.0.0.1', 0)}"
        at.gateway.core = core_of(metered(at.gateway.core.settings, url), hands)
        at.gateway.tell = heard(at.gateway.tell, settled)  # type: ignore[method-assign]  # listens
        [polling] = at.gateway._pollings(at.gateway.core)

        for _ in range(3):
            await polling.once()
            hands.ahead_s += 1.0
            await at.ask()
        await polling.once()
        await listening.drain(0)
        said = await at.ask()
        for _ in range(3):
            hands.ahead_s += 60.0
            await polling.once()

        assert said.status == 200
        assert [one.reason for one in settled] == [None, None, None, "agent_gone"]
        assert all((one.energy_j or 0) > 0 for one in settled[:3])
        assert settled[3].energy_j is None
        assert [one.request for one in settled] == [row.request for row in at.rows]

    played(play, now_s=hands)


def test_the_wall_clock_may_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durations are of the monotonic clock: a wall clock that jumps back between two looks at it changes none."""
    steps = iter(datetime(2026, 1, 1, tzinfo=UTC) - timedelta(hours=hour) for hour in range(10))

    class Stepping(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Stepping":
            return cls.fromisoformat(next(steps).isoformat())

    async def play(at: Scene) -> None:
        monkeypatch.setattr(story, "datetime", Stepping)
        for stream in (False, True):
            assert (await at.ask(stream=stream)).status == 200

        assert at.rows[0].arrived_at - at.rows[1].arrived_at == timedelta(hours=1)
        assert all(0 < row.runtime_s < 5 for row in at.rows)

    played(play)


def test_a_machine_that_slept_wakes_up_in_order() -> None:
    """A monotonic clock that leaps costs kept connections, and at most the requests of that moment."""
    hands = Hands()

    async def play(at: Scene) -> None:
        assert (await at.ask()).status == 200
        hands.ahead_s += FOREVER_S

        assert (await at.ask()).status == 200
        assert [row.attempts for row in at.rows] == [1, 1]

    played(play, now_s=hands)
