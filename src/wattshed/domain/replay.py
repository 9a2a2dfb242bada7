"""What one engine was asked and when it answered, request by request: a log that was measured, or one simulated."""

from dataclasses import dataclass

import numpy as np

from wattshed.domain.arrays import Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """N requests in the order in which they queued; arrays of shape (N,), instants on one clock.

    A request queues, starts when the engine first takes it up, and ends with its last token.
    """

    input_tokens: Integers
    output_tokens: Integers
    queued_at_s: Floats
    started_at_s: Floats
    first_token_at_s: Floats
    finished_at_s: Floats

    def __post_init__(self) -> None:
        if len({array.shape for array in (self.input_tokens, self.output_tokens, *self._instants)}) > 1:
            raise ValueError("the parts of a replay need one common shape (N,)")
        if np.any(np.diff(self._instants, axis=0) < 0) or np.any(np.diff(self.queued_at_s) < 0):
            raise ValueError(
                "requests come in the order in which they queued, and each queues, starts and ends in turn"
            )

    @property
    def ttft_s(self) -> Floats:
        """From the queue to the first token, shape (N,)."""
        return self.first_token_at_s - self.queued_at_s

    @property
    def tpot_s(self) -> Floats:
        """Mean time between two tokens of a request, shape (N,); NaN where it has only one."""
        gaps = np.where(self.output_tokens > 1, self.output_tokens - 1.0, np.nan)
        return np.asarray((self.finished_at_s - self.first_token_at_s) / gaps)

    @property
    def runtime_s(self) -> Floats:
        """From the queue to the last token, shape (N,)."""
        return self.finished_at_s - self.queued_at_s

    def __len__(self) -> int:
        return self.queued_at_s.size

    @property
    def _instants(self) -> tuple[Floats, Floats, Floats, Floats]:
        return self.queued_at_s, self.started_at_s, self.first_token_at_s, self.finished_at_s
