"""`wattshed plan --simulate`: whether waiting changes the verdict of a plan."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FLEET = """\
model: Llama-2 (7B)
systems:
  - {system: M1-Pro, name: mac, count: 2, idle_power_w: 0}
  - {system: Swing AMD+A100, name: a100, idle_power_w: 0}
"""


@pytest.fixture
def plan(tmp_path: Path) -> tuple[str, ...]:
    """A plan of forty queries, one every ten seconds, for two Macs and an A100."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    rows = (f"16,{200 if number % 4 == 3 else 16},{10 * number}" for number in range(40))
    (tmp_path / "trace.csv").write_text("input_tokens,output_tokens,arrival_s\n" + "\n".join(rows) + "\n")
    return "plan", "--fleet", str(tmp_path / "fleet.yaml"), "--workload", str(tmp_path / "trace.csv")


def test_a_plan_that_nobody_waits_for_holds(wattshed: Callable[..., Any], plan: tuple[str, ...]) -> None:
    """Where queries come slowly, the simulation saves what the plan says, to the last digit but rounding."""
    simulation = wattshed(*plan, "--simulate", "--json").document["simulation"]

    assert simulation["verdict"] == "holds"
    assert simulation["baseline"] == "all to a100"
    assert simulation["saving"]["value"] == pytest.approx(simulation["planned_saving"])
    assert simulation["full"] == []


def test_a_system_that_cannot_keep_up_changes_the_verdict(wattshed: Callable[..., Any], plan: tuple[str, ...]) -> None:
    """The same queries a hundred times as fast are more than the Macs can serve, and the plan says so."""
    ran = wattshed(*plan, "--simulate", "--arrivals", "trace*100")

    assert "waits change the verdict: " in ran.out
    assert "plan again with --capacity" in ran.out
    assert "s at the 95th percentile" in ran.out


def test_idling_may_eat_the_saving(wattshed: Callable[..., Any], plan: tuple[str, ...], tmp_path: Path) -> None:
    """An A100 that idles all day draws more than short queries elsewhere can save."""
    text = FLEET.replace("name: a100, idle_power_w: 0", "name: a100, idle_power_w: 400").replace("count: 2", "count: 1")
    (tmp_path / "fleet.yaml").write_text(text)

    simulation = wattshed(*plan, "--simulate", "--json").document["simulation"]
    said = wattshed(*plan, "--simulate").out

    assert simulation["verdict"] == "no_saving"
    assert simulation["saving"]["value"] < 0 < simulation["planned_saving"]
    assert f"it takes {-100 * simulation['saving']['value']:.3g} % more energy than all to a100" in said


def test_arrivals_without_a_simulation_are_refused(wattshed: Callable[..., Any], plan: tuple[str, ...]) -> None:
    """--arrivals alone does nothing, and a process that is none is refused before anything is fitted."""
    alone, none = wattshed(*plan, "--arrivals", "poisson:1"), wattshed(*plan, "--simulate", "--arrivals", "now")

    assert (alone.exit_code, none.exit_code) == (2, 2)
    assert "give --simulate as well" in alone.err
    assert "--arrivals takes trace" in none.err
