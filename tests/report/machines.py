"""Two machines that did the same work, the new one at known factors of the old one's cost but for a little scatter."""

from dataclasses import replace

import numpy as np

from tests.predictors.cases import trial
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System
from wattshed.profiler.design import REFERENCE

LENGTHS = ((8, 8), (8, 32), (8, 128), (512, 8), (512, 32), (512, 128))
IN_FLIGHT = (1, 4, 16, 64)

NEW = System("new (no cache)", "random:llama-2-7b", "GPU", engine="torch 2 eager", kv_cache=False, host="host-a")
OLD = replace(NEW, name="old (no cache)", host="host-b")
JOULES, SECONDS = 0.8, 1.0
"""What the new machine takes of the old one's."""


def machine(system: System, *, joules: float = 1.0, seconds: float = 1.0, seed: int = 1) -> Profile:
    """Three windows a cell: a grid without a cache, a grid that its host paces with one, and batches replayed."""
    rng = np.random.default_rng(seed)
    cached = replace(system, name=system.name.replace("no cache", "KV cache"), kv_cache=True)
    graph = replace(cached, name=system.name.replace("no cache", "graph"), engine="torch 2 graph")
    cells = [(system, lengths, 0.01, "device") for lengths in LENGTHS]
    cells += [(cached, lengths, 0.004, "host") for lengths in LENGTHS]
    cells += [(replace(graph, concurrency=b), LENGTHS[-1], 0.002 / b**0.5, "device") for b in IN_FLIGHT]

    def window(number: int, one: tuple[System, tuple[int, int], float, str], experiment: str) -> Measurement:
        runner, (m, n), cost, bound = one
        energy_j = joules * cost * (m + 100 * n) * rng.normal(1, 0.002)
        made = trial(experiment, (m, n), number, energy_j, system=runner)
        timed = replace(made, runtime_s=made.runtime_s * seconds / joules, started_at_s=10.0 * number, session=0)
        return replace(timed, bound=bound, sensor_uncertainty=0.0289)

    trials = [window(number, one, "grid") for one in cells for number in range(3)]
    trials += [window(number, cells[0], REFERENCE) for number in range(4)]
    return Profile(system.name.partition(" ")[0], tuple(trials), {}, frozenset({REFERENCE}))


def both() -> tuple[Profile, Profile]:
    """The new machine and the old one."""
    return machine(NEW, joules=JOULES, seconds=SECONDS, seed=2), machine(OLD)
