"""Re-encode the reference figures into the data that ships with the package.

    python tools/bundle_reference.py ../shared/reference

Reads the paper's trials, its plotted points and the Alpaca token lengths, and writes them under
`src/wattshed/datasets/bundled/` in the columns of `domain/schema.py`. Nothing is corrected here: a fault of the source
stays in the data and is named in its manifest. A second run writes the same bytes.
"""

import sys
from pathlib import Path
from typing import Any, Final

import polars as pl

from wattshed.datasets.manifest import Limit, Manifest, Node, UnmeasuredCell
from wattshed.datasets.profiles import write_profile
from wattshed.domain.measurement import Measurement, Profile
from wattshed.domain.schema import PUBLISHED
from wattshed.domain.system import System

Row = dict[str, Any]  # one CSV row: polars has typed the values, and no row lives longer than its `Measurement`

BUNDLED: Final = Path(__file__).resolve().parents[1] / "src" / "wattshed" / "datasets" / "bundled"

M1: Final = "M1-Pro"
V100: Final = "Palmetto Intel+V100"
SWING: Final = "Swing AMD+A100"
FALCON, LLAMA, MISTRAL = "Falcon (7B)", "Llama-2 (7B)", "Mistral (7B)"

EXPERIMENTS: Final = {
    "input": "paper-input",
    "output": "paper-output",
    "input-64out": "paper-input-64",
    "input-80GB": "paper-input",
}
"""Our names of the source's experiments; the others keep theirs."""

BOUNDARIES: Final = {
    "powermetrics": "SoC GPU + CPU share of the process",
    "RAPL": "GPU + CPU packages net of idle",
    "uProf": "GPU + host cores as billed",
    None: "GPU board",
}
"""Whose joules are counted, by the first word of the source's method."""

MANIFEST: Final = Manifest(
    name="wilkins2024",
    title="Energy and runtime of Falcon, Llama-2 and Mistral on an M1 Pro, V100s and A100s, one prompt at a time",
    source="https://github.com/grantwilkins/energy-inference",
    commit="5c2cfa4",
    licence="none stated; only the measured numbers are re-encoded here",
    citation="G. Wilkins, S. Keshav, R. Mortier: Hybrid Heterogeneous Clusters Can Lower the Energy Consumption of LLM "
    "Inference Workloads, 2024",
    measured="2024",
    faults=(
        "Swing: processor energy is that of a few hand-picked cores (1.6-7.6 W of 264-333 W of package power), so host "
        "power is almost wholly unbilled.",
        "Palmetto: a constant idle power was subtracted from the packages (67-79 W, differing by model), and on no "
        "other system; ten processor energies are negative for it.",
        "M1: recorded runtimes hold about 2.8 s of sleep and meter start; compute_runtime_s is without them and is "
        "absent in one trial.",
        "Batch: batch_size=32 was set with a single prompt, so concurrency is 1.",
        "Iterations: up to 100 a cell where the text says at most 25; the first warms up. Some sweeps were started "
        "again, so iteration numbers repeat within a cell.",
        "Swing, 80 GB cards and the earlier 13B run: no processor energy was recorded.",
        "M1, Llama-2 input sweep: 81 token counts were restored from the prompt length by the data set's curators.",
    ),
    limits=(
        *(
            Limit(
                system=M1,
                model=model,
                max_output_tokens=512,
                reason="above 512 output tokens the M1 ran out of memory or time; not measured",
            )
            for model in (LLAMA, MISTRAL)
        ),
        Limit(
            system=M1,
            model=FALCON,
            max_total_tokens=0,
            reason="Falcon does not run usefully on the M1: two trials of one cell exist, and none was plotted",
        ),
        Limit(
            system=V100,
            model=FALCON,
            max_output_tokens=1024,
            reason="above 1,024 output tokens the V100 runs out of memory",
        ),
        *(
            Limit(
                system=V100,
                model=model,
                max_output_tokens=2048,
                reason="above 2,048 output tokens the V100 runs out of memory",
            )
            for model in (LLAMA, MISTRAL)
        ),
    ),
    unmeasured=(
        UnmeasuredCell(system=V100, model=FALCON, input_tokens=2048, output_tokens=32),
        UnmeasuredCell(system=SWING, model="Llama-2 (70B)", input_tokens=32, output_tokens=4096),
    ),
    validation_experiments=("paper-input-64", "scale-output-earlier-run"),
    systems=(
        Node(
            name="MacBook Pro",
            cpu="10-core M1 Pro",
            gpu="14-core M1 Pro",
            memory="32 GB",
            profile_systems=(M1,),
        ),
        Node(
            name="Swing",
            cpu="2 x 64-core AMD EPYC 7742 (printed as 264-core)",
            gpu="8 x NVIDIA A100 (40 GB)",
            memory="1 TB",
            profile_systems=(SWING,),
        ),
        Node(
            name="Palmetto",
            cpu="40-core Intel Xeon 6148G",
            gpu="2 x NVIDIA V100 (16 GB)",
            memory="376 GB",
            profile_systems=(V100,),
        ),
    ),
)


def main(reference: Path, bundled: Path = BUNDLED) -> None:
    """Write all the bundled data from the reference directory."""
    paper, workloads = reference / "wilkins2024", reference / "workloads"
    trials = pl.read_csv(paper / "trials.csv", infer_schema_length=None)
    profile = Profile(
        MANIFEST.name,
        tuple(measurement(row) for row in trials.iter_rows(named=True)),
        MANIFEST.limits_by_system,
        frozenset(MANIFEST.validation_experiments),
    )
    write_profile(profile, MANIFEST, bundled / MANIFEST.name)
    write(published(paper), bundled / MANIFEST.name / "published.parquet")
    write(pl.read_csv(workloads / "alpaca_pairs.csv"), bundled / "alpaca" / "pairs.parquet")
    for ours, theirs in (
        ("input_lengths", "alpaca_input_lengths"),
        ("gpt4_output_lengths", "alpaca_gpt4_output_lengths"),
    ):
        lengths = pl.read_csv(workloads / f"{theirs}.csv").rename({"count": "queries"})
        write(lengths, bundled / "alpaca" / f"{ours}.parquet")


def measurement(row: Row) -> Measurement:
    """One row of the reference's `trials.csv` as a measurement."""
    method = row["cpu_method"]
    fields = {
        "experiment": EXPERIMENTS.get(row["experiment"], row["experiment"]),
        "requested_input_tokens": row["nominal_input"],
        "requested_output_tokens": row["nominal_output"],
        "trial": row["iteration"],
        "warm_up": row["warmup"],
        "compute_runtime_s": row["runtime_compute_s"],
        "package_energy_j": None if row["pkg0_j"] is None else row["pkg0_j"] + row["pkg1_j"],
        "boundary": BOUNDARIES[None if method is None else method.split()[0]],
        "energy_method": method,
        "reasons": reasons(row),
    }
    same = ("input_tokens", "output_tokens", "runtime_s", "gpu_energy_j", "cpu_energy_j", "logged_total_tokens", "note")
    return Measurement(system(row), **fields, **{name: row[name] for name in same})


def system(row: Row) -> System:
    """The system of a row; the 80 GB cards, which the source files under the 40 GB node, get a name of their own."""
    larger = row["experiment"] == "input-80GB"
    return System(
        f"{row['system']}-80GB" if larger else row["system"],
        row["model"],
        hardware=row["accelerator"],
        devices=row["n_gpus"],
        engine="transformers+accelerate",
        kv_cache=False,
    )


def reasons(row: Row) -> tuple[str, ...]:
    """Reason codes of a row: the curators' flags in our words, and what they left to be seen from the numbers."""
    flags = (row["flag"] or "").replace("warmup", "warm_up").split(";")
    codes = [flag for flag in flags if flag]
    if row["output_tokens"] > row["nominal_output"] and "long_output" not in codes:
        codes.append("long_output")
    if row["cpu_energy_j"] is None:
        codes.append("no_cpu_meter")
    if "input_tokens restored" in (row["note"] or ""):
        codes.append("input_restored")
    return tuple(codes)


def published(paper: Path) -> pl.DataFrame:
    """The points of Figures 1, 2, 4 and 5 in the columns of the schema."""
    means = pl.read_csv(paper / "figures_1_2.csv").rename({"system": "series", "mean": "value"})
    curves = pl.read_csv(paper / "figures_4_5.csv").rename({"threshold_tokens": "tokens"})
    curves = curves.with_columns(figure=pl.format("figure {}", "figure"), model=pl.lit(None, pl.String))
    names = [column.name for column in PUBLISHED]
    return pl.concat([means.select(names), curves.select(names)])


def write(table: pl.DataFrame, path: Path) -> None:
    """Write a table small: integers in the fewest bytes that hold them, compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    small = [column.shrink_dtype() if column.dtype.is_integer() else column for column in table]
    pl.DataFrame(small).write_parquet(path, compression="zstd", compression_level=19)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
