"""The batch form: on a known truth, on rooflines that it does not fit exactly, and where it must refuse."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.contracts.batch_predictor_suite import BatchPredictorSuite
from tests.contracts.predictor_suite import PredictorSuite
from tests.predictors.batches import (
    ACCELERATOR,
    IDLE_POWER_W,
    PAIR,
    PROCESSOR,
    SERVER,
    SHAPES,
    Node,
    batches,
    truth,
)
from wattshed.domain.measurement import Profile
from wattshed.errors import InputError
from wattshed.predictors.batch import BatchPredictor, energy_basis
from wattshed.predictors.check import check
from wattshed.predictors.file import load, save
from wattshed.predictors.fit import Fitted, fit
from wattshed.predictors.predictor import Predictor

UNSEEN = ((200, 400), (256, 64), (1024, 300), (1500, 40))
"""Shapes inside the measured range that no profile here holds."""


def fitted(profile: Profile) -> BatchPredictor:
    """The batch predictor of the one system of a profile."""
    return BatchPredictor(fit(profile, kind="batch").predictor(*PAIR))


def errors(batch: BatchPredictor, node: Node, concurrency: int) -> np.ndarray:
    """Relative errors of energy and runtime at `UNSEEN`, shape (2, 4)."""
    said = batch.at(concurrency).predict(*np.array(UNSEEN).T)
    energy_j, runtime_s = np.array([node(m, n, concurrency) for m, n in UNSEEN]).T
    return np.array([said.energy_j * concurrency / energy_j, said.runtime_s / runtime_s]) - 1


@pytest.fixture(scope="module")
def noisy() -> Fitted:
    """Predictors of the known truth, measured with 2 % of scatter."""
    return fit(batches(truth, noise=0.02), kind="batch")


class TestBatchContract(BatchPredictorSuite):
    """What only predictors of batches promise."""

    @pytest.fixture
    def batch(self, noisy: Fitted) -> BatchPredictor:
        """Ours."""
        return BatchPredictor(noisy.predictor(*PAIR))


class TestContract(PredictorSuite):
    """At any one concurrency it is a predictor like the others."""

    @pytest.fixture(params=[1, 6, 32])
    def concurrency(self, request: pytest.FixtureRequest) -> int:
        """Requests in flight."""
        return request.param  # type: ignore[no-any-return]  # pytest does not type parameters

    @pytest.fixture
    def predictor(self, noisy: Fitted, concurrency: int) -> Predictor:
        """Ours, seen from there."""
        return BatchPredictor(noisy.predictor(*PAIR)).at(concurrency)

    @pytest.fixture
    def reloaded(self, noisy: Fitted, concurrency: int, tmp_path: Path) -> Predictor:
        """The same, out of its file."""
        save(noisy, tmp_path / "predictor.json")
        return BatchPredictor(load(tmp_path / "predictor.json").predictor(*PAIR)).at(concurrency)


@pytest.mark.parametrize("concurrency", [1, 3, 8, 24])
def test_a_known_truth_is_found_again(concurrency: int) -> None:
    """Without noise the form gives back shapes and concurrencies that it has not seen, within 0.1 %."""
    assert np.abs(errors(fitted(batches(truth)), truth, concurrency)).max() < 1e-3


@pytest.mark.parametrize("concurrency", [1, 3, 8, 24])
def test_noise_averages_out(noisy: Fitted, concurrency: int) -> None:
    """With 2 % of scatter and three trials a cell the errors stay below 2 %."""
    assert np.abs(errors(BatchPredictor(noisy.predictor(*PAIR)), truth, concurrency)).max() < 0.02


def test_alone_it_is_the_form_of_the_method() -> None:
    """With one request in flight E = e0 + a m + a2 m^2 + b n + c n (m + n / 2): five moments explain it exactly."""
    m, n = np.random.default_rng(2).integers(1, 4000, (2, 40))
    method = np.column_stack([np.ones(40), m, m**2, n, n * (m + n / 2)])

    energy_j = fitted(batches(truth)).at(1).predict(m, n).energy_j

    found, *_ = np.linalg.lstsq(method / energy_j[:, None], np.ones(40))
    np.testing.assert_allclose(method @ found, energy_j, rtol=1e-9)


def test_the_first_request_pays_for_the_shared_step() -> None:
    """The marginal joules of a second request lie far below those of the first, and rise again past the knee."""
    batch, shape = fitted(batches(truth)), (np.array([512]), np.array([128]))

    first, second, ninth, twentieth = (float(batch.marginal(*shape, occupancy=b).energy_j[0]) for b in (0, 1, 8, 20))

    assert second == pytest.approx(truth(512, 128, 2)[0] - truth(512, 128, 1)[0], rel=1e-3)
    assert twentieth == pytest.approx(truth(512, 128, 21)[0] - truth(512, 128, 20)[0], rel=1e-3)
    assert 2 * second < first
    assert second == pytest.approx(float(batch.marginal(*shape, occupancy=7).energy_j[0]), rel=1e-3)
    assert ninth > 1.02 * second


@pytest.mark.parametrize(
    ("node", "concurrencies", "energy", "runtime"),
    [
        pytest.param(ACCELERATOR, (1, 2, 4, 8, 16, 32, 64, 128, 256), 0.01, 0.02, id="memory binds"),
        pytest.param(PROCESSOR, (1, 2, 4, 8, 16, 32, 64), 0.01, 0.02, id="arithmetic binds from 10 on"),
    ],
)
def test_rooflines_are_followed(node: Node, concurrencies: tuple[int, ...], energy: float, runtime: float) -> None:
    """A node of another form is fitted, and told at counts left out, with these mean errors."""
    in_energy, in_runtime = check(batches(node, concurrencies=concurrencies), kind="batch")

    assert in_energy.held_out_mape is not None
    assert in_runtime.held_out_mape is not None
    assert max(in_energy.fit_mape, in_energy.held_out_mape) < energy
    assert max(in_runtime.fit_mape, in_runtime.held_out_mape) < runtime


def test_a_knee_is_known_as_finely_as_it_was_measured() -> None:
    """Steps bend at b = 10: off by 1 % there if measured, 10 % between doublings, 25 % between quadruplings."""
    exact, doubled, coarse = (
        fitted(batches(PROCESSOR, concurrencies=at))
        for at in ((1, 4, 10, 16, 64), (1, 2, 4, 8, 16, 32, 64), (1, 4, 16, 64))
    )

    off = [np.abs(errors(batch, PROCESSOR, 10)).max() for batch in (exact, doubled, coarse)]

    assert off[0] < 0.01 < off[1] < 0.1 < off[2] < 0.25


def test_intervals_cover_what_they_promise() -> None:
    """About 95 % of the cells left out lie in their 95 % intervals, whatever the node."""
    checks = [one for node in (truth, ACCELERATOR, PROCESSOR) for one in check(batches(node, noise=0.02), kind="batch")]

    covered = np.average([one.coverage for one in checks], weights=[one.held_out_cells for one in checks])

    assert 0.90 <= covered <= 1.0


def test_counts_are_left_out_whole() -> None:
    """Four inner concurrencies of seven shapes, and three shapes each of the inner m and n at six concurrencies."""
    energy, _ = check(batches(truth), kind="batch")

    assert energy.cells == 6 * len(SHAPES)
    assert energy.held_out_cells == 4 * 7 + 6 * 3 + 6 * 3


def test_one_concurrency_promises_no_sharing() -> None:
    """Where all cells have b = 1 nothing shows what is shared: two cost as much as one and one, and that is flagged."""
    batch, shape = fitted(batches(truth, concurrencies=(1,))), (np.array([512]), np.array([128]))

    alone, second = batch.at(1).predict(*shape), batch.marginal(*shape, occupancy=1)

    np.testing.assert_allclose(alone.energy_j, truth(512, 128, 1)[0], rtol=1e-3)
    np.testing.assert_allclose(second.energy_j, alone.energy_j)
    assert not alone.extrapolated.any()
    assert second.extrapolated.all()


def test_one_output_length_is_paid_by_the_step() -> None:
    """Answers that are all equally long do not tell what is paid once; it is not taken to be the whole of a step."""
    batch = fitted(batches(truth, shapes=[(m, n) for m, n in SHAPES if n == 128]))

    said, true = batch.at(1).expect(np.array([512]), np.array([256])), truth(512, 256, 1)

    assert said.energy_j == pytest.approx(true[0], rel=0.1)
    assert said.runtime_s == pytest.approx(true[1], rel=0.1)


def test_few_shapes_still_have_an_interval() -> None:
    """Where no whole count can be left out, single cells are: the misfit of a form that is wrong is not 0."""
    corners = batches(PROCESSOR, concurrencies=(1, 16), shapes=((128, 32), (2048, 512), (128, 512)))

    assert fitted(corners).fitted.runtime.misfit > 0


def test_a_profile_without_cache_has_no_batch_form(paper: Profile) -> None:
    """The paper ran without a KV cache, and the reason says so."""
    found = fit(paper, kind="batch")

    assert not found.predictors
    assert all("KV cache" in reason for reason in found.skipped.values())


def test_other_forms_do_not_mix_concurrencies() -> None:
    """They are refused, and the reason names the form that can."""
    found = fit(batches(truth), kind="prefix")

    assert found.skipped[PAIR] == "6 concurrencies were measured, which only the batch predictor tells apart"


def test_hosts_are_never_pooled() -> None:
    """Concurrencies of two hosts do not make one batch predictor."""
    other = batches(truth, system=replace(SERVER, host="b"))

    found = fit(Profile("two", batches(truth).measurements + other.measurements), kind="batch")

    assert {system for system, _ in found.predictors} == {"server (host not known)", "server (b)"}


def test_other_kinds_know_nothing_of_occupancy() -> None:
    """A predictor fitted at one concurrency cannot be asked about others."""
    prefix = fit(batches(truth, concurrencies=(4,)), kind="prefix").predictor(*PAIR)

    with pytest.raises(ValueError, match="prefix predictor knows nothing of concurrency"):
        BatchPredictor(prefix)


def test_weights_are_the_joules_above_idle() -> None:
    """What attribution splits by: the truth's joules a token, the shared step in equal parts, the cache over time."""
    weights = fitted(batches(truth)).weights(4, idle_power_w=IDLE_POWER_W)

    assert weights.prefill_token_j == pytest.approx(0.02, rel=0.01)
    assert weights.decode_token_j == pytest.approx(2 / 4 + 0.3, rel=0.01)
    assert weights.held_token_w == pytest.approx(4e-5 / (0.008 + 4 * 2e-4), rel=0.01)


def test_a_damaged_range_is_located(noisy: Fitted, tmp_path: Path) -> None:
    """Concurrencies that do not rise make no hinges; the file is refused in one line."""
    path = tmp_path / "predictor.json"
    save(noisy, path)
    path.write_text(path.read_text().replace("[1,2,4,8,16,32]", "[4,2,1]"))

    with pytest.raises(InputError, match="concurrencies are one or more rising counts") as caught:
        load(path)

    assert "\n" not in str(caught.value)


def test_a_basis_has_a_term_for_every_hinge(noisy: Fitted) -> None:
    """Seven terms, and one for each concurrency between the ends."""
    assert energy_basis(noisy.predictor(*PAIR).support).size == 7 + 4
