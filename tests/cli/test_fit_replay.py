"""`wattshed fit --replay`: an engine's log, fitted on one half and predicted on the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.simulator.reference import Request, serve
from wattshed.domain.operation import Operation
from wattshed.predictors.steps import StepCost, StepCosts


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Forty requests in two seconds, which a machine without limits served."""
    rng = np.random.default_rng(5)
    queued_at_s = np.cumsum(rng.exponential(0.05, 40)).tolist()
    shapes = rng.integers(50, 500, 40).tolist(), rng.integers(5, 40, 40).tolist()
    requests = [Request(*one) for one in zip(queued_at_s, *shapes, strict=True)]
    cost = StepCost(0.0, 0.0, 4e-5, 0.0, 0.012, 1e-4, 0.0)
    serve(requests, operation=Operation(slots=40), costs=StepCosts(cost, cost))
    rows = [
        {
            "input_tokens": one.input_tokens,
            "output_tokens": one.output_tokens,
            "queued_at_s": one.arrival_s,
            "started_at_s": one.started_at_s,
            "first_token_at_s": one.first_token_at_s,
            "finished_at_s": one.finished_at_s,
        }
        for one in requests
    ]
    pl.DataFrame(rows).write_ndjson(tmp_path / "log.jsonl")
    return tmp_path / "log.jsonl"


def test_the_other_half_is_predicted(wattshed: Callable[..., Any], log: Path) -> None:
    """The document has the errors of requests that were fitted on and of the rest, and limits only if they showed."""
    # when
    document = wattshed("fit", "--replay", log, "--json").document
    # then
    assert (document["requests"], document["fitted_requests"]) == (40, 20)
    assert (document["slots"], document["chunk_tokens"]) == (None, None)
    assert {"per_step", "per_sequence", "hinges"} <= document["runtime"].keys()
    held_out = {one["quantity"]: one["error"] for one in document["errors"]["held_out"]}
    assert held_out.keys() == {"ttft_s", "tpot_s", "runtime_s"}
    assert all(abs(error) < 0.02 for error in held_out.values())


def test_people_see_the_same(wattshed: Callable[..., Any], log: Path) -> None:
    """The tables show errors and steps, and no file is written."""
    # when
    ran = wattshed("fit", "--replay", log, "--fit-on", "40")
    # then
    assert ran.exit_code == 0
    assert "held out" not in ran.out
    assert "slots were never full; a step reads any number of prompt tokens" in " ".join(ran.out.split())
    assert [path.name for path in log.parent.iterdir()] == ["log.jsonl"]


REFUSED = {
    "a profile too": (("bundled:wilkins2024",), "leave out the profile, and --ledger with its flags"),
    "too few to fit": (("--fit-on", "19"), "the fit takes from 20 to all 40 requests of the log, got 19"),
}


@pytest.mark.parametrize(("arguments", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(
    wattshed: Callable[..., Any], log: Path, arguments: tuple[str, ...], problem: str
) -> None:
    """One line says what does not go together, and the exit code is 2."""
    # when
    ran = wattshed("fit", *arguments, "--replay", log)
    # then
    assert (ran.exit_code, problem in ran.err) == (2, True)


@pytest.mark.parametrize("flag", ["--fit-on", "--slots"])
def test_flags_of_a_log_need_one(wattshed: Callable[..., Any], flag: str) -> None:
    """Without a log they are refused, and not ignored."""
    # when
    ran = wattshed("fit", "bundled:wilkins2024", flag, "30")
    # then
    assert (ran.exit_code, f"{flag} is for --replay" in ran.err) == (2, True)
