"""What the gateway knows of a request before it dispatches it: output tokens, input tokens, cached tokens.

Run by `make bench`. Needs the reference data at ../shared/reference. Lengths are forecast and then learned, on the two
Azure traces of 2023 mixed in order of time; prefixes are looked up on the Mooncake trace. Times are of the processor,
each request's best of five passes that do the same.
"""

import math
import statistics
import sys
import time
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Hashable
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.stats import kendalltau

from wattshed.domain.arrays import Floats
from wattshed.gateway.placing.prefixes import PrefixIndex
from wattshed.gateway.placing.tokens import TokenEstimate
from wattshed.predictors.length import LengthKey, LengthPredictor

TRACES = Path(__file__).resolve().parents[1] / ".." / "shared" / "reference" / "workloads"
SMALL = 32
"""Output tokens up to which the paper sends a query to the small machine."""
LEVELS = (np.arange(32) + 0.5) / 32
"""Of the 32 points of a forecast."""
BLOCK_TOKENS = 512
"""In a block of the Mooncake trace."""


class Answered(NamedTuple):
    """One request of the mixed Azure traces, and how long its answer was."""

    route: str
    input_tokens: int
    output_tokens: int


class Contender(NamedTuple):
    """A way to forecast: points of a request's answer, and what to do once it is known."""

    forecast: Callable[[Answered], Floats]
    learn: Callable[[Answered], None]


def azure() -> list[Answered]:
    """Code and conversation as two routes, mixed in order of time."""
    frames = [
        pl.read_csv(TRACES / f"azure_llm_2023_{route}.csv").with_columns(pl.lit(route).alias("route"))
        for route in ("code", "conv")
    ]
    mixed = pl.concat(frames).sort("TIMESTAMP", maintain_order=True)
    return [Answered(*row) for row in mixed.select("route", "ContextTokens", "GeneratedTokens").iter_rows()]


def by_input() -> Contender:
    """1.5 times the prompt, as llm-d assumes."""
    return Contender(lambda one: np.array([1.5 * one.input_tokens]), lambda _: None)


def by_moving_average() -> Contender:
    """An exponentially weighted mean per route; each answer counts a tenth."""
    means: dict[str, float] = {}

    def learn(one: Answered) -> None:
        means[one.route] = 0.9 * means.get(one.route, one.output_tokens) + 0.1 * one.output_tokens

    return Contender(lambda one: np.array([means.get(one.route, 100.0)]), learn)


def by_median(place: Callable[[Answered], Hashable]) -> Contender:
    """The median of everything seen in one place."""
    seen: dict[Hashable, list[int]] = defaultdict(list)

    def learn(one: Answered) -> None:
        insort(seen[place(one)], one.output_tokens)

    return Contender(lambda one: np.array([statistics.median(seen[place(one)] or [100])]), learn)


def ours() -> Contender:
    """`LengthPredictor`, with its prior."""
    predictor = LengthPredictor()
    return Contender(
        lambda one: predictor.forecast(key_of(one)).output_tokens.astype(np.float64),
        lambda one: predictor.observe(key_of(one), one.output_tokens),
    )


def key_of(one: Answered) -> LengthKey:
    """The request as the predictor knows it."""
    return LengthKey("llm", "", one.route, "", one.input_tokens)


CONTENDERS = {
    "1.5 x input": by_input,
    "EWMA per route": by_moving_average,
    "median per log2(input)": lambda: by_median(lambda one: int(math.log2(one.input_tokens))),
    "median per route x log2(input)": lambda: by_median(lambda one: (one.route, int(math.log2(one.input_tokens)))),
    "`LengthPredictor`": ours,
}


def row(name: str, requests: list[Answered], contender: Contender) -> str:
    """One line of the table of lengths."""
    drawn = []
    for one in requests:
        drawn.append(contender.forecast(one))
        contender.learn(one)
    points, truth = np.array(drawn), np.array([one.output_tokens for one in requests])
    middle = np.median(points, axis=1)
    error = np.abs(middle - truth).mean()
    side = ((middle > SMALL) == (truth > SMALL)).mean()
    ranked = kendalltau(middle, truth).statistic
    parts = [f"{error:,.1f}", f"{100 * side:.1f} %", f"{ranked:.2f}", f"{pinball(points, truth):,.1f}"]
    return " | ".join([f"| {name}", *parts, *(coverage(points, truth, within) for within in (0.5, 0.9))]) + " |"


def pinball(points: Floats, truth: Floats) -> float:
    """Mean pinball loss over 32 quantiles; of a single point, half its absolute error."""
    below = truth[:, None] - np.broadcast_to(points, (len(points), LEVELS.size))
    return float(np.maximum(LEVELS * below, (LEVELS - 1) * below).mean())


def coverage(points: Floats, truth: Floats, within: float) -> str:
    """How many answers lie in the middle range that should hold `within` of them; nothing of a single point."""
    if points.shape[1] == 1:
        return ""
    low, high = np.quantile(points, ((1 - within) / 2, (1 + within) / 2), axis=1, method="hazen")  # as LEVELS lie
    return f"{100 * ((low <= truth) & (truth <= high)).mean():.1f} %"


class Turn(NamedTuple):
    """One turn of a conversation of the Mooncake trace."""

    input_tokens: int
    blocks: tuple[int, ...]


def mooncake() -> list[Turn]:
    """An hour of conversations, in order of time."""
    frame = pl.read_ndjson(TRACES / "mooncake_conversation.jsonl")
    return [Turn(m, tuple(blocks)) for m, blocks in frame.select("input_length", "hash_ids").iter_rows()]


def hit_rate(turns: list[Turn], systems: int, most_blocks: int, *, by_prefix: bool) -> tuple[float, float]:
    """Share of input tokens found in a cache, and tokens computed by the busiest system over their mean.

    With `by_prefix` a turn goes where its uncached tokens, and those that the system computed beyond the least busy
    one, are fewest; else in turns.
    """
    index, computed, found, serial = PrefixIndex(most_blocks), [0] * systems, 0, count()
    for one in turns:
        cached = [index.cached_tokens(system, one.blocks, BLOCK_TOKENS) for system in range(systems)]
        costs = [work - tokens for work, tokens in zip(computed, cached, strict=True)]
        system = costs.index(min(costs)) if by_prefix else next(serial) % systems
        known = min(cached[system], one.input_tokens)
        found, computed[system] = found + known, computed[system] + one.input_tokens - known
        index.remember(system, one.blocks)
    return found / sum(one.input_tokens for one in turns), max(computed) / statistics.mean(computed)


def prefix_table() -> None:
    """Hit rates with and without the index, and the most that any index could give."""
    turns = mooncake()
    print("\n| systems | blocks each | in turn | with the index | busiest system over the mean |")
    print("| --- | --- | --- | --- | --- |")
    for systems, most_blocks in ((4, 5_000), (4, 20_000), (10, 5_000), (10, 20_000)):
        without, _ = hit_rate(turns, systems, most_blocks, by_prefix=False)
        found, busiest = hit_rate(turns, systems, most_blocks, by_prefix=True)
        print(f"| {systems} | {most_blocks:,} | {100 * without:.1f} % | {100 * found:.1f} % | {busiest:.2f} |")
    most, _ = hit_rate(turns, 1, 400_000, by_prefix=False)
    print(f"\nOne cache that forgets nothing finds {100 * most:.1f} %.")


def speed_table(requests: list[Answered]) -> None:
    """CPU microseconds a request takes before dispatch and after its answer, each request's best of five passes."""
    before_us, after_us = np.min([timed(requests) for _ in range(5)], axis=0)
    print("\n| | mean | median | p99 |\n| --- | --- | --- | --- |")
    for name, taken_us in (("before dispatch", before_us), ("after the answer", after_us)):
        middle_us, late_us = np.quantile(taken_us, (0.5, 0.99))
        print(f"| {name} | {taken_us.mean():.1f} us | {middle_us:.1f} us | {late_us:.1f} us |")


def timed(requests: list[Answered]) -> Floats:
    """Both sides of one pass, shape (2, requests), in microseconds; prompts of 64 blocks, of which half are cached."""
    predictor, estimate, index = LengthPredictor(), TokenEstimate(), PrefixIndex(20_000)
    shared = tuple(range(32))
    taken_ns = []
    for serial, one in enumerate(requests, 1):
        prompt_bytes, chain = 4 * one.input_tokens, (*shared, *range(64 * serial, 64 * serial + 32))
        began = time.thread_time_ns()
        key = LengthKey("llm", "", one.route, "", estimate.estimate("llm", prompt_bytes))
        predictor.forecast(key, most_output_tokens=1024)
        index.cached_tokens(0, chain, BLOCK_TOKENS)
        dispatched = time.thread_time_ns()
        predictor.observe(key, one.output_tokens)
        estimate.observe("llm", prompt_bytes, one.input_tokens)
        index.remember(0, chain)
        taken_ns.append((dispatched - began, time.thread_time_ns() - dispatched))
    return np.array(taken_ns).T / 1000


def main() -> None:
    """Print the tables."""
    if not TRACES.is_dir():
        print("needs the reference data at ../shared/reference; skipped", file=sys.stderr)
        return
    requests = azure()
    print(
        "| forecast | MAE, tokens | right side of 32 | Kendall tau | pinball, tokens | in 50 % range | in 90 % range |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, contender in CONTENDERS.items():
        print(row(name, requests, contender()))
    prefix_table()
    speed_table(requests)


if __name__ == "__main__":
    main()
