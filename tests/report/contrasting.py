"""A profile with both sides of every effect, its costs known by hand."""

from dataclasses import replace

from tests.predictors.cases import trial
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.system import System

EAGER = System("box", "random:llama-2-7b", "GPU", engine="torch 2 eager", kv_cache=True, host="host-a")
UNCACHED = replace(EAGER, kv_cache=False)
GRAPH = replace(EAGER, engine="torch 2 graph")
SHAPES = ((8, 32), (8, 128), (512, 32), (512, 128))


def measured_on(
    system: System, per_output_token_j: float, *, shapes: tuple[tuple[int, int], ...] = SHAPES, bound: str = "device"
) -> list[Measurement]:
    """Two trials of each shape that cost so many joules a token at 100 W, half a joule to either side."""
    return [
        replace(trial("grid", (m, n), number, (per_output_token_j + off) * n, system=system), bound=bound)
        for m, n in shapes
        for number, off in enumerate((-0.5, 0.5))
    ]


def contrasting() -> Profile:
    """Without a cache 12 J a token, with one 4 J and paced by the host, replayed 2 J, and 0.5 J at four in flight."""
    trials = [
        *measured_on(UNCACHED, 12.0),
        *measured_on(EAGER, 4.0, bound="host"),
        *measured_on(GRAPH, 2.0, shapes=SHAPES[1::2]),
        *measured_on(replace(GRAPH, concurrency=4), 0.5, shapes=SHAPES[3:]),
    ]
    return Profile("contrasts", tuple(trials))
