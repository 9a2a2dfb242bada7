"""How long the gateway takes to place a request: 10 systems, 10,000 requests of Alpaca lengths.

Run by `make bench`. Half of the systems are priced by the prefix form and half by the batch form, each forecast has 32
lengths, 16 requests run beside it, and the policy is the per-query optimum. Each figure is the mean over all requests
of the quickest of some passes, in CPU time of the thread, so that what else the machine does counts little. NumPy has
one thread, as `wattshed serve` gives it.
"""

import gc
import itertools
import os
import time
from collections import deque
from typing import NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read as NumPy loads

import numpy as np

from wattshed.datasets.profiles import read_profile
from wattshed.datasets.workloads import read_workload
from wattshed.domain.cost import Objective
from wattshed.gateway.fleet.live import Ticket
from wattshed.gateway.fleet.served import ServedSystem
from wattshed.gateway.placing.asking import Ask
from wattshed.gateway.placing.placement import Placement
from wattshed.gateway.placing.router import Router
from wattshed.policies.argmin import Argmin
from wattshed.policies.fixed import AllTo
from wattshed.predictors.fit import fit
from wattshed.predictors.length import LengthKey, LengthPredictor

REQUESTS, RUNNING, PASSES = 10_000, 16, 7
PAPER = ("M1-Pro", "Swing AMD+A100", "Palmetto Intel+A100", "Palmetto Intel+V100")
H100 = ("H100 80GB (static graph)", "random:llama-2-7b")
MOST_S = 20e-6


class Spent(NamedTuple):
    """Mean seconds a request."""

    decision_s: float
    counting_s: float
    telling_s: float


def fleet() -> list[ServedSystem]:
    """Five nodes of the paper and five H100s that batch, some with a host that the meters did not see."""
    prefix = fit(read_profile("bundled:wilkins2024"), only={(name, "Llama-2 (7B)") for name in PAPER}).predictors
    batch = fit(read_profile("bundled:h100"), kind="batch", channel="gpu", only={H100}).predictors[H100]
    paper = itertools.islice(itertools.cycle(prefix.values()), 5)
    return [
        *(ServedSystem(f"paper-{at}", one, 8, 4096) for at, one in enumerate(paper)),
        *(ServedSystem(f"h100-{at}", batch, 32, 4096, host_power_w=50.0 * at) for at in range(5)),
    ]


def alpaca_requests(rng: np.random.Generator) -> list[Ask]:
    """Requests of Alpaca lengths in random order, with forecasts learned as they pass."""
    alpaca, lengths, found = read_workload("bundled:alpaca"), LengthPredictor(), []
    drawn = rng.choice(alpaca.queries.size, REQUESTS, p=alpaca.queries / alpaca.total_queries)
    for m, n in zip(alpaca.input_tokens[drawn].tolist(), alpaca.output_tokens[drawn].tolist(), strict=True):
        key = LengthKey("model", "key", "chat", "", m)
        found.append(Ask(tuple(range(10)), m, lengths.forecast(key), (True,) * 10))
        lengths.observe(key, n)
    return found


def one_pass(router: Router, requests: list[Ask]) -> Spent:
    """Place and count every request while some run; then ask what a receipt needs of the last thousand."""
    running: deque[Ticket] = deque(router.begin(router.place(ask)) for ask in requests[:RUNNING])
    placed: deque[Placement] = deque(maxlen=1000)
    decision_s = counting_s = 0.0
    for ask in requests:
        started_s = time.thread_time()
        placement = router.place(ask)
        decided_s = time.thread_time()
        running.append(router.begin(placement))
        router.finished(running.popleft(), "completed")
        counting_s += time.thread_time() - decided_s
        decision_s += decided_s - started_s
        placed.append(placement)
    while running:
        router.finished(running.popleft(), "completed")
    started_s = time.thread_time()
    for placement in placed:
        _ = placement.price, placement.baseline_price, placement.reason
    return Spent(decision_s / REQUESTS, counting_s / REQUESTS, (time.thread_time() - started_s) / len(placed))


def main() -> None:
    """Print the mean of each step."""
    rng = np.random.default_rng(0)
    policy, baseline = Argmin(Objective(lam=0.5)), AllTo(1, "paper-1")
    router, requests = Router(fleet(), policy, baseline=baseline, now_s=time.monotonic, rng=rng), alpaca_requests(rng)
    gc.freeze()  # as the gateway does: 10,000 waiting requests are of this benchmark's making
    passes = [one_pass(router, requests) for _ in range(PASSES)]
    best = Spent(*(min(column) for column in zip(*passes, strict=True)))
    print(f"decision among 10 systems, {REQUESTS:,} requests      {1e6 * best.decision_s:6.1f} us")
    print(f"begin and finished                              {1e6 * best.counting_s:6.1f} us")
    print(f"two prices with intervals, baseline and reason  {1e6 * best.telling_s:6.1f} us")
    print(f"{'kept' if best.decision_s <= MOST_S else 'MISSED'}: a decision within {1e6 * MOST_S:g} us")


if __name__ == "__main__":
    main()
