"""A ledger teaches what its requests took, from those that can be compared, and says who was left out."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.gateway.serving import batch, regression
from wattshed.errors import InputError
from wattshed.gateway.ledger.borrowing import completed
from wattshed.gateway.ledger.ledger import Row
from wattshed.gateway.ledger.refitting import LEAST_REQUESTS, MOST_REQUESTS, Lessons, lessons_of
from wattshed.predictors.batch import BatchPredictor
from wattshed.predictors.curve import CurvePredictor
from wattshed.predictors.fit import Fitted, fit, fit_pair

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SCATTER = 0.1


def rows(
    truth: CurvePredictor, number: int, *, together: int = 1, seed: int = 0, octaves: float = 8.0, **changes: object
) -> Iterator[Row]:
    """Requests as a machine with this truth serves them, always `together` at a time, one lot after the other."""
    rng = np.random.default_rng(seed)
    at = BatchPredictor(truth).at(together) if truth.kind == "batch" else truth
    begins_s = 0.0
    for lot in range(number // together):
        m, n = (int(tokens) for tokens in 2 ** rng.uniform(2, 2 + octaves, 2))
        said = at.expect(np.array([m]), np.array([n]))
        runtime_s = float(said.runtime_s[0]) * (1 + SCATTER / 5 * rng.standard_normal())
        for place in range(together):
            energy_j = float(said.energy_j[0]) * (1 + SCATTER * rng.standard_normal())
            yield row(f"{seed}-{lot}-{place}", begins_s, runtime_s, m, n, energy_j)._replace(**changes)  # type: ignore[arg-type]  # any field
        begins_s += runtime_s + 1.0


def row(request: str, begins_s: float, runtime_s: float, m: int, n: int, energy_j: float | None) -> Row:
    """A row that was answered whole after a second of waiting."""
    return Row(
        request,
        NOON + timedelta(seconds=begins_s - 1.0),
        model="llama",
        variant="llama-q4",
        system="m1",
        wait_s=1.0,
        runtime_s=runtime_s + 1.0,
        input_tokens=m,
        output_tokens=n,
        attributed_energy_j=energy_j,
    )


def learned(parts: list[Row], **rest: object) -> Lessons:
    """The lessons for the form of the thesis, if nothing else is said."""
    return lessons_of([parts], "ledger x", **{"kind": "regression", "channel": "total", **rest})  # type: ignore[arg-type]  # any argument


def worst(found: CurvePredictor, truth: CurvePredictor, *, most: int = 512) -> tuple[float, float]:
    """Largest relative errors of energy and runtime on a grid inside what was served."""
    lengths = [tokens for tokens in (8, 32, 64, 128, 512) if tokens <= most]
    m, n = (grid.ravel() for grid in np.meshgrid(lengths, lengths))
    ours, theirs = found.expect(m, n), truth.expect(m, n)
    return (
        float(np.abs(ours.energy_j / theirs.energy_j - 1).max()),
        float(np.abs(ours.runtime_s / theirs.runtime_s - 1).max()),
    )


def test_a_known_machine_is_found_again() -> None:
    """4,000 requests that scatter by 10 % in energy and 2 % in time: both curves within 5 % everywhere."""
    lessons = learned(list(rows(regression(), 4000)))
    found = fit(lessons.profile, kind="regression").predictors["m1", "llama"]

    energy, runtime = worst(found, regression())

    assert energy < 0.05
    assert runtime < 0.03


def test_company_is_what_the_times_say() -> None:
    """Requests served alone, in twos and in eights: the batch form learns all three, at their concurrencies."""
    truth = batch()
    served = [
        one
        for lot, together in enumerate((1, 2, 8))
        for one in rows(truth, 3000, together=together, seed=lot, octaves=5.0)
    ]
    shifted = [
        one._replace(arrived_at=one.arrived_at + timedelta(days=30 * int(one.request.partition("-")[0])))
        for one in served
    ]

    lessons = learned(shifted, kind="batch")
    found = fit_pair(lessons.profile.measurements, "batch", "total", replicates=10)

    assert found.support.concurrencies == (1, 2, 8)
    for together in (1, 2, 8):
        energy, runtime = worst(BatchPredictor(found).at(together), BatchPredictor(truth).at(together), most=64)
        assert (energy < 0.08, runtime < 0.05) == (True, True)


def test_other_forms_learn_from_requests_that_were_alone() -> None:
    """What shared a machine is left out where the form does not ask for company, and counted."""
    alone, shared = list(rows(batch(), 1000)), list(rows(batch(), 800, together=8, seed=1))
    later = [one._replace(arrived_at=one.arrived_at + timedelta(days=30)) for one in shared]

    lessons = learned(alone + later)

    assert {trial.system.concurrency for trial in lessons.profile.measurements} == {1}
    assert lessons.left_out["in company, which only the kind batch tells apart"] == 800


def test_only_whole_answers_to_whole_prompts_teach() -> None:
    """Everything else is left out, each with its reason."""
    good = list(rows(regression(), 1000))
    changes: list[dict[str, object]] = [
        {"outcome": "broken"},
        {"outcome": "client_gone"},
        {"outcome": "refused", "system": None},
        {"route": "embeddings"},
        {"cached_tokens": 4},
        {"output_tokens": None},
        {"attributed_energy_j": None},
    ]
    bad = [one for at, change in enumerate(changes) for one in rows(regression(), 1, seed=at + 1, **change)]
    bad = [one._replace(arrived_at=one.arrived_at + timedelta(days=20 + at)) for at, one in enumerate(bad)]

    lessons, same = learned(good + bad), learned(good)

    assert len(lessons.profile.measurements) == len(same.profile.measurements)
    added = {name: count for name, count in lessons.left_out.items() if name not in same.left_out}
    assert added == {
        "not answered whole": 2,
        "sent to no system": 1,
        "embeddings": 1,
        "partly answered by a cache": 1,
        "without counted tokens": 1,
        "without attributed joules": 1,
    }


def test_a_cell_has_enough_requests_and_not_all_of_them() -> None:
    """Below eight there is no cell; of a great many only the latest count."""
    few = [row(f"f{at}", 100.0 * at, 1.0, 16, 16, 5.0) for at in range(LEAST_REQUESTS - 1)]
    many = [row(f"m{at}", 1000 + 100.0 * at, 1.0, 256, 256, float(at + 1)) for at in range(MOST_REQUESTS + 100)]

    trials = learned(few + many).profile.measurements

    assert len(trials) == MOST_REQUESTS
    assert min(trial.gpu_energy_j or 0.0 for trial in trials) == 101


def test_too_few_are_refused() -> None:
    """A ledger that teaches nothing is an error that says why; one with too few cells has no predictor, and says so."""
    with pytest.raises(InputError, match="no request can be learned from \\(1 without attributed joules\\)"):
        learned([row("a", 0, 1.0, 16, 16, None)])
    same = [row(f"{at}", 100.0 * at, 1.0, 16, 16, 5.0) for at in range(20)]

    fitted = fit(learned(same).profile, kind="regression")

    assert fitted.predictors == {}
    assert "5 cells with total energy are needed, found 1" in fitted.skipped["m1", "llama"]


def test_without_a_meter_the_seconds_are_learned_and_the_joules_kept() -> None:
    """The energy of the old file stays bit for bit; the runtime is the ledger's; they hold where both were measured."""
    old, slower = (
        regression(),
        replace(regression(), runtime=replace(regression().runtime, coefficients=np.array([0.002, 0.1, 2e-5]))),
    )
    base = Fitted("old", "", "regression", "total", {("m1", "llama"): old}, {})
    silent = [one._replace(attributed_energy_j=None) for one in rows(slower, 4000)]

    lessons = learned(silent, base=base)
    found = completed(fit(lessons.profile, kind="regression"), lessons).predictors["m1", "llama"]

    assert lessons.seconds_only == {("m1", "llama")}
    assert found.energy is old.energy
    assert worst(found, slower)[1] < 0.03
    assert found.support.max_input_tokens < old.support.max_input_tokens


def test_one_metered_request_is_worth_more_than_a_prediction() -> None:
    """As soon as a system has joules of its own, nothing is borrowed for it."""
    base = Fitted("old", "", "regression", "total", {("m1", "llama"): regression()}, {})
    served = list(rows(regression(), 1000))
    half = [one if at % 2 else one._replace(attributed_energy_j=None) for at, one in enumerate(served)]

    lessons = learned(half, base=base)

    assert lessons.seconds_only == frozenset()
    assert lessons.left_out["without attributed joules"] == 500


def test_the_profile_names_its_source() -> None:
    """Ledger, period and number of requests stand in the predictor file."""
    lessons = learned([row(f"{at}", 86_400.0 * at + 1, 1.0, 16, 16, 5.0) for at in range(10)])

    assert lessons.profile.name == "ledger x, 2026-11-23 to 2026-12-02, 10 requests"
