"""`wattshed reproduce`, `audit` and `demo`: the paper from end to end through the real commands."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wattshed.datasets.profiles import read_manifest, read_profile, write_profile


def test_reproduce_reports_every_figure(wattshed: Callable[..., Any]) -> None:
    """At most 1e-5 for every figure, both optima at 32, and the claim that no rule computes."""
    document = wattshed("reproduce", "--json").document

    assert document["reproduced"] is True
    assert sum(figure["points"] for figure in document["figures"]) == 604
    assert all(figure["max_relative_difference"] <= 1e-5 for figure in document["figures"])
    assert [saving["threshold_tokens"] for saving in document["savings"]] == [32, 32]
    assert "computed by no published rule" in document["statement"]
    assert "the nearest is 7.67 %" in document["statement"]
    assert len(document["table_1"]) == 3


def test_reproduce_draws_the_five_figures(wattshed: Callable[..., Any], tmp_path: Path) -> None:
    """--out holds a picture a figure and the page."""
    assert wattshed("reproduce", "--out", tmp_path).exit_code == 0

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [*(f"figure-{k}.png" for k in range(1, 6)), "reproduce.html"]


def test_an_altered_profile_is_not_reproduced(wattshed: Callable[..., Any], tmp_path: Path) -> None:
    """Exit code 1 when a trial was changed, and the worst figure named."""
    profile, manifest = read_profile("bundled:wilkins2024"), read_manifest("bundled:wilkins2024")
    trials = [
        replace(t, runtime_s=2 * t.runtime_s) if (t.system.name, t.trial) == ("Swing AMD+A100", 5) else t
        for t in profile.measurements
    ]
    write_profile(replace(profile, measurements=tuple(trials)), manifest, tmp_path / "altered")

    ran = wattshed("reproduce", "--profile", tmp_path / "altered", "--json")

    assert ran.exit_code == 1
    assert ran.document["reproduced"] is False
    assert "differs from the published values" in ran.err


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The audit's JSON, made once through the command in a process of its own."""
    import json
    import subprocess
    import sys

    command = [sys.executable, "-m", "wattshed.cli.main", "audit", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_audit_answers_the_three_questions(audited: Any) -> None:
    """The input threshold raises energy on real pairs, the optimum saves a little, and 40 W change neither answer."""
    answers = [answer["yes"] for answer in audited["answers"]]

    assert answers == [False, True, True, False, True]
    assert -0.23 < audited["answers"][0]["saving"]["value"] < -0.16
    assert 0.02 < audited["answers"][1]["saving"]["value"] < 0.05
    assert "it costs 19.36 % more" in audited["paragraph"]


def test_audit_starts_at_the_published_figures(audited: Any) -> None:
    """The first step of either sweep is the published sum."""
    first = {step["analysis"]: step for step in reversed(audited["steps"])}

    assert first["input"]["saving_against_a100"]["value"] == pytest.approx(0.0820, abs=5e-5)
    assert first["output"]["saving_against_m1"]["value"] == pytest.approx(0.0613, abs=5e-5)


def test_audit_undoes_faults_in_order(audited: Any) -> None:
    """One fault after another, in METHOD's order; then every accounting on real pairs."""
    order = {analysis: [] for analysis in ("input", "output", "pairs")}
    for step in audited["steps"]:
        if step["fault"] not in order[step["analysis"]]:
            order[step["analysis"]].append(step["fault"])

    lengths = ["as published", "fault 4", "fault 3", "fault 1", "fault 2"]
    assert order["input"] == lengths
    assert order["output"] == [*lengths, "fault 5"]
    assert order["pairs"] == ["fault 6", "fault 8", "fault 9", "fault 10", "fault 11"]


def test_no_policy_of_the_audit_beats_the_optimum(audited: Any) -> None:
    """Of all rules on the same systems, model and billing, the per-query optimum uses least energy."""
    for cases in (audited["cases"], audited["host_power"]):
        groups: dict[tuple[object, ...], dict[str, float]] = {}
        for case in cases:
            key = case["model"], case["below_system"], case["above_system"], case["host_power_w"]
            groups.setdefault(key, {})[case["rule"]] = case["energy_j"]["value"]
        for rules in groups.values():
            assert rules["optimum"] <= min(rules.values()) * (1 + 1e-12)


def test_audit_finds_what_the_data_hold(audited: Any) -> None:
    """Ten negative CPU energies, cells with more than 25 trials, intervals too narrow by t/z at six trials."""
    findings = {finding["fault"]: finding for finding in audited["findings"]}

    assert sorted(findings) == [2, 7, 12, 13, 14, 15]
    assert findings[13]["value"] == pytest.approx(2.5706 / 1.96, rel=1e-4)
    assert findings[15]["statement"].startswith("10 trials")


def test_an_audit_survives_any_workload(wattshed: Callable[..., Any], tmp_path: Path) -> None:
    """Where one machine serves everything nobody waits, and the words say so instead of dividing by zero."""
    trace = tmp_path / "long.csv"
    trace.write_text("input_tokens,output_tokens\n3000,200\n")

    document = wattshed("audit", "--workload", trace, "--json").document

    assert document["idle"][0]["break_even_w"] is None
    assert "makes no sure difference" in document["paragraph"]
    assert "idle power does not touch it" in document["paragraph"]


@pytest.mark.timeout(240)
def test_demo_runs_the_whole_chain(wattshed: Callable[..., Any], tmp_path: Path) -> None:
    """The demo reproduces, audits, plans and serves, and names the page that it wrote; all joules are attributed."""
    document = wattshed("demo", "--out", tmp_path, "--requests", 6, "--json").document

    assert Path(document["report"]).stat().st_size > 100_000
    assert document["plan"].startswith("Place 52,002 queries")
    policies = document["replay"]["policies"]
    assert [one["rule"] for one in policies] == ["threshold", "argmin", "informed", "baseline"]
    assert all(one["attributed"] == one["sent"] == 6 for one in policies)
    assert all(one["attributed_energy_j"] == pytest.approx(one["metered_energy_j"], rel=0.05) for one in policies)
