"""Fitting whole profiles, and asking for a predictor by name."""

from dataclasses import replace

import numpy as np
import pytest

from tests.predictors.cases import PAIR, SYSTEM, profile, trial
from wattshed.domain.measurement import Profile
from wattshed.errors import InputError, UsageError
from wattshed.predictors.fit import Fitted, digest, fit, fit_pair, resolve

LINEAR = profile(lambda m, n: float(m + 10 * n), noise=0.02)
PAIRS = [("M1-Pro", "Llama-2 (7B)"), ("Swing AMD+A100", "Llama-2 (7B)"), ("Swing AMD+A100", "Llama-2 (13B)")]
PAIRS += [("Swing AMD+A100-80GB", "Falcon (7B)")]


@pytest.fixture(scope="module")
def found(paper: Profile) -> Fitted:
    """Every predictor of the paper's profile."""
    return fit(paper)


def test_every_pair_is_fitted_or_has_a_reason(paper: Profile, found: Fitted) -> None:
    """Nothing that was measured disappears."""
    pairs = {(system.name, system.model) for system in paper.systems}

    assert found.predictors.keys() | found.skipped.keys() == pairs
    assert found.skipped["M1-Pro", "Falcon (7B)"] == "5 cells with total energy are needed, found 1"


def test_gpu_channel_needs_no_processor_energy(paper: Profile) -> None:
    """The 80 GB node was metered on its board only: it has a predictor on that channel and no other."""
    pair = ("Swing AMD+A100-80GB", "Falcon (7B)")

    assert pair in fit(paper, channel="gpu", only=[pair]).predictors
    assert pair in fit(paper, channel="total", only=[pair]).skipped


def test_company_does_not_matter(paper: Profile, found: Fitted) -> None:
    """A pair fitted alone has the very predictor that it has among all the others."""
    pair = ("M1-Pro", "Mistral (7B)")

    alone = fit(paper, only=[pair])

    assert list(alone.predictors) == [pair]
    ours, theirs = alone.predictors[pair].energy, found.predictors[pair].energy
    assert ours.replicates.tobytes() == theirs.replicates.tobytes()


def test_seed_moves_the_replicates_and_not_the_curve() -> None:
    """Chance is in the intervals only."""
    one, two = (fit(LINEAR, seed=seed).predictors[PAIR].energy for seed in (1, 2))

    assert one.coefficients.tobytes() == two.coefficients.tobytes()
    assert one.replicates.tobytes() != two.replicates.tobytes()


def test_validation_trials_and_warm_ups_teach_nothing() -> None:
    """Trials kept for testing, and cold ones, leave the fit as it was."""
    wild = trial("grid", (64, 64), 1, 1e9)
    more = Profile("more", (*LINEAR.measurements, wild, replace(wild, experiment="input", warm_up=True)))
    kept_out = replace(more, validation_experiments=frozenset({"grid"}))

    plain, guarded = (fit(one).predictors[PAIR].energy for one in (LINEAR, kept_out))

    assert plain.coefficients.tobytes() == guarded.coefficients.tobytes()


def test_two_hosts_of_one_name_are_never_pooled() -> None:
    """Each has a predictor of its own under its own name, and to fit both at once is refused."""
    other = profile(lambda m, n: 2.0 * (m + 10 * n), system=replace(SYSTEM, host="b"))

    found = fit(Profile("two hosts", LINEAR.measurements + other.measurements))

    assert {system for system, _ in found.predictors} == {"bench (host not known)", "bench (b)"}
    with pytest.raises(InputError, match="never pooled"):
        fit_pair(LINEAR.measurements + other.measurements, "prefix", "total")


@pytest.mark.parametrize(
    ("system", "model", "pair"),
    [
        ("m1-pro", "LLAMA-2 (7B)", PAIRS[0]),
        ("M1", "llama", PAIRS[0]),
        ("swing amd+a100", "llama-2 (13", PAIRS[2]),
        ("Swing AMD+A100-8", "f", PAIRS[3]),
    ],
)
def test_names_are_understood(system: str, model: str, pair: tuple[str, str]) -> None:
    """Any case will do, and a beginning where only one name begins so; a whole name beats a longer one."""
    assert resolve(PAIRS, system, model) == pair


@pytest.mark.parametrize(
    ("system", "model", "message"),
    [
        ("Swing", "f", "system 'Swing' could be any; choose from: Swing AMD.A100, Swing AMD.A100-80GB"),
        ("M2-Pro", "llama", "system 'M2-Pro' is unknown; choose from: M1-Pro"),
        ("swing amd+a100", "llama", r"on Swing AMD.A100 could be any; choose from: Llama-2 \(13B\), Llama-2 \(7B\)"),
        ("m1-pro", "gpt", r"model 'gpt' on M1-Pro is unknown; choose from: Llama-2 \(7B\)"),
    ],
)
def test_names_that_are_not_understood_get_advice(system: str, model: str, message: str) -> None:
    """The error lists what is close, or everything there is."""
    with pytest.raises(UsageError, match=message):
        resolve(PAIRS, system, model)


def test_asking_for_a_skipped_pair_tells_the_reason(found: Fitted) -> None:
    """A pair that was measured and not fitted is no unknown name."""
    with pytest.raises(UsageError, match=r"M1-Pro with Falcon .* found 1"):
        found.predictor("m1-pro", "falcon")


def test_digest_follows_the_measurements() -> None:
    """One joule more in one trial, and it is another profile; another name is not."""
    first, *rest = LINEAR.measurements
    assert first.gpu_energy_j is not None
    changed = replace(LINEAR, measurements=(replace(first, gpu_energy_j=first.gpu_energy_j + 1), *rest))

    assert digest(LINEAR) == digest(replace(LINEAR, name="another"))
    assert digest(LINEAR) != digest(changed)


def test_predictions_are_finite_on_every_channel(paper: Profile) -> None:
    """Whatever the channel, whatever the system."""
    for channel in ("gpu", "cpu"):
        for predictor in fit(paper, channel=channel).predictors.values():
            prediction = predictor.predict(np.array([1, 4000]), np.array([1, 4000]))
            assert np.isfinite([prediction.energy_j, prediction.energy_sd_j]).all()
