"""Measuring an engine of the embedded demo as it starts: a few seconds of requests, and a predictor fitted to them.

    every shape of CELLS, alone and two at a time  -->  trials  -->  the batch form, on the channel `cpu`

A quick look and no campaign: each cell is tried once, nothing is known of its spread, and nobody waits for idle or
steady state; intervals are as wide as the form misses cells that were left out of it. Seconds are real. Joules are as
good as the counter behind them, which is the caller's.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

import msgspec

from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System
from wattshed.errors import EngineError
from wattshed.gateway.wire.client import Upstream
from wattshed.gateway.wire.failures import UpstreamError
from wattshed.gateway.wire.http import Headers
from wattshed.predictors.fit import Fitted, fit

CELLS: Final = ((16, 4), (16, 16), (64, 4), (64, 16))
"""Words asked and tokens answered; with the two concurrencies, eight cells for the seven terms of the batch form."""
CONCURRENCIES: Final = (1, 2)

_WHOLE: Final = {"ignore_eos": True, "cache_prompt": False}
"""llama.cpp's own: write as many tokens as were asked for, and read all of the prompt."""
_JSON: Final[Headers] = ((b"content-type", b"application/json"),)
_MOST_BYTES: Final = 1 << 20


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class _Answer(msgspec.Struct):
    usage: _Usage


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: a model on a system, where it listens, and a counter of its joules, with their boundary."""

    system: System
    url: str
    energy_j: Callable[[], float]
    boundary: str


async def measured(subject: Subject, *, now_s: Callable[[], float] = monotonic) -> Fitted:
    """The predictor of one engine; `EngineError` where it does not answer as it should."""
    upstream = Upstream(subject.url)
    try:
        trials = await _Bench(subject, upstream, now_s).trials()
    except (UpstreamError, msgspec.MsgspecError) as error:
        raise EngineError("engine_gone", f"{subject.system.name} could not be measured ({error})") from error
    finally:
        upstream.close()
    profile = Profile(f"{subject.system.name}, as it started", tuple(trials))
    return await asyncio.to_thread(lambda: fit(profile, kind="batch", channel="cpu"))


class _Bench:
    """Asks one engine."""

    def __init__(self, subject: Subject, upstream: Upstream, now_s: Callable[[], float]) -> None:
        self._subject, self._upstream, self._now_s = subject, upstream, now_s
        self._asked = 0

    async def trials(self) -> list[Measurement]:
        """All trials; a warm-up goes before them and is forgotten."""
        await self._ask(*CELLS[0])
        shapes = [(cell, concurrency) for concurrency in CONCURRENCIES for cell in CELLS]
        return [one for shape in shapes for one in await self._trials_of(*shape)]

    async def _trials_of(self, cell: tuple[int, int], concurrency: int) -> list[Measurement]:
        """Requests of one shape at once: each takes as long as all of them, and has its part of the joules."""
        subject, started_at_s, started_j = self._subject, self._now_s(), self._subject.energy_j()
        usages = await asyncio.gather(*[self._ask(*cell) for _ in range(concurrency)])
        runtime_s, energy_j = self._now_s() - started_at_s, subject.energy_j() - started_j
        system = replace(subject.system, concurrency=concurrency)
        return [
            Measurement(
                system,
                "start",
                *cell,
                usage.prompt_tokens,
                usage.completion_tokens,
                trial,
                False,
                runtime_s,
                subject.boundary,
                cpu_energy_j=energy_j / concurrency,
            )
            for trial, usage in enumerate(usages)
        ]

    async def _ask(self, words: int, output_tokens: int) -> _Usage:
        """One request; its words begin with a number that no other has, so that no engine has read them before."""
        self._asked += 1
        prompt = f"{self._asked}" + " ocean" * (words - 1)
        body = {"model": self._subject.system.model, "prompt": prompt, "max_tokens": output_tokens, **_WHOLE}
        answer = await self._upstream.send("POST", "/v1/completions", _JSON, msgspec.json.encode(body))
        content = await answer.whole(_MOST_BYTES)
        answer.close()
        return msgspec.json.decode(content, type=_Answer).usage
