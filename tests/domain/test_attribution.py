"""Joules of a shared window, split over the requests in it: none is made and none is lost."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.domain.attribution import Attribution, EnergyTrace, Span, Weights, attribute

WEIGHTS = Weights(prefill_token_j=0.02, decode_token_j=0.8, held_token_w=0.005)
NO_CACHE = Weights(prefill_token_j=0.02, decode_token_j=0.8, held_token_w=0)
IDLE_POWER_W = 100.0
SECONDS = st.floats(0, 100, allow_subnormal=False)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    """A request anywhere in, across or beside a window of 20 to 80 s; its phases may take no time."""
    started_at_s, first_token_at_s, finished_at_s = sorted(draw(st.tuples(SECONDS, SECONDS, SECONDS)))
    if draw(st.booleans()):
        first_token_at_s = draw(st.sampled_from((started_at_s, finished_at_s)))
    m = draw(st.integers(0, 5000))
    n, cached = draw(st.integers(1, 2000)), draw(st.integers(0, m))
    return Span("r", started_at_s, first_token_at_s, finished_at_s, m, n, cached)


@st.composite
def traces(draw: st.DrawFn) -> EnergyTrace:
    """Power from 0 to seven times idle between uneven instants from 20 to 80 s."""
    inner = draw(st.lists(st.floats(20.001, 79.999), unique=True, max_size=8))
    at_s = np.array([20.0, *sorted(inner), 80.0])
    power_w = draw(st.lists(st.floats(0, 700), min_size=at_s.size, max_size=at_s.size))
    return EnergyTrace.of_power(at_s, np.array(power_w))


def span(request: str = "a", start: float = 0, first: float = 2, finish: float = 10, **changes: int) -> Span:
    """A request of 100 input and 9 output tokens that takes 10 s, unless told otherwise."""
    counts = {"input_tokens": 100, "output_tokens": 9, **changes}
    return Span(request, start, first, finish, **counts)


def split(trace: EnergyTrace, *requests: Span, weights: Weights = WEIGHTS) -> Attribution:
    """The attribution above an idle power of 100 W."""
    return attribute(trace, requests, weights=weights, idle_power_w=IDLE_POWER_W)


@settings(deadline=None, max_examples=50)
@given(traces(), st.lists(spans(), max_size=12))
def test_joules_are_conserved(trace: EnergyTrace, requests: list[Span]) -> None:
    """Whoever comes and goes, and whatever is drawn: the parts add up to the whole, to rounding."""
    found = split(trace, *requests)

    assert found.energy_j.shape == (len(requests),)
    assert found.energy_j.sum() + found.unattributed_j == pytest.approx(trace.energy_j.sum(), rel=1e-9, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(traces(), st.lists(spans(), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_order_does_not_matter(trace: EnergyTrace, requests: list[Span], random: Random) -> None:
    """A request gets the same joules wherever it stands in the list."""
    order = list(range(len(requests)))
    random.shuffle(order)

    found, shuffled = split(trace, *requests), split(trace, *(requests[at] for at in order))

    assert shuffled.active_j == pytest.approx(found.active_j[order], rel=1e-9, abs=1e-6)
    assert shuffled.idle_j == pytest.approx(found.idle_j[order], rel=1e-9, abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(traces(), st.lists(spans(), max_size=6), st.floats(20.001, 79.999))
def test_windows_add_up(trace: EnergyTrace, requests: list[Span], cut_at_s: float) -> None:
    """Two halves of a trace attribute what the whole does, but for the growth of the cache within one piece of time."""
    at_s = np.unique(np.append(trace.at_s, cut_at_s))
    power_w = (trace.energy_j / np.diff(trace.at_s))[np.searchsorted(trace.at_s, at_s[:-1], side="right") - 1]
    cut = int(np.searchsorted(at_s, cut_at_s))
    energy_j = power_w * np.diff(at_s)
    halves = EnergyTrace(at_s[: cut + 1], energy_j[:cut]), EnergyTrace(at_s[cut:], energy_j[cut:])

    before, after = (split(half, *requests, weights=NO_CACHE) for half in halves)

    whole_j = split(trace, *requests, weights=NO_CACHE).energy_j
    assert before.energy_j + after.energy_j == pytest.approx(whole_j, rel=1e-6, abs=1e-6)


def test_alone_it_gets_everything() -> None:
    """A request that is there from first to last, and nobody else, pays for the window: idle and all."""
    found = split(EnergyTrace.of_window(0, 10, 3000), span())

    assert found.requests == ("a",)
    assert (found.active_j[0], found.idle_j[0]) == pytest.approx((2000, 1000))
    assert found.unattributed_j == 0


def test_nobody_there_is_unattributed() -> None:
    """What was drawn before the first request and after the last belongs to none."""
    found = split(EnergyTrace.of_window(-10, 20, 3000), span())

    assert found.energy_j[0] == pytest.approx(1000)
    assert found.unattributed_j == pytest.approx(2000)
    assert split(EnergyTrace.of_window(0, 10, 3000)).unattributed_j == 3000


def test_twins_share_alike() -> None:
    """Two of the same shape at the same time get the same."""
    found = split(EnergyTrace.of_window(0, 10, 3000), span("a"), span("b"))

    assert found.active_j == pytest.approx([1000, 1000])
    assert found.idle_j == pytest.approx([500, 500])


def test_work_decides_above_idle_and_residence_below() -> None:
    """While one prefills 1,000 tokens and one makes 10, with the cache free of charge, joules go 20 to 8 above idle."""
    long_prompt = span("a", 0, 10, 10, input_tokens=1000, output_tokens=1)
    decoding = span("b", 0, 0, 10, output_tokens=11)

    found = split(EnergyTrace.of_window(0, 10, 1000 + 2800), long_prompt, decoding, weights=NO_CACHE)

    assert found.active_j == pytest.approx([2000, 800])
    assert found.idle_j == pytest.approx([500, 500])


def test_held_tokens_cost_by_the_second() -> None:
    """By residency alone, a cache that grows from 100 to 108 tokens counts as 104, one of 300 to 308 as 304."""
    only_held = Weights(prefill_token_j=0, decode_token_j=0, held_token_w=1)
    small, large = span("a", 0, 0, 10), span("b", 0, 0, 10, input_tokens=300)

    found = split(EnergyTrace.of_window(0, 10, 1408), small, large, weights=only_held)

    assert found.active_j == pytest.approx([104, 304])


def test_cached_tokens_are_not_computed() -> None:
    """A prompt that came from the cache did no prefill: the other, whose prompt did not, pays for its own."""
    only_prefill = Weights(prefill_token_j=1, decode_token_j=0, held_token_w=0)

    found = split(EnergyTrace.of_window(0, 2, 500), span("a"), span("b", cached_tokens=100), weights=only_prefill)

    assert found.active_j == pytest.approx([300, 0])
    assert found.idle_j == pytest.approx([100, 100])


def test_the_trace_says_when_the_joules_were_drawn() -> None:
    """Who came in the quiet half does not pay for the loud one."""
    early, late = span("a", 0, 1, 5), span("b", 5, 6, 10)

    found = split(EnergyTrace(np.array([0.0, 5.0, 10.0]), np.array([2500.0, 600.0])), early, late)

    assert found.energy_j == pytest.approx([2500, 600])


def test_who_outlasts_the_window_shares_what_lies_inside() -> None:
    """Requests that began before it or end after it take part with what they did in it."""
    found = split(EnergyTrace.of_window(4, 6, 600), span("a", -100, 0, 100), span("b", -100, 0, 100))

    assert found.energy_j == pytest.approx([300, 300])


def test_an_instant_costs_nothing() -> None:
    """A request without length gets nothing, whatever it says it did, and disturbs nobody."""
    found = split(EnergyTrace.of_window(0, 10, 3000), span("a"), span("b", 5, 5, 5, input_tokens=10**6))

    assert found.energy_j == pytest.approx([3000, 0])


def test_work_that_no_weight_counts_is_split_evenly() -> None:
    """With weights of 0 joules above idle go by residence too."""
    found = split(EnergyTrace.of_window(0, 10, 3000), span("a"), span("b", 0, 2, 5), weights=Weights(0, 0, 0))

    assert found.energy_j == pytest.approx([2250, 750])


def test_less_than_idle_lowers_what_requests_get() -> None:
    """Where the node drew less than idle the rest is negative, kept, and split by work: nothing is cut off at 0."""
    found = split(EnergyTrace.of_window(0, 10, 800), span("a"), span("b"))

    assert found.active_j == pytest.approx([-100, -100])
    assert found.idle_j == pytest.approx([500, 500])


def test_power_is_integrated_by_trapezoids() -> None:
    """100 W that rise to 300 W over 2 s are 400 J."""
    trace = EnergyTrace.of_power(np.array([0.0, 2.0, 3.0]), np.array([100.0, 300.0, 300.0]))

    assert trace.energy_j.tolist() == [400, 300]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: span(first=11), "come in this order"),
        (lambda: span(finish=float("nan")), "come in this order"),
        (lambda: span(cached_tokens=101), "no more cached than input"),
        (lambda: span(output_tokens=0), "1 token at least"),
        (lambda: Weights(-1, 0, 0), "at least 0"),
        (lambda: EnergyTrace.of_window(1, 1, 5), "rising instants"),
        (lambda: EnergyTrace.of_window(0, 1, float("nan")), "finite joules"),
        (lambda: EnergyTrace(np.zeros(3), np.zeros(3)), "3 instants cannot bound 3 intervals"),
        (lambda: attribute(EnergyTrace.of_window(0, 1, 5), [], weights=WEIGHTS, idle_power_w=-1), "at least 0 W"),
    ],
)
def test_nonsense_is_refused(make: object, message: str) -> None:
    """Values that cannot be are a ValueError that says what is expected."""
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]  # each case is a function without arguments
