"""The alarm comes when a machine has left its predictor, soon, once, and not by chance."""

import asyncio
import json
import logging
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from msgspec.structs import replace

from tests.gateway.scene import Scene, scene
from tests.gateway.serving import prefix
from wattshed.gateway.events import Drift, Event, Names, Solo
from wattshed.gateway.ledger.ledger import Settlement
from wattshed.gateway.telemetry.drift import TOGETHER, WINDOW, DriftWatch, by_chance
from wattshed.gateway.telemetry.telemetry import Telemetry
from wattshed.predictors.curve import CurvePredictor

MISFIT = 0.05


def requests(
    predictor: CurvePredictor, number: int, *, factor: float = 1.0, scatter: float = 0.0, seed: int = 0
) -> Iterator[tuple[Solo, Settlement]]:
    """Requests that take `factor` times what is predicted, each with a scatter of its own."""
    rng = np.random.default_rng(seed)
    for one in range(number):
        m, n = (int(tokens) for tokens in rng.integers(1, 500, 2))
        said = predictor.expect(np.array([m]), np.array([n]))
        off = factor * (1 + scatter * rng.standard_normal(2))
        solo = Solo(f"{one}", "m1", "llama", predictor, m, n, float(said.runtime_s[0] * off[0]))
        yield solo, Settlement(f"{one}", float(said.energy_j[0] * off[1]), 0.0, None)


def seen(watch: DriftWatch, told: Iterator[tuple[Solo, Settlement]]) -> None:
    """All of them, and their joules after them."""
    for solo, settlement in told:
        watch.ran(solo)
        watch.counted(settlement)


def test_scatter_of_single_requests_is_no_drift() -> None:
    """2,000 requests, each off by 10 % at random where the predictor vouches for 5 %: no alarm."""
    watch = DriftWatch()

    seen(watch, requests(prefix(misfit=MISFIT), 2000, scatter=0.10))

    assert watch.alarms == ()


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_a_fifth_more_or_less_is_noticed_after_forty_requests(factor: float, caplog: pytest.LogCaptureFixture) -> None:
    """Four checks outside cannot be chance; the log says so once for each quantity."""
    watch, told = DriftWatch(), requests(prefix(misfit=MISFIT), 8 * TOGETHER, factor=factor)

    with caplog.at_level(logging.INFO):
        seen(watch, islice(told, 4 * TOGETHER - 1))
        before = watch.alarms
        seen(watch, told)

    assert before == ()
    assert watch.alarms == (Drift("m1", "llama", "runtime", 8, 8), Drift("m1", "llama", "energy", 8, 8))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


def test_the_alarm_ends_when_the_machine_is_itself_again() -> None:
    """As good checks push the bad ones out of the window, they are no more than chance."""
    watch, predictor = DriftWatch(), prefix(misfit=MISFIT)
    seen(watch, requests(predictor, 100, factor=2.0))
    assert len(watch.alarms) == 2

    seen(watch, requests(predictor, TOGETHER * WINDOW))

    assert watch.alarms == ()


def test_a_new_predictor_starts_with_a_clean_sheet() -> None:
    """After a reload with a refitted file, what was held against the old one is forgotten."""
    watch = DriftWatch()
    seen(watch, requests(prefix(misfit=MISFIT), 100, factor=2.0))

    seen(watch, requests(prefix(2.0, 2.0, misfit=MISFIT), TOGETHER))

    assert watch.alarms == ()


def test_nothing_is_held_against_a_prediction_that_nobody_measured() -> None:
    """Outside the measured range there is no interval to leave; nor is there where no joules came."""
    watch, predictor = DriftWatch(), prefix(misfit=MISFIT)
    for solo, settlement in requests(predictor, 100, factor=3.0):
        watch.ran(replace(solo, input_tokens=5000))
        watch.counted(settlement)

    assert watch.watched == ()


def test_joules_that_never_come_are_not_awaited() -> None:
    """A request without a meter is held against its runtime alone, and nothing is kept for its joules."""
    watch = DriftWatch()

    for solo, _ in requests(prefix(misfit=MISFIT), TOGETHER):
        watch.ran(replace(solo, metered=False))

    assert {quantity for _, _, quantity in watch.watched} == {"runtime"}
    assert not watch._awaited


def test_by_chance_is_the_binomial_tail() -> None:
    """The share of draws with so many outside, as drawn."""
    drawn = np.random.default_rng(0).binomial(100, 0.05, 100_000)

    assert by_chance(10, 100) == pytest.approx(np.mean(drawn >= 10), rel=0.1)
    assert by_chance(0, 7) == pytest.approx(1.0)


def test_false_alarms_are_rare() -> None:
    """Where exactly one check in twenty is outside, fewer than one of 300 machines is accused in 1,000 checks."""
    rng, accused = np.random.default_rng(1), 0
    for _ in range(300):
        outside = (rng.random(1000) < 0.05).astype(int)
        sums = np.cumsum(outside)
        accused += any(
            by_chance(int(sums[at] - (sums[at - WINDOW] if at >= WINDOW else 0)), min(at + 1, WINDOW)) < 1e-5
            for at in range(1000)
        )

    assert accused <= 1


def test_metric_and_telemetry_know() -> None:
    """Checks are counted by side, and the gauge is 1 for what has drifted."""
    telemetry = Telemetry(Names(frozenset({"llama"}), frozenset({"m1"}), frozenset()))
    for solo, settlement in requests(prefix(misfit=MISFIT), 50, factor=3.0):
        telemetry.tell(solo)
        telemetry.tell(settlement)

    page = asyncio.run(telemetry.page()).decode()

    assert 'wattshed_drift_checks_total{quantity="energy",side="above",system="m1"} 5' in page
    assert 'wattshed_drift_alarm{model="llama",quantity="runtime",system="m1"} 1' in page


def test_only_requests_that_were_alone_are_told() -> None:
    """One after the other they are; of those together on a machine none is, and `/ready` shows no drift."""
    solos: list[Solo] = []

    async def play(at: Scene) -> None:
        tell = at.gateway.tell

        def heard(event: Event) -> None:
            solos.extend([event] if isinstance(event, Solo) else [])
            tell(event)

        at.gateway.tell = heard  # listens, and lets everything pass
        for _ in range(3):
            await at.ask()
        alone = len(solos)
        await asyncio.gather(*(at.ask(max_tokens=64) for _ in range(6)))
        ready = (await at.send("GET", "/ready")).json
        assert alone == 3
        assert all(solo.runtime_s > 0 for solo in solos)
        assert json.dumps(ready) == '{"ready": true, "drift": []}'

    async def run() -> None:
        async with scene(speed_up=1000, sent_at_once=4) as at:
            await play(at)

    asyncio.run(run())
    assert len(solos) < 9
