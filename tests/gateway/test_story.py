"""What a request is called."""

from itertools import islice

import numpy as np

from wattshed.gateway.story import fresh_names


def test_names_are_fresh() -> None:
    """Each has 128 bits in hex, none comes twice, and generations that are born of one generator share none."""
    parent = np.random.default_rng(0)

    old, new = (set(islice(fresh_names(parent.spawn(1)[0]), 1000)) for _ in range(2))

    assert len(old | new) == 2000
    assert {len(name) for name in old} == {32}
    assert all(int(name, 16) >= 0 for name in old)
