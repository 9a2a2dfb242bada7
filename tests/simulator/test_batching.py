"""Continuous batching: the batch form, the plain simulator, memory, joules."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulator.reference import Request, serve
from tests.simulator.scenes import ENERGY, RUNTIME, STEPS, batching
from wattshed.domain.operation import Operation
from wattshed.predictors.steps import StepCost
from wattshed.simulator.run import simulate
from wattshed.simulator.scenario import Run, Scenario

pytestmark = pytest.mark.timeout(300)  # the first run after a change compiles the simulator

TIMES = ("started_at_s", "first_token_at_s", "finished_at_s", "energy_j", "preemptions")


def form(cost: StepCost, m: int, n: int, b: int) -> float:
    """W(m, n, b) of `predictors/batch.py`."""
    prefill = cost.per_start + b * (cost.per_prompt + cost.per_prompt_token * m + cost.per_prompt_token_squared * m**2)
    step = cost.per_step + cost.per_sequence * b + sum(slope * max(b - at, 0) for at, slope in cost.hinges)
    return prefill + n * step + cost.per_context_token * b * n * (m + n / 2)


@pytest.mark.parametrize("b", [1, 2, 8, 20])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (128, 1), (100, 300)])
def test_company_of_one_shape_takes_what_the_batch_form_says(m: int, n: int, b: int) -> None:
    """B queries that come together take W(m, n, b) seconds and share W(m, n, b) joules; one alone takes R and E."""
    run = simulate(batching([(m, n)] * b, [3.0] * b, Operation(slots=b)))

    np.testing.assert_allclose(run.service.finished_at_s - 3, form(RUNTIME, m, n, b), rtol=1e-12)
    np.testing.assert_allclose(run.service.energy_j, form(ENERGY, m, n, b) / b, rtol=1e-12)


def test_the_host_draws_its_power_in_every_step() -> None:
    """Joules of a query hold the power of the host for as long as it ran, alone."""
    bare, hosted = (simulate(batching([(90, 40)], [0.0], Operation(), host_power_w=w)).service for w in (0.0, 50.0))

    assert hosted.energy_j[0] - bare.energy_j[0] == pytest.approx(50 * hosted.finished_at_s[0])


@st.composite
def loads(draw: st.DrawFn) -> Scenario:
    """Up to 40 queries that come at any pace, some together, to a machine of little room."""
    shapes = draw(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 80)), min_size=1, max_size=40))
    gaps_s = draw(st.lists(st.sampled_from([0.0, 0.01, 0.3, 2.0]), min_size=len(shapes), max_size=len(shapes)))
    pace = draw(st.floats(0.1, 2.0))
    largest = max(m + n for m, n in shapes)
    kv_tokens = draw(st.none() | st.integers(largest, 3 * largest))
    chunk_tokens = draw(st.none() | st.integers(1, 300))
    operation = Operation(slots=draw(st.integers(1, 20)), kv_tokens=kv_tokens, chunk_tokens=chunk_tokens)
    return batching(shapes, pace * np.cumsum(gaps_s), operation)


@settings(deadline=None, max_examples=50)
@given(scenario=loads())
def test_skipping_ahead_changes_nothing(scenario: Scenario) -> None:
    """Every instant, joule and preemption is that of the simulator that goes step by step."""
    requests = [
        Request(float(at_s), int(m), int(n))
        for at_s, m, n in zip(scenario.arrival_s, scenario.input_tokens, scenario.output_tokens, strict=True)
    ]

    busy_s = serve(requests, operation=scenario.machines[0].operation, costs=STEPS)
    run = simulate(scenario)

    for name in TIMES:
        plain = np.array([getattr(request, name) for request in requests], np.float64)
        np.testing.assert_allclose(getattr(run.service, name), plain, rtol=1e-9, atol=1e-12, err_msg=name)
    assert run.totals[0].seconds["busy"] == pytest.approx(busy_s)


@settings(deadline=None, max_examples=30)
@given(scenario=loads(), replicas=st.integers(1, 3))
def test_joules_and_seconds_add_up(scenario: Scenario, replicas: int) -> None:
    """Joules of the queries are those of the busy machines, and the seconds of all states fill the horizon."""
    machine = replace(scenario.machines[0], replicas=replicas)

    run = simulate(replace(scenario, machines=(machine,)))

    assert run.totals[0].energy_j["busy"] == pytest.approx(run.service.energy_j.sum(), rel=1e-9)
    assert sum(run.totals[0].seconds.values()) == pytest.approx(replicas * run.horizon_s, rel=1e-9)
    assert (run.service.outcome == 0).all()


def test_the_youngest_gives_up_its_memory() -> None:
    """Where memory is full, who was admitted last is sent back, and comes out with all its tokens all the same."""
    tight = Operation(slots=4, kv_tokens=120)

    run = simulate(batching([(50, 50), (50, 50)], [0.0, 0.0], tight))

    assert run.service.preemptions.tolist() == [0, 1]
    assert run.service.finished_at_s[1] > run.service.finished_at_s[0]


def test_what_no_memory_holds_is_infeasible() -> None:
    """A query larger than the memory of every machine is served by none, and costs nothing."""
    run = simulate(batching([(100, 30), (10, 3)], [0.0, 0.0], Operation(kv_tokens=100)))

    assert run.service.outcome.tolist() == [2, 0]
    assert run.service.position.tolist() == [-1, 0]
    assert run.service.energy_j[0] == 0


def test_who_comes_during_a_step_waits_for_its_end() -> None:
    """An arrival amid a long run of steps is in the first step after it, and slows the other down from then on."""
    alone, joined = (finished(simulate(batching([(10, 200)] * b, [0.0, 0.5][:b], Operation(slots=2)))) for b in (1, 2))

    started_at_s = simulate(batching([(10, 200)] * 2, [0.0, 0.5], Operation(slots=2))).service.started_at_s[1]

    assert 0.5 <= started_at_s < 0.51
    assert joined > alone


def finished(run: Run) -> float:
    """When the first query had its last token."""
    return float(run.service.finished_at_s[0])
