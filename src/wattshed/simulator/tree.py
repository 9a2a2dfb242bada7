"""Who is first: a tournament among fixed players, and a heap of those in a server's slots.

Both lie in arrays that are shared by many, from `base` on. Ties go to the lower player, and to the lower query, so that
a run never hangs on the order in which something was put in.
"""

from wattshed.domain.arrays import Floats, Integers
from wattshed.simulator.compiling import inlined
from wattshed.simulator.records import Records


@inlined
def settle(tree: Integers, keys: Floats, base: int, size: int, player: int, key: float) -> None:
    """Give one of `size` players (a power of 2) another key; afterwards `tree[2 * base + 1]` has the least.

    Nodes 1 to 2 size - 1 of the tournament lie from 2 base on: node i has the better of the nodes 2 i and 2 i + 1.
    """
    if keys[base + player] == key:
        return
    keys[base + player] = key
    node = (size + player) >> 1
    while node >= 1:
        left, right = tree[2 * base + 2 * node], tree[2 * base + 2 * node + 1]
        tree[2 * base + node] = right if keys[base + right] < keys[base + left] else left
        node >>= 1


@inlined
def push(heap: Records, base: int, size: int, due: float, query: int) -> None:
    """Put one more into a heap of `size` entries."""
    at = _risen(heap, base, size, due, query)
    heap[base + at].due, heap[base + at].query = due, query


@inlined
def remove(heap: Records, base: int, size: int, at: int) -> None:
    """Take entry `at` out of a heap of `size` entries; entry 0 is the first."""
    last = heap[base + size - 1]
    due, query = last.due, last.query
    size -= 1
    if at == size:
        return
    at = _risen(heap, base, at, due, query)
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size:
            left, right = heap[base + child], heap[base + child + 1]
            if right.due < left.due or (right.due == left.due and right.query < left.query):
                child += 1
        below = heap[base + child]
        if due < below.due or (due == below.due and query < below.query):
            break
        heap[base + at].due, heap[base + at].query = below.due, below.query
        at = child
    heap[base + at].due, heap[base + at].query = due, query


@inlined
def place_of(heap: Records, base: int, size: int, query: int) -> int:
    """Which entry a query has; `size` where it has none."""
    at = 0
    while at < size and heap[base + at].query != query:
        at += 1
    return at


@inlined
def _risen(heap: Records, base: int, at: int, due: float, query: int) -> int:
    """The hole at `at` moved up to where an entry may go, its parents moved down."""
    while at > 0:
        parent = (at - 1) >> 1
        above = heap[base + parent]
        if not (due < above.due or (due == above.due and query < above.query)):
            break
        heap[base + at].due, heap[base + at].query = above.due, above.query
        at = parent
    return at
