"""What a request is called."""

from datetime import UTC, datetime
from itertools import count, islice

import numpy as np

from wattshed.gateway.story import fresh_names


def test_names_are_fresh() -> None:
    """Each has 128 bits in hex, none comes twice, and generations that are born of one generator share none."""
    parent = np.random.default_rng(0)

    old, new = (set(islice(fresh_names(parent.spawn(1)[0]), 1000)) for _ in range(2))

    assert len(old | new) == 2000
    assert {len(name) for name in old} == {32}
    assert all(int(name, 16) >= 0 for name in old)


def test_names_rise_with_time() -> None:
    """A later name sorts behind an earlier one, so that an index of them grows at its end."""
    clock = count(1_800_000_000)

    names = list(
        islice(fresh_names(np.random.default_rng(0), utc=lambda: datetime.fromtimestamp(next(clock), UTC)), 1000)
    )

    assert names == sorted(names)
    assert int(names[0][:12], 16) == 1_800_000_000_000
