"""Forecasts of output length: what they learn, what they lean on, and how well they do on real traces."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.datasets.profiles import BUNDLED
from wattshed.predictors.length import ALPACA_GPT4, POINTS, Forecast, LengthKey, LengthPredictor

AZURE = Path(__file__).resolve().parents[2] / ".." / "shared" / "reference" / "workloads"
KEY = LengthKey("llama", "alice", "chat", "", 100)
LENGTHS = st.integers(1, 10_000)


def taught(lengths: list[int], key: LengthKey = KEY) -> LengthPredictor:
    """A predictor that has seen these answers."""
    predictor = LengthPredictor()
    for length in lengths:
        predictor.observe(key, length)
    return predictor


def middle(predictor: LengthPredictor, key: LengthKey = KEY) -> int:
    """The median that it forecasts."""
    return predictor.forecast(key).quantile(0.5)


def test_before_any_answer_the_prior_is_the_forecast() -> None:
    """A cold start forecasts the prior as it stands."""
    forecast = LengthPredictor().forecast(KEY)

    assert np.array_equal(forecast.output_tokens, ALPACA_GPT4.output_tokens)


def test_prior_is_that_of_the_bundled_lengths() -> None:
    """The shipped prior is the 32 quantiles of the shipped distribution."""
    frame = pl.read_parquet(BUNDLED / "alpaca" / "gpt4_output_lengths.parquet")
    lengths = np.repeat(frame["length"].to_numpy(), frame["queries"].to_numpy())

    at = ((np.arange(POINTS) + 0.5) / POINTS * lengths.size).astype(np.int64)

    assert np.array_equal(np.sort(lengths)[at], ALPACA_GPT4.output_tokens)


def test_cap_is_never_taken_for_a_forecast() -> None:
    """A cap far above what answers have been leaves the forecast as it is."""
    predictor = taught([20] * 64)

    assert predictor.forecast(KEY, most_output_tokens=4096).mean == predictor.forecast(KEY).mean


def test_cap_cuts_the_forecast() -> None:
    """No point lies beyond the client's cap, and those within it stay."""
    forecast = LengthPredictor().forecast(KEY, most_output_tokens=100)

    assert forecast.output_tokens.max() == 100
    assert np.array_equal(forecast.output_tokens[:15], ALPACA_GPT4.output_tokens[:15])


def test_hint_is_believed_up_to_the_cap() -> None:
    """A client that says how long its answer will be gets that as its forecast."""
    predictor = LengthPredictor()

    assert predictor.forecast(KEY, hint=77).output_tokens.tolist() == [77]
    assert predictor.forecast(KEY, hint=77, most_output_tokens=50).mean == 50


def test_a_prior_may_have_any_weights() -> None:
    """A prior of two lengths, one three times as likely, is leant on as it is."""
    predictor = LengthPredictor(Forecast(np.array([10, 1000]), np.array([0.75, 0.25])))

    assert predictor.forecast(KEY).mean == pytest.approx(257.5)


def test_many_answers_outweigh_the_prior() -> None:
    """Where alike requests were answered alike, most of the forecast lies there."""
    forecast = taught([300] * 64).forecast(KEY)

    assert (forecast.output_tokens == 300).mean() > 0.75


def test_one_answer_does_not() -> None:
    """A single answer moves the forecast a little."""
    forecast = taught([9_000]).forecast(KEY)

    assert 0 < (forecast.output_tokens == 9_000).mean() < 0.5


def test_prompt_lengths_are_told_apart() -> None:
    """Short prompts with long answers do not make long prompts look so."""
    predictor = taught([500] * 64)
    other = KEY._replace(input_tokens=2_000)
    for _ in range(64):
        predictor.observe(other, 10)

    assert (middle(predictor), middle(predictor, other)) == (500, 10)


@pytest.mark.parametrize("field", ["model", "key", "route", "flags"])
def test_requests_of_other_kinds_are_told_apart(field: str) -> None:
    """Answers to another model, key, route or with other flags give way to one's own."""
    predictor = taught([500] * 64)
    other = KEY._replace(**{field: "other"})
    for _ in range(64):
        predictor.observe(other, 10)

    assert (middle(predictor), middle(predictor, other)) == (500, 10)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(KEY._replace(input_tokens=104), id="a prompt of nearly that length"),
        pytest.param(KEY._replace(input_tokens=9_000), id="a prompt of another length"),
        pytest.param(KEY._replace(key="bob"), id="another key on the same route"),
        pytest.param(KEY._replace(route="completions"), id="another route of the model"),
    ],
)
def test_unseen_requests_lean_on_the_nearest_that_were_seen(other: LengthKey) -> None:
    """Who comes for the first time is forecast from those most alike, and not from the prior."""
    assert middle(taught([500] * 64), other) == 500


def test_old_answers_are_forgotten() -> None:
    """After a change, 64 answers of the new kind are all that counts."""
    predictor = taught([500] * 200 + [20] * 64)

    assert predictor.forecast(KEY).quantile(0.9) == 20


def test_answers_cut_by_a_cap_are_learned_as_longer() -> None:
    """Half the answers have 30 tokens and half 400, and a cap of 100 on all of the latter but a few hides little."""
    predictor = taught([30, 400] * 8)
    for _ in range(100):
        predictor.observe(KEY, 30)
        predictor.observe(KEY, 100, cut=True)

    forecast = predictor.forecast(KEY)

    assert 100 not in forecast.output_tokens
    assert 0.3 < (forecast.output_tokens > 100).mean() < 0.6


@pytest.mark.parametrize("nonsense", [-1, 0, 10**12])
def test_counts_that_no_answer_has_are_not_learned(nonsense: int) -> None:
    """An engine that miscounts teaches nothing."""
    predictor = taught([nonsense])

    assert len(predictor) == 0


def test_memory_is_bounded() -> None:
    """However many keys there are, no more places are kept than allowed, and those in use survive."""
    predictor = LengthPredictor(most_places=50)
    for number in range(1_000):
        predictor.observe(KEY._replace(key=f"key {number}", input_tokens=number), 10)
        predictor.observe(KEY, 500)

    assert len(predictor) <= 50
    assert middle(predictor) == 500


def test_what_an_answer_is_about_to_teach_is_not_forgotten_for_it() -> None:
    """Room for a new place is made where nobody learned for longest, not among the places behind the new one."""
    predictor = LengthPredictor(most_places=8)
    for key, length in [(KEY, 500)] * 64 + [(KEY._replace(key="bob"), 10), (KEY, 500)]:
        predictor.observe(key, length)

    assert len(predictor) == 8
    assert middle(predictor, KEY._replace(input_tokens=9_000)) == 500


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(1, 10_000), LENGTHS, st.booleans()), max_size=100), st.integers(1, 20_000), LENGTHS
)
def test_a_forecast_is_a_distribution(
    seen: list[tuple[int, int, bool]], input_tokens: int, most_output_tokens: int
) -> None:
    """Whatever was seen, points rise from 1 to at most the cap, weights add up to 1 and the mean lies between."""
    predictor = LengthPredictor()
    for at, length, cut in seen:
        predictor.observe(KEY._replace(input_tokens=at), length, cut=cut)

    forecast = predictor.forecast(KEY._replace(input_tokens=input_tokens), most_output_tokens=most_output_tokens)

    points = forecast.output_tokens
    assert points.size <= POINTS
    assert points.dtype == np.int64
    assert np.all(np.diff(points) >= 0)
    assert 1 <= points[0] <= forecast.mean <= points[-1] <= most_output_tokens
    assert forecast.weights.sum() == pytest.approx(1)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(LENGTHS, st.integers(1, 9)), min_size=1, max_size=POINTS), st.floats(0.01, 1))
def test_a_quantile_is_where_the_weight_is_reached(drawn: list[tuple[int, int]], p: float) -> None:
    """At least a share of `p` lies at or below its quantile, and less below it."""
    points, weights = np.array(sorted(drawn)).T
    forecast = Forecast(points, weights / weights.sum())

    found = forecast.quantile(p)

    assert forecast.weights[points <= found].sum() >= p - 1e-6
    assert forecast.weights[points < found].sum() <= p + 1e-6


@pytest.mark.parametrize("points", [0, POINTS + 1])
def test_too_many_or_no_points_are_refused(points: int) -> None:
    """A forecast has 1 to 32 points, so that pricing it stays quick."""
    with pytest.raises(ValueError, match="1 to 32 points"):
        Forecast(np.ones(points, np.int64), np.ones(points))


def test_real_traffic_is_forecast_better_than_by_the_best_rule_of_thumb() -> None:
    """On the Azure traces, mixed, it beats the median per route and log2(input): 52 tokens, 92 % and 0.66."""
    from scipy.stats import kendalltau

    requests = azure()
    predictor, drawn = LengthPredictor(), []
    for key, length in requests:
        drawn.append(predictor.forecast(key).output_tokens)
        predictor.observe(key, length)
    points, truth = np.array(drawn), np.array([length for _, length in requests])
    forecast = np.median(points, axis=1)

    assert np.abs(forecast - truth).mean() < 36
    assert ((forecast > 32) == (truth > 32)).mean() > 0.93
    assert kendalltau(forecast, truth).statistic > 0.68
    assert inside(points, truth, 0.5) == pytest.approx(0.5, abs=0.03)
    assert inside(points, truth, 0.9) == pytest.approx(0.9, abs=0.02)


def azure() -> list[tuple[LengthKey, int]]:
    """Two routes, mixed in order of time."""
    if not AZURE.is_dir():
        pytest.skip("needs the reference data at ../shared/reference")
    frames = [
        pl.read_csv(AZURE / f"azure_llm_2023_{route}.csv").with_columns(route=pl.lit(route))
        for route in ("code", "conv")
    ]
    mixed = pl.concat(frames).sort("TIMESTAMP", maintain_order=True)
    rows = mixed.select("route", "ContextTokens", "GeneratedTokens").iter_rows()
    return [(LengthKey("llm", "", route, "", m), n) for route, m, n in rows]


def inside(points: np.ndarray, truth: np.ndarray, within: float) -> float:
    """Share of answers within the middle range that should hold `within` of them."""
    low, high = np.quantile(points, ((1 - within) / 2, (1 + within) / 2), axis=1, method="hazen")
    return float(((low <= truth) & (truth <= high)).mean())
