"""`wattshed plan`: the plan, its JSON, its files, and what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FLEET = "name: lab\nmodel: Llama-2 (7B)\nsystems:\n  - system: M1-Pro\n  - system: Swing AMD+A100\n"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A Mac and an A100."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return path


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Two short queries and two long ones."""
    path = tmp_path / "trace.csv"
    path.write_text("input_tokens,output_tokens\n16,16\n16,16\n32,400\n16,600\n")
    return path


def test_plan_places_every_query_and_saves_against_each_system(
    wattshed: Callable[..., Any], fleet: Path, trace: Path
) -> None:
    """Short queries join the M1, long ones the A100; the optimum is no worse than any plan beside it."""
    document = wattshed("plan", "--fleet", fleet, "--workload", trace, "--json").document

    optimum = document["plans"]["optimum"]
    assert [share["queries"] for share in optimum["shares"]] == [2, 2]
    assert [saving["baseline"] for saving in optimum["savings"]] == ["M1-Pro", "Swing AMD+A100"]
    assert optimum["savings"][0]["infeasible_queries"] == 1
    least = min(plan["energy_j"]["value"] for plan in document["plans"].values())
    assert optimum["energy_j"]["value"] == least


def test_plan_writes_a_page_that_opens_offline(
    wattshed: Callable[..., Any], fleet: Path, trace: Path, tmp_path: Path
) -> None:
    """--out writes the page, the plan and who serves what; the page names no address outside itself."""
    out = tmp_path / "out"

    ran = wattshed("plan", "--fleet", fleet, "--workload", trace, "--out", out)

    assert ran.exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["placement.csv", "plan.json", "report.html"]
    page = (out / "report.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    assert page.count("<img") == 5
    assert (out / "placement.csv").read_text().splitlines()[1] == "16,16,2,M1-Pro"


def test_speed_alone_leaves_the_mac_idle(wattshed: Callable[..., Any], fleet: Path, trace: Path) -> None:
    """At lambda 0, or an infinite exchange rate, every query joins the faster A100."""
    by_lambda = wattshed("plan", "--fleet", fleet, "--workload", trace, "--lam", "0", "--json").document
    by_rate = wattshed("plan", "--fleet", fleet, "--workload", trace, "--exchange-w", "inf", "--json").document

    assert [share["queries"] for share in by_lambda["plans"]["optimum"]["shares"]] == [0, 4]
    assert by_rate["plans"]["optimum"]["shares"] == by_lambda["plans"]["optimum"]["shares"]


def test_columns_of_any_name_can_be_planned(wattshed: Callable[..., Any], fleet: Path, tmp_path: Path) -> None:
    """--column maps a file's own names to ours."""
    path = tmp_path / "mine.csv"
    path.write_text("prompt,answer\n16,16\n")
    flags = ("--column", "input_tokens=prompt", "--column", "output_tokens=answer")

    assert wattshed("plan", "--fleet", fleet, "--workload", path, *flags, "--json").document["workload"]["queries"] == 1


def test_a_fleet_of_one_system_is_planned(wattshed: Callable[..., Any], trace: Path, tmp_path: Path) -> None:
    """One system has no threshold to choose; the plan and its page say so."""
    fleet = tmp_path / "one.yaml"
    fleet.write_text("model: Llama-2 (7B)\nsystems:\n  - system: Swing AMD+A100\n")

    ran = wattshed("plan", "--fleet", fleet, "--workload", trace, "--out", tmp_path / "out")

    assert ran.exit_code == 0
    assert "A fleet of one system has no threshold" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--lam", "1.5"), 2, "--lam: lambda lies in [0, 1], got 1.5"),
        (("--exchange-w", "-3"), 2, "--exchange-w: an exchange rate is at least 0 W"),
        (("--lam", "1", "--exchange-w", "3"), 2, "say the same thing twice"),
        (("--column", "input_tokens"), 2, "--column wants OURS=THEIRS"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    wattshed: Callable[..., Any], fleet: Path, trace: Path, flags: tuple[str, ...], code: int, message: str
) -> None:
    """One line on stderr with the flag and the fix, nothing on stdout."""
    ran = wattshed("plan", "--fleet", fleet, "--workload", trace, *flags, "--json")

    assert (ran.exit_code, ran.out) == (code, "")
    assert message in ran.err


def test_a_workload_that_nobody_can_run_is_refused(wattshed: Callable[..., Any], tmp_path: Path, trace: Path) -> None:
    """The M1 alone cannot serve 600 output tokens: exit code 2, with how many and which."""
    fleet = tmp_path / "mac.yaml"
    fleet.write_text("model: Llama-2 (7B)\nsystems:\n  - system: M1-Pro\n")

    ran = wattshed("plan", "--fleet", fleet, "--workload", trace)

    assert ran.exit_code == 2
    assert "no system can serve 1 of 4 queries" in ran.err


def test_a_missing_file_is_exit_code_3(wattshed: Callable[..., Any], fleet: Path) -> None:
    """What is not there is missing, not malformed."""
    assert wattshed("plan", "--fleet", fleet, "--workload", "nowhere.csv").exit_code == 3
