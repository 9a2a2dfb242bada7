"""What a request is called, and what its row tells."""

import asyncio
from datetime import UTC, datetime
from itertools import count, islice

import numpy as np

from tests.gateway.scene import scene
from wattshed.domain.schema import LEDGER
from wattshed.gateway.ledger.ledger import Row
from wattshed.gateway.story import fresh_names

KINDS = {"text": str, "number": float, "integer": int, "flag": bool, "instant": datetime}


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


def test_a_row_has_every_value_in_its_column() -> None:
    """Values are of their columns' kinds, bounds lie about what they bound, and each figure is where its name says."""

    async def asked() -> Row:
        async with scene() as at:
            await at.ask(stream=True, headers={"x-request-id": "theirs"})
            return at.rows[0]

    row = asyncio.run(asked())
    known = [(column, value) for column, value in zip(LEDGER, row, strict=True) if value is not None]

    assert [one.name for one, value in known if type(value) is not KINDS[one.kind] and one.name != "candidates"] == []
    for mean, lower, upper in (
        (row.predicted_energy_j, row.predicted_energy_lower_j, row.predicted_energy_upper_j),
        (row.hindsight_energy_j, row.hindsight_energy_lower_j, row.hindsight_energy_upper_j),
        (row.hindsight_runtime_s, row.hindsight_runtime_lower_s, row.hindsight_runtime_upper_s),
        (row.baseline_energy_j, row.baseline_energy_lower_j, row.baseline_energy_upper_j),
        (row.predicted_runtime_s, 0.0, row.predicted_p95_runtime_s),
        (row.ttft_s, row.wait_s, row.runtime_s),
    ):
        assert mean is not None
        assert lower is not None
        assert upper is not None
        assert lower <= mean <= upper
    assert (row.client_request, row.outcome, row.status, row.attempts, row.in_flight) == ("theirs", "done", 200, 1, 0)
    assert (row.output_tokens, row.most_output_tokens, row.streamed) == (8, 8, True)
    assert {row.system, row.baseline} <= {one.system for one in row.candidates or ()}
    assert row.choice is not None
    assert row.choice.startswith(f"{row.policy}: {row.system} is predicted to take")
    assert row.energy_reason in {"pending", "no_agent"}
