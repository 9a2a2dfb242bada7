"""A log of served requests: its times, and what it refuses."""

import numpy as np
import pytest

from wattshed.domain.replay import Replay


def replay(*instants: float, output_tokens: int = 3) -> Replay:
    """One request that queued, started, had its first token and ended at these instants."""
    return Replay(np.array([8]), np.array([output_tokens]), *(np.array([at_s]) for at_s in instants))


def test_times_count_from_the_queue() -> None:
    """TTFT and runtime begin when a request queues; TPOT is the mean of the gaps between its tokens."""
    # when
    log = replay(1.0, 2.0, 4.0, 9.0)
    # then
    assert (log.ttft_s[0], log.tpot_s[0], log.runtime_s[0], len(log)) == (3.0, 2.5, 8.0, 1)


def test_one_token_has_no_gap() -> None:
    """There is nothing between the tokens of an answer of one."""
    assert np.isnan(replay(1.0, 2.0, 4.0, 4.0, output_tokens=1).tpot_s[0])


@pytest.mark.parametrize("instants", [(2.0, 1.0, 4.0, 9.0), (1.0, 2.0, 1.5, 9.0), (1.0, 2.0, 4.0, 3.0)])
def test_instants_do_not_fall(instants: tuple[float, ...]) -> None:
    """Nothing happens to a request before what comes first."""
    with pytest.raises(ValueError, match="queues, starts and ends in turn"):
        replay(*instants)


def test_requests_come_in_order() -> None:
    """Later requests queue later, and each part has as many as the others."""
    late, early = np.array([1.0, 0.0]), np.array([0])
    with pytest.raises(ValueError, match="in the order in which they queued"):
        Replay(np.array([8, 8]), np.array([3, 3]), late, late, late, late)
    with pytest.raises(ValueError, match="one common shape"):
        Replay(np.array([8, 8]), early, late, late, late, late)
