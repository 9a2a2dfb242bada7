"""`wattshed plan --capacity`: what it prints, writes and refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FLEET = "name: lab\nmodel: Llama-2 (7B)\nsystems:\n  - system: M1-Pro\n    name: mac\n  - system: Swing AMD+A100\n"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A Mac and an A100, one slot each."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return path


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A hundred queries, two a second."""
    path = tmp_path / "trace.csv"
    rows = [f"{16 + k % 5},{20 + k % 7},{k / 2}" for k in range(100)]
    path.write_text("input_tokens,output_tokens,arrival_s\n" + "\n".join(rows) + "\n")
    return path


def test_the_horizon_is_that_of_the_arrivals(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """100 queries over 49.5 s do not fit; the message says what is missing, and --horizon-s gives them more time."""
    refused = wattshed("plan", "--fleet", fleet, "--workload", trace, "--capacity")
    ran = wattshed("plan", "--fleet", fleet, "--workload", trace, "--capacity", "--horizon-s", "200")

    assert refused.exit_code == 2
    assert "the fleet cannot hold the load: for 100 queries its 99 slot-seconds are at least" in refused.err
    assert "more of mac" in refused.err
    assert ran.exit_code == 0


def test_it_prints_what_to_do_what_it_saves_and_what_would_change_it(
    wattshed: Callable[..., Any], fleet: Path, trace: Path
) -> None:
    """Shares, the saving with interval and boundary, slot prices, other rules, and what would change its mind."""
    said = wattshed("plan", "--fleet", fleet, "--workload", trace, "--capacity", "--horizon-s", "200").out

    for part in (
        "Place 100 queries of trace",
        "by least cost at lambda 1 within capacity: ",
        "95 % interval",
        "evenly busy",
        "Boundary: GPU + CPU as billed",
        "a slot-second is worth",
        "keeps capacity",
        "The plan is optimal for lambda from",
        "One more replica of mac",
        "Certificate: no assignment costs less",
        " J, the optimum costs ",
        "What it costs at least not to",
    ):
        assert part in said


def test_json_holds_prices_a_certificate_and_the_front(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """Prices by system, a gap of nothing, no system above its capacity, and the plan without capacity beside it."""
    document = wattshed(
        "plan", "--fleet", fleet, "--workload", trace, "--capacity", "--horizon-s", "200", "--json"
    ).document

    capacity = document["capacity"]
    assert set(document["prices"]) == {"mac", "Swing AMD+A100"}
    assert document["prices"]["mac"] > 0
    assert capacity["certificate"]["gap"] <= 1e-9
    assert all(system["utilisation"] <= 1 + 1e-9 for system in capacity["systems"])
    assert capacity["savings"][0]["baseline"] == "evenly busy"
    assert capacity["front"]["exchange_w"][0] == 0
    assert "optimum" in document["plans"]


def test_files_hold_the_plan_under_capacity(
    wattshed: Callable[..., Any], fleet: Path, trace: Path, tmp_path: Path
) -> None:
    """placement.csv has whole queries that add up, plan.json the prices, and the page a section on capacity."""
    out = tmp_path / "out"

    wattshed("plan", "--fleet", fleet, "--workload", trace, "--capacity", "--horizon-s", "200", "--out", out)

    rows = [line.split(",") for line in (out / "placement.csv").read_text().splitlines()[1:]]
    assert sum(int(row[2]) for row in rows) == 100
    assert {row[3] for row in rows} == {"mac", "Swing AMD+A100"}
    assert json.loads((out / "plan.json").read_text())["prices"]
    page = (out / "report.html").read_text()
    assert "What to do within capacity" in page
    assert "At infinite capacity: What it saves" in page


def test_a_longest_runtime_moves_slow_queries(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """--max-runtime-s works without capacity too, and says how many queries it ruled out where."""
    flags = ("--fleet", fleet, "--workload", trace, "--max-runtime-s", "2.5")

    document = wattshed("plan", *flags, "--json").document
    said = wattshed("plan", *flags).out

    mac = document["ruled_out"][0]
    assert mac["system"] == "mac"
    assert f"and so must go elsewhere: {mac['queries']} on mac" in said


def test_without_the_flags_nothing_changes(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """A plan without --capacity and limits has none of their keys."""
    document = wattshed("plan", "--fleet", fleet, "--workload", trace, "--json").document

    assert set(document) == {"fleet", "workload", "objective", "boundary", "plans", "front", "changes", "files"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--horizon-s", "60"), "give --capacity as well"),
        (("--capacity", "--horizon-s", "0"), "--horizon-s wants seconds above 0"),
        (("--max-runtime-s", "-1"), "--max-runtime-s wants seconds above 0"),
        (("--max-runtime-s", "inf"), "--max-runtime-s wants a number of seconds that comes to an end"),
        (("--max-runtime-s", "0.01"), "queries take more than 0.01 s on every system"),
    ],
)
def test_limits_that_make_no_sense_are_refused(
    wattshed: Callable[..., Any], fleet: Path, trace: Path, flags: tuple[str, ...], message: str
) -> None:
    """One line on stderr with the flag and the fix."""
    ran = wattshed("plan", "--fleet", fleet, "--workload", trace, *flags)

    assert ran.exit_code == 2
    assert message in ran.err


def test_a_workload_without_arrivals_needs_a_horizon(wattshed: Callable[..., Any], fleet: Path) -> None:
    """Nobody can tell over what time slots are counted."""
    ran = wattshed("plan", "--fleet", fleet, "--workload", "bundled:alpaca", "--capacity")

    assert ran.exit_code == 2
    assert "does not say when its queries come" in ran.err


def test_queries_that_all_come_at_once_need_a_horizon(
    wattshed: Callable[..., Any], fleet: Path, tmp_path: Path
) -> None:
    """The workload says when its queries come, only not over what time; the message does not deny it."""
    path = tmp_path / "burst.csv"
    path.write_text("input_tokens,output_tokens,arrival_s\n32,32,5\n16,8,5\n")

    ran = wattshed("plan", "--fleet", fleet, "--workload", path, "--capacity")

    assert ran.exit_code == 2
    assert "has them all come at once; give the time" in ran.err
