"""Which leading part of a conversation lies in whose cache, so that only the rest is priced.

A conversation is a chain of blocks, each known by a hash of everything up to its end; two conversations share as many
leading blocks as they begin alike. Per system the index holds what was sent there lately, in two generations:

    remember    the chain goes into the young one; before that would outgrow half of `most_blocks`, young becomes old
                and the old one is dropped
    look up     a block is held if it is in either

Of an engine that keeps the `most_blocks` last used blocks it claims nothing that is gone, and knows at least the last
half. A whole chain goes in at once, so whoever holds a block holds all before it, and looking up halves its way.
Dropping a generation needs no order of use: 80 bytes a block, where an ordered dictionary takes 140.

It says what *should* lie there. An engine that was restarted lost it: `forget`.
"""

from bisect import bisect_left
from collections.abc import Sequence


class PrefixIndex:
    """Leading blocks by system, at most `most_blocks` (2 or more) each.

    Right where `most_blocks` is what the engines' caches hold; more claims hits that are none.
    """

    def __init__(self, most_blocks: int) -> None:
        if most_blocks < 2:
            raise ValueError(f"an index holds at least 2 blocks a system, got {most_blocks}")
        self._half = most_blocks // 2
        self._systems: dict[int, _Generations] = {}

    def cached_tokens(self, system: int, blocks: Sequence[int], block_tokens: float) -> int:
        """Tokens of the leading blocks that lie in the cache of `system`, with `block_tokens` in each."""
        held = self._systems.get(system)
        if held is None or not blocks or blocks[0] not in held:
            return 0
        return int(held.leading(blocks) * block_tokens)

    def remember(self, system: int, blocks: Sequence[int]) -> None:
        """Note that `system` has computed this chain; of a longer one than half the index, its beginning."""
        if system not in self._systems:
            self._systems[system] = _Generations(self._half)
        self._systems[system].add(blocks[: self._half])

    def forget(self, system: int) -> None:
        """Nothing lies there any longer."""
        self._systems.pop(system, None)

    def held_blocks(self, system: int) -> int:
        """Places that one system takes, at most `most_blocks`; a block used in this turn and the last takes two."""
        held = self._systems.get(system)
        return 0 if held is None else len(held)


class _Generations:
    """Blocks of one system: those used since the last turn, and those used in the turn before."""

    __slots__ = ("_most", "_old", "_young")

    def __init__(self, most: int) -> None:
        self._most = most
        self._young: set[int] = set()
        self._old: set[int] = set()

    def __contains__(self, block: int) -> bool:
        return block in self._young or block in self._old

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(self, blocks: Sequence[int]) -> None:
        """Put a chain of at most `most` blocks into the young generation."""
        new = len(set(blocks) - self._young)
        if len(self._young) + new > self._most:
            self._old, self._young = self._young, set()
        self._young.update(blocks)

    def leading(self, blocks: Sequence[int]) -> int:
        """How many of the chain are held: some leading ones, and none behind them."""
        young, old = self._young, self._old
        return bisect_left(blocks, True, key=lambda block: block not in young and block not in old)
