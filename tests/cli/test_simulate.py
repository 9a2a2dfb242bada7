"""`wattshed simulate`: policies side by side under load, their files, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from wattshed.cli.reading import Reading
from wattshed.cli.simulate_policies import rules
from wattshed.domain import schema
from wattshed.domain.cost import Objective
from wattshed.policies.priced import Priced

FLEET = """\
model: Llama-2 (7B)
systems:
  - {system: M1-Pro, name: mac, count: 2, most_queued: 3, idle_power_w: 5}
  - {system: Swing AMD+A100, name: a100, idle_power_w: 90}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Two Macs and an A100, one query at a time."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return path


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Forty queries, one every five seconds, every fourth of them long."""
    path = tmp_path / "trace.csv"
    rows = (f"16,{400 if number % 4 == 3 else 16},{5 * number}" for number in range(40))
    path.write_text("input_tokens,output_tokens,arrival_s\n" + "\n".join(rows) + "\n")
    return path


def test_policies_meet_the_same_arrivals(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """Every query has one outcome under each policy, and what they differ in is what the one has beyond the other."""
    document = wattshed(
        "simulate", "--fleet", fleet, "--workload", trace, "--against", "all-to:a100", "--json"
    ).document

    least, alone = document["policies"]["least-cost"], document["policies"]["all-to:a100"]
    assert [system["queries"]["value"] for system in least["systems"]] == [30, 10]
    assert [system["queries"]["value"] for system in alone["systems"]] == [0, 40]
    assert document["differences"]["all-to:a100"]["served_energy_j"]["value"] == pytest.approx(
        least["served_energy_j"]["value"] - alone["served_energy_j"]["value"]
    )
    assert (document["seeds"], document["arrivals"]) == (5, "trace")


def test_the_same_seed_gives_the_same_document(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """A run is repeated by its seed, and another seed brings other arrivals."""
    flags = (
        "--fleet",
        fleet,
        "--workload",
        trace,
        "--arrivals",
        "burst:0.2,3",
        "--queries",
        60,
        "--seeds",
        2,
        "--json",
    )

    one, same, other = (wattshed("simulate", *flags, "--seed", seed).out for seed in (7, 7, 8))

    assert one == same
    assert one != other


def test_files_hold_what_was_said(wattshed: Callable[..., Any], fleet: Path, trace: Path, tmp_path: Path) -> None:
    """--out writes a page that opens offline, the document, and every query of the first seed."""
    out = tmp_path / "out"

    ran = wattshed(
        "simulate", "--fleet", fleet, "--workload", trace, "--policy", "all-to:mac", "--seeds", 2, "--out", out
    )

    assert ran.exit_code == 0
    page, rows = (out / "report.html").read_text(), pl.read_parquet(out / "queries.parquet")
    assert page.count("<img") == 4
    assert "http" not in page.replace("data:image", "")[: page.find("<svg")]
    assert rows.columns == [column.name for column in schema.SIMULATED]
    told = json.loads((out / "simulation.json").read_text())["policies"]["all-to:mac"]
    assert rows["system"].to_list().count("mac") == told["systems"][0]["queries"]["value"] < 40
    waited_s = (rows["finished_at_s"] - rows["arrival_s"]).mean()
    assert waited_s == pytest.approx(told["times"]["runtime_s"]["mean"]["value"])


def test_a_policy_may_tune_itself(wattshed: Callable[..., Any], fleet: Path) -> None:
    """Where one system is asked for more than it has, prices send the rest elsewhere, and waits end."""
    fleet.write_text(FLEET.replace("most_queued: 3, ", ""))
    flags = ("--arrivals", "poisson:0.6", "--queries", 1000, "--seeds", 2, "--against", "self-tuned", "--json")

    found = wattshed("simulate", "--fleet", fleet, "--workload", "bundled:alpaca", *flags).document["policies"]

    wait_s = {name: one["times"]["wait_s"]["mean"]["value"] for name, one in found.items()}
    served = {name: one["systems"][0]["queries"]["value"] for name, one in found.items()}
    assert wait_s["self-tuned"] < wait_s["least-cost"] / 3
    assert served["self-tuned"] < served["least-cost"]


def test_people_read_tables_and_what_qualifies_them(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """The tables name every policy; under them stand the verdict, the boundary and what intervals mean."""
    said = wattshed("simulate", "--fleet", fleet, "--workload", trace, "--against", "round-robin", "--seeds", 2).out

    assert "least-cost against round-robin: energy" in said
    assert "Boundary: GPU + CPU as billed" in said
    assert "Student's t over 2 seeds: the arrivals are the same in all" in said
    assert "A query holds a slot of mac, a100 by itself" in said


def test_prices_come_from_a_plan(fleet: Path, trace: Path, tmp_path: Path) -> None:
    """priced:FILE reads prices and tilts by the names of the systems, in any order."""
    plan = tmp_path / "plan.json"
    prices = {"prices": {"a100": 0.5, "mac": 2}, "tilts": {"a100": 1e-7, "mac": 0}, "objective": {"lam": 0.5}}
    plan.write_text(json.dumps({"fleet": "lab", **prices}))

    (rule,) = rules([f"priced:{plan}"], Reading(str(trace)).evaluator(fleet), Objective(lam=0.5))

    assert rule.policy == Priced(Objective(lam=0.5), (2.0, 0.5), (0.0, 1e-7))


REFUSED = {
    "no prices": (("--policy", "priced"), "wants the plan.json of `wattshed plan --capacity`"),
    "no policy": (("--policy", "cheapest"), "--policy cheapest: is no policy; write least-cost, all-to:NAME"),
    "no system": (("--policy", "all-to:h100"), "no system 'h100'; choose from mac, a100"),
    "half a threshold": (("--policy", "threshold:below=mac,above=a100"), "most_tokens is missing; write"),
    "unknown key": (("--policy", "threshold:below=mac,above=a100,most_tokens=3,a=1"), "a is an unknown key; write"),
    "no name": (("--policy", "all-to"), "system is empty; write"),
    "not a picture": (("--arrivals", "poisson:-1"), "--arrivals poisson:-1: rate_per_s is a positive number"),
    "no pair": (("--policy", "threshold:mac"), "wants each KEY=VALUE once, got 'mac'"),
    "one system twice": (("--policy", "threshold:below=mac,above=mac,most_tokens=3"), "tells two systems apart"),
    "twice": (("--against", "random", "--against", "random"), "name 'random' twice"),
    "no plan": (("--policy", "best threshold on hope"), "no plan is called 'best threshold on hope'; choose from"),
    "no period": (("--policy", "self-tuned:soon"), "seconds between two looks, like self-tuned:10"),
    "no arrivals": (("--arrivals", "now"), "--arrivals takes trace, trace*MULTIPLE"),
    "too many": (("--queries", "41"), "--queries 41 is more than the 40 of the trace"),
    "endless": (("--warm-up-s", "inf"), "--warm-up-s wants a number of seconds that comes to an end"),
}


@pytest.mark.parametrize(("flags", "message"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(
    wattshed: Callable[..., Any], fleet: Path, trace: Path, flags: tuple[str, ...], message: str
) -> None:
    """One line on stderr with the flag and the fix, nothing on stdout."""
    ran = wattshed("simulate", "--fleet", fleet, "--workload", trace, *flags)

    assert (ran.exit_code, ran.out) == (2, "")
    assert message in ran.err


@pytest.mark.parametrize(
    "policy",
    ["optimum", "random", "round-robin", "threshold:below=mac,above=a100,most_tokens=20", "Best threshold on n",
     "product_threshold:below=mac,above=a100,most_product=500",
     "two-thresholds:below=mac,above=a100,most_input_tokens=32,most_output_tokens=32,reading=or"],
)  # fmt: skip
def test_policies_go_by_their_names_in_plans_and_gateways(fleet: Path, trace: Path, policy: str) -> None:
    """Names as `wattshed plan` prints them, kinds and keys as in gateway.yaml, with - or _."""
    (rule,) = rules([policy], Reading(str(trace)).evaluator(fleet), Objective())

    assert rule.text == policy
    assert rule.policy.name
