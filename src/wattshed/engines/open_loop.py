"""Open loop: queries come when they come, whether or not the server has answered those before.

A closed loop (`generate`) waits for the server and so hides its queues; this does not. A query that fails is a result
with its reason, and each says how late the client itself was, so that a client that cannot keep up is seen.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wattshed.domain.query import Query
from wattshed.engines.engine import Generation, Request
from wattshed.engines.openai import OpenAIEngine
from wattshed.errors import EngineError


@dataclass(frozen=True, slots=True)
class Served:
    """What became of a query: its generation, or the reason that there is none; `late_s` is the client's own delay."""

    query: Query
    late_s: float
    generation: Generation | None
    reason: str | None = None


def poisson(queries: Sequence[Query], rate_per_s: float, rng: np.random.Generator) -> tuple[Query, ...]:
    """The same queries in the same order, arriving as a Poisson process of so many a second."""
    arrival_s = np.cumsum(rng.exponential(1 / rate_per_s, len(queries)))
    return tuple(
        Query(query.input_tokens, query.output_tokens, float(at_s))
        for query, at_s in zip(queries, arrival_s, strict=True)
    )


def open_loop(engine: OpenAIEngine, queries: Sequence[Query], *, serial: int = 0) -> tuple[Served, ...]:
    """Send each query at its `arrival_s` and wait for the last answer; prompts are made before the clock starts.

    `serial` makes the prompts of two runs differ. ValueError where a query has no arrival time or times fall.
    """
    arrivals = [query.arrival_s for query in queries if query.arrival_s is not None]
    if len(arrivals) < len(queries) or any(later < earlier for earlier, later in pairwise(arrivals)):
        raise ValueError("an open loop needs the arrival time of every query, in order")
    return engine.run(_sent(engine, queries, serial))


async def _sent(engine: OpenAIEngine, queries: Sequence[Query], serial: int) -> tuple[Served, ...]:
    requests = [Request(query.input_tokens, query.output_tokens, 1, serial) for query in queries]
    prompts = [await engine.prompt(request, number) for number, request in enumerate(requests)]
    start_s = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for query, prompt in zip(queries, prompts, strict=True):
            late_s = await _until(start_s + (query.arrival_s or 0.0))
            tasks.append(group.create_task(_served(query, late_s, engine.ask(prompt, query.output_tokens))))
    return tuple(task.result() for task in tasks)


async def _until(at_s: float) -> float:
    """Wait for an instant of the event loop; the seconds by which it was missed."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(max(at_s - loop.time(), 0.0))
    return max(loop.time() - at_s, 0.0)


async def _served(query: Query, late_s: float, answer: Coroutine[object, object, Generation]) -> Served:
    try:
        return Served(query, late_s, await answer)
    except EngineError as error:
        return Served(query, late_s, None, error.reason)
