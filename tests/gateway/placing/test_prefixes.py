"""The prefix index: what it claims, what it holds, and what it wins on real conversations."""

from collections import OrderedDict
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattshed.gateway.placing.prefixes import PrefixIndex

MOONCAKE = (
    Path(__file__).resolve().parents[3] / ".." / "shared" / "reference" / "workloads" / "mooncake_conversation.jsonl"
)
BLOCK_TOKENS = 512
MOST_BLOCKS = 20

CHAINS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=MOST_BLOCKS // 2), max_size=60)


def chained(choices: list[int]) -> tuple[int, ...]:
    """Hashes of all leading parts, so that two conversations share as many as they begin alike."""
    return tuple(hash(tuple(choices[: end + 1])) for end in range(len(choices)))


def test_a_conversation_is_found_where_it_was() -> None:
    """The blocks that a system has computed count there and nowhere else."""
    index = PrefixIndex(100)
    index.remember(1, (11, 12, 13))

    assert index.cached_tokens(1, (11, 12, 13, 14), 512) == 3 * 512
    assert index.cached_tokens(0, (11, 12, 13, 14), 512) == 0


def test_only_the_part_that_begins_alike_counts() -> None:
    """Two conversations with one system prompt share that much."""
    index = PrefixIndex(100)
    index.remember(0, chained([1, 1, 2, 2]))

    assert index.cached_tokens(0, chained([1, 1, 0, 2]), 100.5) == 201


def test_a_prompt_without_blocks_is_nowhere() -> None:
    """A prompt shorter than a block has nothing to look up."""
    index = PrefixIndex(100)
    index.remember(0, ())

    assert index.cached_tokens(0, (), 512) == 0


def test_a_restarted_system_has_nothing() -> None:
    """What was forgotten is no longer claimed, and others keep theirs."""
    index = PrefixIndex(100)
    index.remember(0, (1, 2))
    index.remember(1, (1, 2))

    index.forget(0)

    assert [index.cached_tokens(system, (1, 2), 10) for system in (0, 1)] == [0, 20]


def test_the_beginning_of_a_long_conversation_is_kept() -> None:
    """Of a conversation longer than half the index, the leading blocks are held."""
    index = PrefixIndex(10)
    index.remember(0, tuple(range(1000)))

    assert index.cached_tokens(0, tuple(range(1000)), 1) == 5


def test_an_index_of_nothing_is_refused() -> None:
    """Less than two blocks leave no room for two generations."""
    with pytest.raises(ValueError, match="at least 2 blocks"):
        PrefixIndex(1)


@settings(deadline=None, max_examples=50)
@given(CHAINS, st.lists(st.integers(0, 2), min_size=1, max_size=MOST_BLOCKS // 2))
def test_it_lies_between_two_caches_of_last_used_blocks(chains: list[list[int]], asked: list[int]) -> None:
    """It claims all that an engine with half its blocks still has, and nothing that one with all of them lost."""
    index, half, whole = PrefixIndex(MOST_BLOCKS), LastUsed(MOST_BLOCKS // 2), LastUsed(MOST_BLOCKS)
    for chain in map(chained, chains):
        index.remember(0, chain)
        half.use(chain)
        whole.use(chain)

    found = index.cached_tokens(0, chained(asked), 1)

    assert half.leading(chained(asked)) <= found <= whole.leading(chained(asked))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=50), max_size=50))
def test_memory_is_bounded(chains: list[list[int]]) -> None:
    """No system ever takes more places than allowed."""
    index = PrefixIndex(MOST_BLOCKS)
    for chain in chains:
        index.remember(0, chain)

        assert index.held_blocks(0) <= MOST_BLOCKS


def test_going_back_to_the_prefix_wins_tokens() -> None:
    """On the Mooncake trace, four systems find half as much again in their caches, and share the work evenly."""
    without, _ = replayed(by_prefix=False)
    found, busiest = replayed(by_prefix=True)

    assert without == pytest.approx(0.179, abs=0.005)
    assert found > 0.3
    assert busiest < 1.05


class LastUsed:
    """An engine's cache: the last used blocks, of a chain the last ones being the first to go."""

    def __init__(self, most_blocks: int) -> None:
        self._most, self._blocks = most_blocks, OrderedDict[int, None]()

    def use(self, chain: tuple[int, ...]) -> None:
        """Compute a chain."""
        for block in reversed(chain):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)

    def leading(self, chain: tuple[int, ...]) -> int:
        """Leading blocks of the chain that are there."""
        gone = (place for place, block in enumerate(chain) if block not in self._blocks)
        return next(gone, len(chain))


def replayed(*, by_prefix: bool) -> tuple[float, float]:
    """Share of the trace's input tokens found in a cache of four, and the busiest system's work over the mean.

    A turn goes to the system that would have computed least after it, or to each in turn.
    """
    index, computed, tokens, found = PrefixIndex(20_000), [0] * 4, 0, 0
    for serial, (input_tokens, blocks) in enumerate(mooncake()):
        cached = [min(input_tokens, index.cached_tokens(system, blocks, BLOCK_TOKENS)) for system in range(4)]
        costs = [work - known for work, known in zip(computed, cached, strict=True)]
        system = costs.index(min(costs)) if by_prefix else serial % 4
        index.remember(system, blocks)
        computed[system] += input_tokens - cached[system]
        tokens, found = tokens + input_tokens, found + cached[system]
    return found / tokens, max(computed) / (sum(computed) / 4)


def mooncake() -> list[tuple[int, list[int]]]:
    """Input tokens and block hashes of an hour of conversations."""
    if not MOONCAKE.is_file():
        pytest.skip("needs the reference data at ../shared/reference")
    return list(pl.read_ndjson(MOONCAKE).select("input_length", "hash_ids").iter_rows())
