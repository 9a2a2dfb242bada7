"""What runs come to: figures, their intervals, what is not known, and differences seed by seed."""

import numpy as np
import pytest

from tests.simulator.runs import run
from wattshed.profiler.interval import random_interval
from wattshed.simulator.results import NO_QUERIES, NO_TOKENS, Figure, differences, figure_of, summary, told
from wattshed.simulator.results_comparison import Comparison, Tried
from wattshed.simulator.results_timeline import timeline


def test_every_figure_of_a_run_is_worked_out() -> None:
    """Waits, tokens, joules, shares and rates of three queries that were served and one that was not."""
    known = told(run()).known

    expected = {
        "wait_s.mean": 1.0, "wait_s.p95": 3.0, "ttft_s.p50": 2.0, "runtime_s.p99": 8.0, "runtime_s.mean": 12.5 / 3,
        "tpot_s.mean": (2 / 4 + 3 / 4) / 2, "completed": 3, "turned_away": 1, "lost": 0, "throughput_per_s": 0.3,
        "output_tokens_per_s": 1.1, "served_energy_j": 270, "energy_j": 270 + 10 + 19.5 * 7,
        "energy_per_query_j": (280 + 19.5 * 7) / 3, "mac.queries": 2, "mac.utilisation": 0.9,
        "a100.utilisation": 0.5 / 40, "a100.idle_s": 19.5, "a100.idle_j": 19.5 * 7, "mac.asleep_j": 0.0,
    }  # fmt: skip
    assert {name: known[name] for name in expected} == pytest.approx(expected)


def test_times_leave_the_warm_up_out() -> None:
    """Queries that came before it count for joules and throughput, not for times."""
    whole, later = told(run()), told(run(), warm_up_s=2)

    assert later.known["runtime_s.mean"] == 0.5
    assert later.known["energy_j"] == whole.known["energy_j"]
    assert later.known["throughput_per_s"] == whole.known["throughput_per_s"]


def test_what_is_not_known_says_why() -> None:
    """A power that nobody gave takes the fleet's joules with it; a machine without steps has no first token."""
    powerless, nobody = told(run(idle_power_w=None)), told(run(), warm_up_s=9)
    late = run()
    late.service.first_token_at_s[1] = np.nan

    assert "energy_j" not in powerless.known
    assert powerless.reasons["energy_j"] == (
        "nobody gave the power of a100 while idle; set idle_power_w in the fleet file"
    )
    assert powerless.known["served_energy_j"] == 270
    assert nobody.reasons["wait_s.mean"] == NO_QUERIES
    assert told(late).reasons["ttft_s.p95"] == told(late).reasons["tpot_s.mean"] == NO_TOKENS
    assert "runtime_s.p95" in told(late).known


def test_a_summary_is_the_mean_of_its_runs() -> None:
    """Each figure is a mean over seeds with Student's interval; one seed without it leaves it unknown."""
    runs = [told(run(scale)) for scale in (1.0, 1.1, 1.2)]
    found = summary(runs, run(), warm_up_s=0, interval=random_interval)
    part = summary([*runs, told(run(idle_power_w=None))], run(), warm_up_s=0, interval=random_interval)

    mean = found.times["runtime_s"]["mean"]
    values = np.array([one.known["runtime_s.mean"] for one in runs])
    assert mean == Figure(random_interval(values).value, random_interval(values).lower, random_interval(values).upper)
    assert (found.policy, found.seeds, found.compiled) == ("round robin", 3, True)
    assert [system.name for system in found.systems] == ["mac", "a100"]
    assert found.systems[1].energy_j["idle"].value == pytest.approx(19.5 * 7)
    assert part.energy_j.value is None
    assert part.energy_j.reason is not None


def test_differences_are_taken_seed_by_seed() -> None:
    """What all policies met alike in a seed cancels: a constant difference has no width, however seeds differ."""
    slow = [told(run(scale)) for scale in (2.0, 3.0, 5.0)]
    fast = [told(run(scale)) for scale in (1.0, 2.0, 4.0)]

    found = differences(slow, fast, interval=random_interval)["runtime_s.p99"]

    assert (found.value, found.lower, found.upper) == pytest.approx((8.0, 8.0, 8.0))


def test_a_figure_without_values_keeps_the_reason() -> None:
    """None stays None."""
    assert figure_of([(1.0, None), (None, "because")], random_interval) == Figure(None, None, None, "because")


def test_a_comparison_leads_with_the_first_policy() -> None:
    """Differences are the first policy less each other, under the names that the user gave."""
    tried = [Tried(name, tuple(told(run(scale * by)) for scale in (1, 2)), run()) for name, by in (("a", 2), ("b", 1))]

    found = Comparison.of(
        tried, interval=random_interval, warm_up_s=0, arrivals=("trace", False), boundary="whole machine"
    )

    assert found.chosen == "a"
    assert list(found.differences) == ["b"]
    assert found.differences["b"]["wait_s.mean"].value == pytest.approx(1.5)


def test_a_timeline_adds_up_to_the_run() -> None:
    """Over all bins together, running and waiting seconds and joules are those of the queries."""
    found = timeline(run(), bins=7)

    width_s = np.diff(found.edges_s)[:, None]
    assert found.edges_s[[0, -1]] == pytest.approx([0, 10])
    assert (found.running * width_s).sum(axis=0) == pytest.approx([9, 0.5])
    assert (found.waiting * width_s).sum(axis=0) == pytest.approx([3, 0])
    assert (found.power_w * width_s).sum(axis=0) == pytest.approx([220, 50])
