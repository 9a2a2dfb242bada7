"""Our policies under the contract suite."""

import pytest

from tests.contracts.policy_suite import NAMES, SYSTEMS, PolicySuite
from wattshed.domain.cost import Objective
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo, Random, RoundRobin, ShortestQueue
from wattshed.policies.policy import Policy
from wattshed.policies.priced import Priced
from wattshed.policies.threshold import Pair, ProductThreshold, Threshold, TwoThresholds

PAIR = Pair.of(NAMES, 2, 0)

POLICIES = (
    AllTo(1, "V100"),
    Random(),
    RoundRobin(),
    ShortestQueue(),
    Threshold(PAIR, 50),
    Threshold(PAIR, 60.5, input_weight=0.5, output_weight=1),
    ProductThreshold(PAIR, 2000),
    TwoThresholds(PAIR, 50, 40, "and"),
    TwoThresholds(PAIR, 50, 40, "or"),
    Argmin(Objective(lam=1)),
    Argmin(Objective(lam=0)),
    Argmin(Objective(lam=0.5, energy_ref_j=3, runtime_ref_s=2)),
    Priced.free(Objective(lam=1), SYSTEMS),
    Priced(Objective(lam=0.5, energy_ref_j=3), (2.0, 0.0, 0.25)),
    Priced(Objective(lam=0.9), (1.0, 0.5, 0.0), (-1.0, 0.5, 3.0)),
)


class TestContract(PolicySuite):
    """Every policy of the package."""

    @pytest.fixture(params=POLICIES, ids=lambda policy: policy.name)
    def policy(self, request: pytest.FixtureRequest) -> Policy:
        """One of ours."""
        return request.param  # type: ignore[no-any-return]  # pytest does not type parameters
