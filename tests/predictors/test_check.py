"""What checks say of predictors: on the paper's trials, and where the truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from tests.predictors.cases import PAIR, profile, summed, trial
from wattshed.domain.measurement import Profile
from wattshed.predictors.check import Check, check

TRUTH = summed(1.0, lambda length: 2 + length / 100)
A100 = [
    (system, model)
    for system in ("Swing AMD+A100", "Palmetto Intel+A100")
    for model in ("Falcon (7B)", "Llama-2 (7B)", "Mistral (7B)")
]
M1 = ("M1-Pro", "Llama-2 (7B)")


@pytest.fixture(scope="module")
def on_paper(paper: Profile) -> tuple[Check, ...]:
    """The prefix form on the A100 nodes and on the M1."""
    return check(paper, only=[*A100, M1])


def test_a100_energy_is_known_within_a_tenth(on_paper: tuple[Check, ...]) -> None:
    """The mean error at token counts that the fit has never met is at most 10 % for every A100 pair."""
    errors = {(one.system, one.model): one.held_out_mape for one in on_paper if one.quantity == "energy"}

    assert all(errors[pair] <= 0.10 for pair in A100)


def test_unseen_combinations_are_predicted(on_paper: tuple[Check, ...]) -> None:
    """The M1's sweep at 64 output tokens, kept out of every fit, is predicted within 6 %."""
    energy = next(one for one in on_paper if (one.system, one.model, one.quantity) == (*M1, "energy"))

    assert energy.unseen_mape is not None
    assert energy.unseen_mape <= 0.06


def test_intervals_cover_what_they_promise(on_paper: tuple[Check, ...]) -> None:
    """About 95 % of the held-out cells lie in their 95 % intervals, said without knowing them."""
    checks = [(one.coverage, one.held_out_cells) for one in on_paper if one.quantity == "energy"]

    covered = np.average([coverage for coverage, _ in checks], weights=[cells for _, cells in checks])

    assert 0.90 <= covered <= 1.0


def test_exact_data_leave_small_errors() -> None:
    """Where the form is true and nothing is noisy, all errors are below 2 %."""
    energy, runtime = check(profile(TRUTH))

    assert energy.cells == 18
    assert energy.held_out_cells == 14
    for one in (energy, runtime):
        assert max(one.fit_mape, one.held_out_mape, one.held_out_max_error) < 0.02
        assert one.unseen_mape is None


def test_a_wrong_form_is_found_out() -> None:
    """The same data under the thesis's form show errors beyond 10 %."""
    energy, _ = check(profile(TRUTH), kind="regression")

    assert energy.held_out_mape is not None
    assert energy.held_out_mape > 0.1


def test_validation_experiments_measure_the_unseen() -> None:
    """The error there is that of a fit without them."""
    sweeps = profile(TRUTH)
    grid = tuple(trial("grid", (m, n), 1, 1.25 * TRUTH(m, n)) for m in (64, 512) for n in (64, 512))
    measured = Profile("grid", sweeps.measurements + grid, validation_experiments=frozenset({"grid"}))

    energy, _ = check(measured)

    assert energy.unseen_mape == pytest.approx(0.2, abs=0.02)


def test_a_reference_among_more_queries_is_not_held_against_the_fit() -> None:
    """A validation cell at a concurrency that the fit knows nothing of is left out of its errors."""
    sweeps = profile(TRUTH)
    four = trial("grid", (64, 64), 1, 0.1, system=replace(sweeps.systems[0], concurrency=4))
    measured = Profile("grid", (*sweeps.measurements, four), validation_experiments=frozenset({"grid"}))

    energy, _ = check(measured)

    assert energy.unseen_mape is None


def test_what_cannot_be_left_out_is_none() -> None:
    """With five cells none can be missed: there are no held-out errors, and that is None and not 0."""
    few = profile(TRUTH).where(lambda one: one.experiment == "input" and one.requested_input_tokens <= 128)

    energy, _ = check(few)

    assert (energy.system, energy.model) == PAIR
    assert (energy.held_out_cells, energy.held_out_mape, energy.coverage) == (0, None, None)


def test_what_cannot_be_fitted_has_no_check(paper: Profile) -> None:
    """One cell gives no predictor, so nothing is said of it."""
    assert check(paper, only=[("M1-Pro", "Falcon (7B)")]) == ()


def test_what_the_host_paced_is_counted_apart() -> None:
    """Noise on host-bound cells alone is found in their error, and not in that of the others."""
    sweeps = profile(TRUTH).measurements
    paced = [replace(one, bound="host") if one.requested_input_tokens in {16, 64} else one for one in sweeps]
    noisy = [replace(one, gpu_energy_j=1.5 * (one.gpu_energy_j or 0)) if one.bound else one for one in paced]

    energy, _ = check(Profile("paced", tuple(noisy)))

    assert energy.host_bound_cells == 2
    assert energy.host_bound_mape is not None
    assert energy.other_mape is not None
    assert energy.host_bound_mape > 2 * energy.other_mape


def test_a_profile_that_knows_no_pace_has_no_host_bound_cells(on_paper: tuple[Check, ...]) -> None:
    """Where nobody recorded what bounds a trial, every cell is one of the others."""
    assert all((one.host_bound_cells, one.host_bound_mape) == (0, None) for one in on_paper)
    assert all(one.other_mape == one.held_out_mape for one in on_paper)
