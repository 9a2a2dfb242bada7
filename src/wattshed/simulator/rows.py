"""Queries written into records and read from them, each in one pass: column by column took three times as long."""

import numpy as np

from wattshed.domain.arrays import Floats, Integers
from wattshed.simulator.compiling import compiled
from wattshed.simulator.records import PENDING, Records


@compiled
def lay_out(queries: Records, bucket: Integers, shapes: Integers, arrival_s: Floats) -> None:
    """Write Q queries that nobody has placed; `shapes` has shape (B, 2), input and output tokens."""
    for query in range(queries.size):
        record = queries[query]
        record.arrival_s, record.bucket = arrival_s[query], bucket[query]
        record.input_tokens, record.output_tokens = shapes[bucket[query], 0], shapes[bucket[query], 1]
        record.prompt, record.read, record.begin = record.input_tokens, 0, 0
        record.started_at_s, record.first_token_at_s, record.finished_at_s = np.nan, np.nan, np.nan
        record.service_s, record.energy_j, record.share_at_j = 0.0, 0.0, 0.0
        record.before, record.after, record.server, record.slot = -1, -1, -1, -1
        record.sampled, record.joined, record.preemptions = 0, 0, 0
        record.outcome, record.retried = PENDING, False


@compiled
def read_out(queries: Records, times: Floats, counts: Integers) -> None:
    """Fill `times`, shape (4, Q), and `counts`, shape (3, Q), with what became of the queries."""
    for query in range(queries.size):
        record = queries[query]
        times[0, query], times[1, query] = record.started_at_s, record.first_token_at_s
        times[2, query], times[3, query] = record.finished_at_s, record.energy_j
        counts[0, query], counts[1, query], counts[2, query] = record.server, record.outcome, record.preemptions
