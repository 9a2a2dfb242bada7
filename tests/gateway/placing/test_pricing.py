"""What a request is predicted to cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.serving import batch, forecast, prefix, regression, served, table
from wattshed.gateway.fleet.served import ServedSystem
from wattshed.gateway.placing.pricing import Moment, Pricing
from wattshed.gateway.placing.tariff import Tariff
from wattshed.predictors.batch import BatchPredictor
from wattshed.predictors.length import Forecast

ONE_OF_EACH = [
    served("table", table(), host_power_w=3.0),
    served("batch", batch(), host_power_w=10.0),
    served("prefix", prefix(), host_power_w=7.0),
    served("regression", regression(), host_power_w=5.0),
    served("cheap batch", batch(0.5)),
    served("cheap prefix", prefix(0.5)),
]

LENGTHS = st.lists(st.integers(1, 3000), min_size=1, max_size=32).map(forecast)
PROPERTY = settings(deadline=None, max_examples=50, derandomize=True)


@PROPERTY
@given(m=st.integers(1, 4000), lengths=LENGTHS, position=st.integers(0, 5))
def test_a_price_is_the_expectation_over_the_forecast(m: int, lengths: Forecast, position: int) -> None:
    """Whatever the form of the predictor: its answers at the K lengths, weighted, host power included."""
    system = ONE_OF_EACH[position]
    said = system.curves.expect(np.full(lengths.output_tokens.shape, m), lengths.output_tokens)

    price = Pricing(ONE_OF_EACH).price(position, m, lengths)

    assert price.runtime_s == pytest.approx(lengths.weights @ said.runtime_s)
    assert price.energy_j == pytest.approx(lengths.weights @ (said.energy_j + system.host_power_w * said.runtime_s))


@PROPERTY
@given(
    m=st.integers(1, 4000),
    lengths=LENGTHS,
    in_flight=st.lists(st.integers(0, 9), min_size=6, max_size=6),
    cached=st.dictionaries(st.integers(0, 5), st.integers(0, 5000)),
)
def test_all_systems_at_once_cost_what_each_costs(
    m: int, lengths: Forecast, in_flight: list[int], cached: dict[int, int]
) -> None:
    """The tables behind a decision and the price that is shown afterwards agree, at any occupancy and cache."""
    pricing = Pricing(ONE_OF_EACH)
    pricing.tariff.occupied(in_flight)

    expected = pricing.tariff.expected(m, lengths, cached)

    prices = [pricing.price(at, m, lengths, Moment(in_flight[at]), cached_tokens=cached.get(at, 0)) for at in range(6)]
    np.testing.assert_allclose(expected.energy_j, [price.energy_j for price in prices], rtol=1e-9)
    np.testing.assert_allclose(expected.runtime_s, [price.runtime_s for price in prices], rtol=1e-9)
    assert expected.output_tokens == pytest.approx(lengths.mean)


@PROPERTY
@given(
    m=st.integers(1, 9000),
    n=st.integers(1, 9000),
    position=st.integers(0, 5),
    occupancy=st.integers(0, 7),
    cached=st.integers(0, 9000),
)
def test_one_length_costs_what_it_costs_among_many(m: int, n: int, position: int, occupancy: int, cached: int) -> None:
    """Floats and arrays say the same, beyond the first table and beyond the context too."""
    tariff = Tariff(ONE_OF_EACH)

    cost = tariff.cost(position, m, n, occupancy=occupancy, cached_tokens=cached)

    points = tariff.points(position, m, np.array([1, n]), occupancy=occupancy, cached_tokens=cached)
    np.testing.assert_allclose((cost.energy_j, cost.runtime_s), points[:, 1], rtol=1e-9, atol=1e-9)


@PROPERTY
@given(m=st.integers(1, 4000), n=st.integers(1, 3000), occupancy=st.integers(0, 7))
def test_company_is_priced_at_the_margin(m: int, n: int, occupancy: int) -> None:
    """A batch predictor's joules are those that one request more adds, and its seconds those among all of them."""
    marginal = BatchPredictor(batch()).marginal(np.array([m]), np.array([n]), occupancy=occupancy)

    price = Pricing([served("node", batch(), slots=8)]).price(0, m, Forecast.exactly(n), Moment(occupancy))

    assert price.energy_j == pytest.approx(marginal.energy_j[0])
    assert price.runtime_s == pytest.approx(marginal.runtime_s[0])


def test_a_full_node_is_priced_as_if_one_had_left() -> None:
    """Who queues runs among one fewer than there are slots, however many queue."""
    pricing, known = Pricing([served("node", batch(), slots=4)]), Forecast.exactly(50)

    prices = {pricing.price(0, 100, known, Moment(in_flight)) for in_flight in (3, 4, 9)}

    assert len(prices) == 1


def test_only_what_is_not_cached_is_computed() -> None:
    """60 of 100 cached tokens save p1 60 + p2 60^2 of the prefill; its reads at every step stay."""
    pricing, known = Pricing([served("node", batch())]), Forecast.exactly(50)

    saved_j = pricing.price(0, 100, known).energy_j - pricing.price(0, 100, known, cached_tokens=60).energy_j

    assert saved_j == pytest.approx(0.02 * 60 + 1e-5 * 60**2)


def test_one_token_is_always_computed() -> None:
    """A prompt that is cached whole costs what one cached but for its last token costs."""
    pricing, known = Pricing([served("node", batch())]), Forecast.exactly(50)

    assert pricing.price(0, 100, known, cached_tokens=100) == pricing.price(0, 100, known, cached_tokens=99)


def test_an_engine_without_a_cache_saves_nothing() -> None:
    """The prefix form reruns the prompt at every step, so nothing cached is of use to it."""
    pricing, known = Pricing([served("node", prefix())]), Forecast.exactly(50)

    assert pricing.price(0, 100, known, cached_tokens=60) == pricing.price(0, 100, known)


def test_what_is_known_exactly_has_no_interval() -> None:
    """One length and a predictor without error leave nothing open."""
    price = Pricing([served("node", batch())]).price(0, 100, Forecast.exactly(50))

    assert price.energy_lower_j == pytest.approx(price.energy_j)
    assert price.energy_upper_j == pytest.approx(price.energy_j)
    assert price.runtime_p95_s == pytest.approx(price.runtime_s)


def test_the_interval_of_a_known_length_is_the_predictors() -> None:
    """With one length what remains is 1.96 standard deviations either side: a tenth of the energy here."""
    price = Pricing([served("node", batch(misfit=0.1))]).price(0, 128, Forecast.exactly(64))

    assert price.energy_upper_j / price.energy_j == pytest.approx(1.196)
    assert price.energy_lower_j / price.energy_j == pytest.approx(0.804)
    assert price.runtime_p95_s / price.runtime_s == pytest.approx(1.1645)


@PROPERTY
@given(m=st.integers(1, 4000), lengths=LENGTHS, position=st.integers(0, 5))
def test_bounds_lie_around_the_mean(m: int, lengths: Forecast, position: int) -> None:
    """0 <= lower <= energy <= upper, and 19 of 20 take no less than the mean."""
    price = Pricing(ONE_OF_EACH).price(position, m, lengths)

    assert 0 <= price.energy_lower_j <= price.energy_j <= price.energy_upper_j
    assert price.runtime_p95_s >= price.runtime_s


def test_waiting_and_waking_count() -> None:
    """The wait is part of all times, the wake cost part of the energy and of both its bounds."""
    pricing, known = Pricing([served("node", batch())]), Forecast.exactly(50)
    awake, awake_ttft_s = pricing.price(0, 100, known), pricing.ttft_s(0, 100)
    waking = Moment(wait_s=3.0, wake_energy_j=70.0)

    woken, woken_ttft_s = pricing.price(0, 100, known, waking), pricing.ttft_s(0, 100, waking)

    assert awake_ttft_s is not None
    assert woken_ttft_s == pytest.approx(awake_ttft_s + 3)
    assert (woken.runtime_s, woken.runtime_p95_s) == pytest.approx((awake.runtime_s + 3, awake.runtime_p95_s + 3))
    assert woken.energy_lower_j == pytest.approx(awake.energy_lower_j + 70)


@pytest.mark.parametrize("position", [0, 3])
def test_forms_that_claim_nothing_tell_no_first_token(position: int) -> None:
    """A table or a regression read at one output token is no time to first token."""
    assert Pricing(ONE_OF_EACH).ttft_s(position, 100) is None


@pytest.mark.parametrize(
    ("m", "in_flight", "beyond"), [(100, 0, False), (5000, 0, True), (100, 7, False), (100, 8, True)]
)
def test_unmeasured_lengths_and_company_are_flagged(m: int, in_flight: int, beyond: bool) -> None:
    """Up to 4,096 tokens and 8 at a time were measured."""
    pricing = Pricing([served("node", batch(), slots=16)])

    assert pricing.price(0, m, Forecast.exactly(50), Moment(in_flight)).extrapolated is beyond


def test_long_prompts_are_priced_and_endless_answers_end_with_the_context() -> None:
    """The table grows up to the longest context, where an engine would stop too."""
    system = ServedSystem("node", prefix(), 1, context_tokens=20_000)
    tariff = Tariff([system])

    grown, cut = (tariff.expected(15_000, Forecast.exactly(n), {}) for n in (4000, 900_000))

    assert grown.energy_j[0] == pytest.approx(prefix().expect(np.array([15_000]), np.array([4000])).energy_j[0])
    assert cut.output_tokens == 5000
