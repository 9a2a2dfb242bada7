"""How long planning takes: the whole command on ten million queries and on a thousand, and its parts.

Run by `make bench`. Times are of one run on a noisy machine: read the ratios.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from wattshed.domain.cost import CostTable, Objective
from wattshed.domain.query import Workload
from wattshed.planner.pareto import front
from wattshed.planner.sweep import best_thresholds, surface
from wattshed.policies.threshold import Pair

FLEET = "model: Llama-2 (7B)\nsystems:\n  - system: Palmetto Intel+A100\n  - system: Swing AMD+A100\n"
PAIR = Pair.of(("small", "large"), 0, 1)


def best_of(action: Callable[[], object], runs: int = 5) -> float:
    """Seconds of the quickest of some runs."""
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def whole_command(folder: Path, queries: int, suffix: str, rng: np.random.Generator) -> str:
    """`wattshed plan` as a process of its own, start included."""
    m = np.clip(rng.lognormal(5, 1.2, queries), 1, 4096).astype(np.int32)
    n = np.clip(rng.lognormal(4.5, 1, queries), 1, 2048).astype(np.int32)
    frame, trace = pl.DataFrame({"input_tokens": m, "output_tokens": n}), folder / f"trace{suffix}"
    if suffix == ".csv":
        frame.write_csv(trace)
    else:
        frame.write_parquet(trace)
    (folder / "fleet.yaml").write_text(FLEET)
    command = [sys.executable, "-m", "wattshed.cli.main", "plan", "--fleet", folder / "fleet.yaml", "--workload", trace]
    elapsed_s = best_of(lambda: subprocess.run(command, check=True, capture_output=True), runs=3)
    shapes = frame.unique().height
    return f"wattshed plan, {queries:>10,} queries ({shapes:,} shapes), {suffix[1:]:7} {elapsed_s:6.2f} s"


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        print(whole_command(Path(folder), 10_000_000, ".parquet", rng))
        print(whole_command(Path(folder), 1_000, ".csv", rng))
    m, n = rng.integers(1, 2049, (2, 52_000))
    workload = Workload.of("bench", m, n)
    costs = table(rng, workload.queries.size, 2)
    swept = best_of(lambda: surface(workload, costs, pair=PAIR).energy_j("and"))
    print(f"T_in x T_out surface, 2048 x 2048, {workload.queries.size:,} shapes {1e3 * swept:6.1f} ms")
    objective = Objective()
    found = best_of(lambda: best_thresholds(workload, costs, pairs=[PAIR], objective=objective))
    print(f"best threshold of seven kinds, {workload.queries.size:,} shapes    {1e3 * found:6.1f} ms")
    ten = Workload.of("ten", *rng.integers(1, 2049, (2, 10_000)))
    wide = table(rng, ten.queries.size, 10)
    whole = best_of(lambda: front(ten, wide))
    print(f"exact lambda front, {ten.queries.size:,} shapes x 10 systems      {1e3 * whole:6.1f} ms")


def table(rng: np.random.Generator, shapes: int, systems: int) -> CostTable:
    """Costs of shapes on systems, drawn at random."""
    everywhere = np.ones((shapes, systems), np.bool_)
    energy_j, runtime_s = rng.lognormal(5, 1, (2, shapes, systems))
    return CostTable(energy_j, runtime_s, everywhere, ~everywhere)


if __name__ == "__main__":
    main()
