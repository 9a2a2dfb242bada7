"""Our predictors under the contract suite."""

from pathlib import Path

import pytest

from tests.contracts.predictor_suite import PredictorSuite
from wattshed.domain.choices import PredictorKind
from wattshed.domain.measurement import Profile
from wattshed.predictors.file import load, save
from wattshed.predictors.fit import FORMS, Fitted, fit
from wattshed.predictors.predictor import Predictor

PAIRS = (("M1-Pro", "Llama-2 (7B)"), ("Palmetto Intel+V100", "Mistral (7B)"))


@pytest.fixture(scope="module", params=[kind for kind in FORMS if kind != "batch"])
def fitted(paper: Profile, request: pytest.FixtureRequest) -> Fitted:
    """Predictors of one kind; the paper had no KV cache, so those of batches are tested in `test_batch.py`."""
    kind: PredictorKind = request.param
    return fit(paper, kind=kind, only=PAIRS)


class TestContract(PredictorSuite):
    """Every kind, on an easy and on a hard system."""

    @pytest.fixture(params=PAIRS, ids=lambda pair: pair[0])
    def pair(self, request: pytest.FixtureRequest) -> tuple[str, str]:
        """A system and a model."""
        return request.param  # type: ignore[no-any-return]  # pytest does not type parameters

    @pytest.fixture
    def predictor(self, fitted: Fitted, pair: tuple[str, str]) -> Predictor:
        """One of ours."""
        return fitted.predictor(*pair)

    @pytest.fixture
    def reloaded(self, fitted: Fitted, pair: tuple[str, str], tmp_path: Path) -> Predictor:
        """The same, out of its file."""
        save(fitted, tmp_path / "predictor.json")
        return load(tmp_path / "predictor.json").predictor(*pair)
