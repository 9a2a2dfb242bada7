"""Synthetic profiles of engines that serve requests in batches: one in the very form that is fitted, one a roofline.

A `Node` gives what it spends on b requests of one shape that are in flight together: joules of all, seconds of each.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System

SERVER = System("server", "toy", "accelerator", engine="toy", precision="bf16", kv_cache=True)
PAIR = (SERVER.name, SERVER.model)
CONCURRENCIES = (1, 2, 4, 8, 16, 32)
SHAPES = ((128, 32), (128, 256), (512, 32), (512, 128), (512, 512), (2048, 128), (2048, 512))
"""Input and output tokens; the least and the largest of each stay in when counts are left out."""

Node = Callable[[int, int, int], tuple[float, float]]
"""(m, n, b) -> joules of the whole batch, seconds of each request in it."""

IDLE_POWER_W = 110.0


def truth(m: int, n: int, b: int) -> tuple[float, float]:
    """The fitted form itself, with the knee of its steps at b = 8, on a node that idles at `IDLE_POWER_W`."""
    held, over = b * n * (m + n / 2), max(b - 8, 0)
    runtime_s = 0.02 + b * (0.004 + 4e-5 * m + 2e-9 * m**2) + n * (0.008 + 2e-4 * b + 1e-4 * over) + 1.5e-7 * held
    active_j = 1 + b * (0.5 + 0.02 * m + 1e-6 * m**2) + n * (2 + 0.3 * b + 0.02 * over) + 4e-5 * held
    return active_j + IDLE_POWER_W * runtime_s, runtime_s


def roofline(*, operations_per_s: float, bytes_per_s: float) -> Node:
    """A node with 7 G weights in bf16 and 0.1 MB of keys and values a token: not of the form that is fitted to it.

    Each step takes the longer of its arithmetic and its memory, and 0.3 ms to launch; flat out, either draws 400 W
    above idle. Arithmetic begins to bind where `operations_per_s / bytes_per_s` requests share the weights.
    """
    weights, key_value_bytes, attended = 7e9, 1e5, 32 * 4096

    def spent(operations: float, moved: float) -> np.ndarray:
        each_s = operations / operations_per_s, moved / bytes_per_s
        taken_s = max(each_s) + 3e-4
        return np.array([IDLE_POWER_W * taken_s + 400 * sum(each_s), taken_s])

    def node(m: int, n: int, b: int) -> tuple[float, float]:
        prefill = spent(b * (2 * weights * m + 2 * attended * m**2), 2 * weights + b * m * key_value_bytes)
        decode = [spent(2 * weights * b, 2 * weights + b * (m + step) * key_value_bytes) for step in range(1, n)]
        energy_j, runtime_s = prefill + np.sum(decode, axis=0)
        return float(energy_j), float(runtime_s)

    return node


ACCELERATOR = roofline(operations_per_s=5e14, bytes_per_s=3.3e12)
PROCESSOR = roofline(operations_per_s=1e12, bytes_per_s=1e11)
"""Arithmetic binds from 150 requests in flight on the one, and from 10 on the other."""


def batches(
    node: Node,
    *,
    noise: float = 0.0,
    concurrencies: Iterable[int] = CONCURRENCIES,
    shapes: Iterable[tuple[int, int]] = SHAPES,
    system: System = SERVER,
) -> Profile:
    """Three trials of every shape at every concurrency, the joules and seconds of each off by `noise`."""
    rng = np.random.default_rng(11)
    shapes = tuple(shapes)
    trials = []
    for b in concurrencies:
        for m, n in shapes:
            energy_j, runtime_s = node(m, n, b)
            for number in range(3):
                scatter = 1 + noise * rng.standard_normal(2)
                spent = energy_j / b * scatter[0], runtime_s * scatter[1]
                trials.append(trial((m, n), number, spent, concurrency=b, system=system))
    return Profile("batches", tuple(trials))


def trial(
    shape: tuple[int, int], number: int, spent: tuple[float, float], *, concurrency: int = 1, system: System = SERVER
) -> Measurement:
    """One trial of one among `concurrency` requests, which `spent` joules and seconds."""
    m, n = shape
    energy_j, runtime_s = spent
    return Measurement(
        replace(system, concurrency=concurrency),
        "batch",
        m,
        n,
        m,
        n,
        number,
        warm_up=False,
        runtime_s=runtime_s,
        boundary="all",
        gpu_energy_j=energy_j,
        cpu_energy_j=0.0,
    )
