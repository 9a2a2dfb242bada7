"""`wattshed audit --fleet`: the paper's rules and the line on other machines, across profiles."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattshed.datasets.manifest import Manifest
from wattshed.datasets.profiles import read_profile, write_profile
from wattshed.domain.measurement import Measurement, Profile

FLEET = """\
name: old and new
model: Llama-2 (7B)
channel: gpu
systems:
  - system: M1-Pro
  - system: new (eager)
    name: New
    profile: new
"""


def half(one: Measurement, *, kv_cache: bool) -> Measurement:
    """A trial of the A100 as a new machine with random weights that needs half of the joules."""
    assert one.gpu_energy_j is not None
    engine = f"torch 2 {'graph' if kv_cache else 'eager'}"
    system = replace(one.system, name="new", model="random:llama-2-7b", engine=engine, kv_cache=kv_cache)
    return replace(one, system=system, gpu_energy_j=one.gpu_energy_j / 2)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A Mac of the paper, and half an A100 in a profile of its own, in two engine configurations."""
    paper = read_profile("bundled:wilkins2024")
    a100 = [
        one
        for one in paper.where(lambda t: t.system.label == "Swing AMD+A100 · Llama-2 (7B)").measurements
        if one.experiment not in paper.validation_experiments
    ]
    trials = tuple(half(one, kv_cache=kv_cache) for kv_cache in (False, True) for one in a100)
    manifest = Manifest(name="new", title="t", schema_version=1, source="s", measured="m", licence="l")
    write_profile(Profile("new", trials), manifest, tmp_path / "new")
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return path


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Two short queries and a long one."""
    path = tmp_path / "trace.csv"
    path.write_text("input_tokens,output_tokens\n8,8\n8,8\n512,128\n")
    return path


def test_machines_of_two_profiles_are_compared(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """Every rule on every pair, the plan of least energy and the line, on one boundary."""
    document = wattshed("audit", "--fleet", fleet, "--workload", trace, "--json").document

    assert document["boundary"] == "GPU"
    assert sum(share["queries"] for share in document["shares"]) == 3
    rules = {pair["rule"]: pair["saving_against_best"]["value"] for pair in document["pairs"]}
    assert {"m <= 32", "optimum"} <= set(rules)
    assert rules["optimum"] >= max(rules.values()) - 1e-12
    assert {stretch["system"] for stretch in document["line"]} <= {"M1-Pro", "New"}
    assert max(stretch["last_input_tokens"] for stretch in document["line"]) >= 2048


def test_plan_and_validate_take_the_same_fleet(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """A fleet across profiles can be planned, and is valid."""
    planned = wattshed("plan", "--fleet", fleet, "--workload", trace, "--json").document
    validated = wattshed("validate", fleet)

    assert [share["system"] for share in planned["plans"]["optimum"]["shares"]] == ["M1-Pro", "New"]
    assert validated.exit_code == 0
    assert "M1-Pro, New for Llama-2 (7B), as measured in bundled:wilkins2024 and" in validated.out


def test_the_audit_of_a_fleet_has_a_page(
    wattshed: Callable[..., Any], fleet: Path, trace: Path, tmp_path: Path
) -> None:
    """--out writes one page with the map; people get the tables."""
    ran = wattshed("audit", "--fleet", fleet, "--workload", trace, "--out", tmp_path / "out")

    assert ran.exit_code == 0
    assert "Who serves which input lengths for least" in ran.out
    assert "saved by m <= 32" in ran.out
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "Where the line runs" in page
    assert page.count("<img") == 1


def test_namesakes_are_listed(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """A name that several configurations share is refused with what they are called."""
    fleet.write_text(FLEET.replace("new (eager)", "new"))

    ran = wattshed("audit", "--fleet", fleet, "--workload", trace)

    assert ran.exit_code == 2
    assert "'new' is not in profile bundled:wilkins2024 or" in ran.err
    assert "new (eager)" in ran.err


def test_an_unmeasured_boundary_is_refused(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """Joules that one of the machines was not measured for are not made up."""
    profile = read_profile(fleet.parent / "new")
    manifest = Manifest(name="new", title="t", schema_version=1, source="s", measured="m", licence="l")
    bare = tuple(replace(one, cpu_energy_j=None) for one in profile.measurements)
    write_profile(replace(profile, measurements=bare), manifest, fleet.parent / "new")
    fleet.write_text(FLEET.replace("channel: gpu", "channel: total"))

    ran = wattshed("plan", "--fleet", fleet, "--workload", trace)

    assert ran.exit_code == 2
    assert "has no prefix predictor: 5 cells with total energy are needed, found 0" in ran.err


def test_a_fleet_of_one_is_refused(wattshed: Callable[..., Any], tmp_path: Path) -> None:
    """There is nothing to compare: one line that says what to add, and exit code 2."""
    path = tmp_path / "fleet.yaml"
    path.write_text("model: Llama-2 (7B)\nsystems:\n  - system: M1-Pro\n")

    ran = wattshed("audit", "--fleet", path)

    assert ran.exit_code == 2
    assert "field 'systems': is a fleet of one system, and an audit compares two or more" in ran.err
