"""What each system of gateway.yaml may say for itself: its time-outs, and its grid."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.scene import scene
from tests.gateway.settings.test_settings import SMALL, defects, read
from wattshed.gateway.demo.faults import Fault
from wattshed.gateway.ledger.ledger import Row
from wattshed.gateway.settings.settings import SystemSettings
from wattshed.gateway.wire.http import UpstreamTimeouts


def with_own(text: str) -> str:
    """The small file whose second system says this, too."""
    return SMALL.replace("context_tokens: 2048\n", f"context_tokens: 2048\n    {text}\n")


def test_time_outs_of_one_system_go_before_the_general_ones(tmp_path: Path) -> None:
    """What a system leaves out is as for all; who says nothing has no time-outs of its own."""
    text = with_own("upstream: {first_byte_s: 9, whole_s: 99}") + "upstream: {silence_s: 7, first_byte_s: 5}\n"

    mac, a100 = read(tmp_path, text).systems

    assert mac.upstream is None
    assert a100.upstream == UpstreamTimeouts(first_byte_s=9.0, silence_s=7.0, whole_s=99.0)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (
            "upstream: {first_bite_s: 1}",
            "'systems[1].upstream.first_bite_s': is an unknown key; did you mean 'first_byte_s'",
        ),
        ("upstream: {whole_s: 0}", "'systems[1].upstream.whole_s': expected greater than 0"),
        ("grid_carbon_g_per_kwh: -1", "'systems[1].grid_carbon_g_per_kwh': expected greater than or equal to 0"),
        ("grid_carbon_g_per_kwh: 0.36", "'systems[1].grid_carbon_g_per_kwh': expected grams, 0 or 1 to 2000, got 0.36"),
        ("grid_carbon_g_per_kwh: 360000", "expected grams, 0 or 1 to 2000, got 360000"),
    ],
)
def test_what_a_system_says_is_checked(own: str, said: str, tmp_path: Path) -> None:
    """A defect has its line and its key."""
    [found] = defects(tmp_path, with_own(own))

    assert found.startswith("gateway.yaml:12, ")
    assert said in found


def test_waking_is_said_of_systems_that_sleep(tmp_path: Path) -> None:
    """What waking takes would be ignored without `sleeps_after_s`, and so it is a defect."""
    [found] = defects(tmp_path, with_own("wake_energy_j: 5"))

    assert found.startswith("gateway.yaml:9, field 'systems[1]': a system that never sleeps need not wake")
    assert read(tmp_path, with_own("wake_energy_j: 5\n    sleeps_after_s: 60")).systems[1].wake_energy_j == 5.0


def test_a_system_is_given_up_in_its_own_time() -> None:
    """A system whose own time-out is short is given up by it, and another one serves."""

    def impatient(system: SystemSettings) -> SystemSettings:
        return replace(system, upstream=UpstreamTimeouts(first_byte_s=0.05)) if system.name == "mac" else system

    async def given() -> tuple[str, float, int]:
        slow = {"mac": Fault("slow", delay_s=30.0)}
        async with scene(faults=slow, each=impatient, upstream=UpstreamTimeouts(first_byte_s=20.0)) as at:
            said = await at.ask()
            return said.header("x-routed-to"), at.rows[0].runtime_s, at.rows[0].attempts

    system, runtime_s, attempts = asyncio.run(given())

    assert (system, attempts) == ("a100", 2)
    assert runtime_s < 10.0


def test_grids_differ(tmp_path: Path) -> None:
    """A system's own grid goes before the general one; inside, grams come with joules."""
    text = with_own("grid_carbon_g_per_kwh: 36") + "grid_carbon_g_per_kwh: 360\n"

    mac, a100 = (system.serves[0].carbon_g_per_j for system in read(tmp_path, text).systems)

    assert [mac, a100] == pytest.approx([1e-4, 1e-5])


@pytest.mark.parametrize("carbon_g_per_kwh", [0.0, 1.0, 1200.0, 2000.0])
def test_any_grid_there_is_may_be_said(carbon_g_per_kwh: float, tmp_path: Path) -> None:
    """From none to the oldest lignite."""
    settings = read(tmp_path, SMALL + f"grid_carbon_g_per_kwh: {carbon_g_per_kwh}\n")

    assert settings.systems[0].serves[0].carbon_g_per_j == pytest.approx(carbon_g_per_kwh / 3.6e6)


@pytest.mark.parametrize("stream", [False, True])
def test_receipt_and_ledger_have_the_grams_of_the_joules(stream: bool) -> None:
    """Where the grid is known, joules come with their carbon; the ledger and the receipt say the same."""

    def gridded(system: SystemSettings) -> SystemSettings:
        return replace(system, serves=tuple(replace(one, carbon_g_per_j=1e-4) for one in system.serves))

    async def given() -> tuple[Any, Row]:
        async with scene(each=gridded) as at:
            said = await at.ask(stream=stream)
            comment = said.body.partition(b": energy ")[2].partition(b"\n")[0]
            receipt = json.loads(comment) if stream else said.json["energy"]
            return receipt, at.rows[0]

    receipt, row = asyncio.run(given())

    assert row.carbon_g == pytest.approx(1e-4 * (row.hindsight_energy_j or 0.0))
    assert receipt["carbon_g_co2eq"] == pytest.approx(row.carbon_g, rel=1e-5)


def test_without_a_grid_there_is_a_reason() -> None:
    """No grams are made up: null, and the code of why."""

    async def given() -> tuple[dict[str, Any], Row]:
        async with scene() as at:
            said = await at.ask()
            return said.json["energy"], at.rows[0]  # type: ignore[return-value]  # an object

    receipt, row = asyncio.run(given())

    assert (receipt["carbon_g_co2eq"], row.carbon_g) == (None, None)
    assert receipt["reasons"]["carbon_g_co2eq"] == "no_carbon_intensity"
