"""An engine whose tokens, seconds and joules are known exactly: golden truth for whatever measures engines.

It runs on the clock it is given, so with a virtual one (`wattshed.testing.VirtualClock`) hours of campaign take no
time. Everything it did stands in `work`, which `wattshed.testing.SyntheticMeter` turns into the joules of any window.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from wattshed.domain.system import System
from wattshed.engines.engine import Generation, Request
from wattshed.errors import EngineError

Failure = Literal["out_of_memory", "timed_out", "engine_gone", "refused"]
"""The reasons that an engine may fail for."""

SYSTEM = System("synthetic", "synthetic", "none", engine="synthetic", precision="exact", kv_cache=True)
"""What the synthetic engine is unless it is told to be something else."""


@dataclass(frozen=True, slots=True)
class TrueCost:
    """What a request costs: joules and seconds of all its queries together, gross, and seconds to the first token."""

    energy_j: float
    runtime_s: float
    ttft_s: float | None = None

    def __post_init__(self) -> None:
        if self.runtime_s <= 0:
            raise ValueError(f"a request takes time, got {self.runtime_s} s")

    def scaled(self, joules: float, seconds: float) -> "TrueCost":
        """The cost with its joules and its seconds multiplied by a factor each."""
        ttft_s = None if self.ttft_s is None else self.ttft_s * seconds
        return TrueCost(self.energy_j * joules, self.runtime_s * seconds, ttft_s)


@dataclass(frozen=True, slots=True)
class Work:
    """Joules spent at constant power between two instants of the engine's clock."""

    started_at_s: float
    stopped_at_s: float
    energy_j: float


@dataclass(frozen=True, slots=True)
class Scatter:
    """Normal noise of relative standard deviation `spread`, on joules and on seconds apart; its mean is 1."""

    spread: float
    rng: np.random.Generator

    def __post_init__(self) -> None:
        if not 0 <= self.spread <= 0.2:
            raise ValueError(f"a spread beyond 0.2 draws negative joules sooner or later, got {self.spread}")

    def draw(self) -> tuple[float, float]:
        """One factor for joules and one for seconds."""
        joules, seconds = 1 + self.spread * self.rng.standard_normal(2)
        return float(joules), float(seconds)


@dataclass(frozen=True, slots=True)
class Failures:
    """What goes wrong: out of memory above so many tokens in all queries of a request, and a failure at given requests.

    Requests are counted from 0. A request that `at` names fails halfway, its joules and seconds half spent.
    """

    max_total_tokens: int | None = None
    at: Mapping[int, Failure] = field(default_factory=dict)


def batched(request: Request) -> TrueCost:
    """A made-up accelerator with a KV cache: 0.2 ms a prompt token, 20 ms a step however many share it, 300 W."""
    ttft_s = 2e-4 * request.input_tokens * request.concurrency + 0.02
    runtime_s = ttft_s + 0.02 * (request.output_tokens - 1)
    return TrueCost(300 * runtime_s, runtime_s, ttft_s)


class SyntheticEngine:
    """Answers every request with exactly the tokens asked for, at the cost that `cost` states."""

    def __init__(
        self,
        cost: Callable[[Request], TrueCost] = batched,
        *,
        now_s: Callable[[], float],
        sleep: Callable[[float], None],
        system: System = SYSTEM,
        scatter: Scatter | None = None,
        failures: Failures | None = None,
    ) -> None:
        self.system = system
        self.work: list[Work] = []
        self._cost, self._now_s, self._sleep = cost, now_s, sleep
        self._scatter, self._failures = scatter, failures or Failures()
        self._loaded = False
        self._requests = 0

    def load(self) -> None:
        """Be ready; takes no time."""
        self._loaded = True

    def generate(self, request: Request) -> tuple[Generation, ...]:
        """One `Generation` a query, all alike; raises the `EngineError` that the script says."""
        if not self._loaded:
            raise EngineError("engine_gone", "the synthetic engine is not loaded; call load() first")
        failure = self._failures.at.get(self._requests)
        self._requests += 1
        tokens = (request.input_tokens + request.output_tokens) * request.concurrency
        if self._failures.max_total_tokens is not None and tokens > self._failures.max_total_tokens:
            raise EngineError("out_of_memory", f"{tokens} tokens, and {self._failures.max_total_tokens} fit")
        cost = self._drawn(request)
        if failure is not None:
            self._spend(cost.scaled(0.5, 0.5))
            raise EngineError(failure, f"request {self._requests - 1} was scripted to fail")
        self._spend(cost)
        one = Generation(request.input_tokens, request.output_tokens, cost.runtime_s, cost.ttft_s, cached_tokens=0)
        return tuple(replace(one) for _ in range(request.concurrency))

    def close(self) -> None:
        """Be no longer ready."""
        self._loaded = False

    def _drawn(self, request: Request) -> TrueCost:
        cost = self._cost(request)
        return cost if self._scatter is None else cost.scaled(*self._scatter.draw())

    def _spend(self, cost: TrueCost) -> None:
        started_at_s = self._now_s()
        self._sleep(cost.runtime_s)
        self.work.append(Work(started_at_s, self._now_s(), cost.energy_j))
