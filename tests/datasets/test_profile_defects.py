"""Each way to spoil a profile is found, with its place and its fix."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from wattshed.datasets.profiles import defects, read_profile
from wattshed.domain.schema import SCHEMA_VERSION
from wattshed.errors import InputError

Json = dict[str, Any]

TRIAL_DEFECTS = {
    "missing column": (pl.exclude("runtime_s"), "field 'runtime_s': the column is missing; add it: seconds from"),
    "unknown column": (
        (pl.all(), pl.lit(1.0).alias("gpu_energy")),
        "field 'gpu_energy': is not a column of the schema; did you mean 'gpu_energy_j'",
    ),
    "text for a number": (
        pl.all().exclude("runtime_s"),
        pl.col("runtime_s").cast(pl.String),
        "field 'runtime_s': expected number, found String; write it as Float64",
    ),
    "fraction for an integer": (
        pl.all().exclude("trial"),
        pl.col("trial").cast(pl.Float64),
        "field 'trial': expected integer, found Float64; write it as Int64",
    ),
    "integer for a flag": (
        pl.all().exclude("warm_up"),
        pl.col("warm_up").cast(pl.Int8),
        "field 'warm_up': expected flag, found Int8; write it as Boolean",
    ),
    "struct for a text": (
        pl.all().exclude("model"),
        pl.struct(pl.col("model").alias("name")).alias("model"),
        "field 'model': expected text, found Struct({'name': String}); write it as String",
    ),
    "absurd energy": ("gpu_energy_j", 1e308, "row 2, field 'gpu_energy_j': is 1e+308, beyond 1e+12; give energy of"),
    "absurd negative": ("cpu_energy_j", -1e13, "row 2, field 'cpu_energy_j': is -10000000000000.0, beyond 1e+12; give"),
    "absurd runtime": ("runtime_s", 2e9, "row 2, field 'runtime_s': is 2000000000.0, beyond 1e+09; give seconds"),
    "absurd tokens": ("input_tokens", 2**62, f"row 2, field 'input_tokens': is {2**62}, beyond 1e+07; give m achieved"),
    "gap": ("runtime_s", None, "row 2, field 'runtime_s': is missing; give seconds"),
    "empty text": ("system", "", "row 2, field 'system': is empty; give name of the node"),
    "below least": ("output_tokens", 0, "row 2, field 'output_tokens': is 0, below 1; give n achieved in tokens"),
    "negative power": ("idle_power_w", -1.0, "row 2, field 'idle_power_w': is -1.0, below 0; give power at idle"),
    "not a number": ("gpu_energy_j", float("nan"), "row 2, field 'gpu_energy_j': is nan, not a finite number"),
    "infinite": ("cpu_energy_j", float("inf"), "row 2, field 'cpu_energy_j': is inf, not a finite number"),
    "long output": ("output_tokens", 33, "row 2, field 'output_tokens': is 33, and 32 were requested; add the reason"),
    "reason": ("reasons", "slow_runtime;warmup", "row 2, field 'reasons': 'warmup' is not a reason code; did you mean"),
}


@pytest.mark.parametrize("change", TRIAL_DEFECTS.values(), ids=TRIAL_DEFECTS)
def test_a_defect_of_the_trials_is_found(change: tuple[Any, ...], directory: Path) -> None:
    """A bad table, or one bad value in row 2, is an error with file, row and field."""
    *edit, message = change
    trials = pl.read_parquet(directory / "trials.parquet")
    if isinstance(edit[0], str):
        column, value = edit
        trials[1, column] = value
    else:
        trials = trials.select(*edit)
    trials.write_parquet(directory / "trials.parquet")

    found = defects(directory)

    assert [str(defect).removeprefix(f"{directory}/trials.parquet, ")[: len(message)] for defect in found] == [message]
    with pytest.raises(InputError, match=r"trials\.parquet, "):
        read_profile(directory)


MANIFEST_TEXTS = {
    "broken": ("{", "row 1: is not JSON: Expecting property name"),
    "thousands of digits": ('{"schema_version": ' + "9" * 5000 + "}", ": holds a number or a nesting that no manifest"),
    "many digits": ('{"schema_version": ' + "9" * 4000 + "}", "field 'schema_version': is 999999999"),
    "deep": ("[" * 100_000, ": holds a number or a nesting that no manifest has; take it out"),
    "list": ("[" + "1," * 5000 + "1]", ": expected an object, got "),
}


@pytest.mark.parametrize(("text", "message"), MANIFEST_TEXTS.values(), ids=MANIFEST_TEXTS)
def test_a_manifest_that_is_no_object_is_found(text: str, message: str, directory: Path) -> None:
    """JSON that Python or pydantic cannot take is one short defect."""
    path = directory / "manifest.json"
    path.write_text(text)

    found = [str(defect).removeprefix(str(path)).removeprefix(", ") for defect in defects(directory)]

    assert [defect[: len(message)] for defect in found] == [message]
    assert len(found[0]) < 200


MANIFEST_DEFECTS: dict[str, tuple[Callable[[Json], object], str]] = {
    "newer version": (
        lambda manifest: manifest.update(schema_version=SCHEMA_VERSION + 1),
        "field 'schema_version': is 2, and this Wattshed reads up to 1; run: pip install --upgrade",
    ),
    "unknown key": (
        lambda manifest: manifest.update(licens="CC0"),
        "field 'licens': is an unknown key; did you mean 'licence'",
    ),
    "key too few": (lambda manifest: manifest.pop("source"), "field 'source': is missing; add it"),
    "wrong type": (
        lambda manifest: manifest["limits"][0].update(max_output_tokens="64"),
        "field 'limits[0].max_output_tokens': expected a valid integer, got '64'",
    ),
    "negative limit": (
        lambda manifest: manifest["limits"][0].update(max_output_tokens=-1),
        "field 'limits[0].max_output_tokens': expected greater than or equal to 0, got -1",
    ),
    "unknown system": (
        lambda manifest: manifest["limits"][0].update(system="bax"),
        "field 'limits[0].system': no trial bears the name 'bax'; did you mean 'box'",
    ),
    "unknown model": (
        lambda manifest: manifest["limits"][0].update(model="LLN"),
        "field 'limits[0].model': no trial bears the name 'LLN'; did you mean 'llm'",
    ),
    "limit given twice": (
        lambda manifest: manifest["limits"].append(manifest["limits"][0]),
        "field 'limits[1]': limits 'llm' on 'box' a second time; merge the two entries",
    ),
    "unknown experiment": (
        lambda manifest: manifest.update(validation_experiments=["sweeps"]),
        "field 'validation_experiments': no trial bears the name 'sweeps'; did you mean 'sweep'",
    ),
    "unknown node": (
        lambda manifest: manifest.update(
            systems=[{"name": "a", "cpu": "", "gpu": "", "memory": "", "profile_systems": ["b"]}]
        ),
        "field 'systems[0].profile_systems': no trial bears the name 'b'",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), MANIFEST_DEFECTS.values(), ids=MANIFEST_DEFECTS)
def test_a_defect_of_the_manifest_is_found(spoil: Callable[[Json], object], message: str, directory: Path) -> None:
    """One bad key, value or name in the manifest is an error with file and field."""
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    spoil(manifest)
    path.write_text(json.dumps(manifest))

    found = defects(directory)

    assert [str(defect).removeprefix(f"{path}, ")[: len(message)] for defect in found] == [message]


def test_a_trial_recorded_twice_is_found(directory: Path) -> None:
    """A row that repeats another in system, cell, number and runtime is a defect; an equal number alone is not."""
    trials = pl.read_parquet(directory / "trials.parquet")
    pl.concat([trials, trials[:1], trials[1:].with_columns(runtime_s=9.0)]).write_parquet(directory / "trials.parquet")

    found = [str(defect) for defect in defects(directory)]

    assert found == [
        f"{directory}/trials.parquet, row 3, field 'trial': repeats an earlier row; record each trial once"
    ]


def test_every_defect_is_listed(directory: Path) -> None:
    """Defects of several rows, columns and both files come together, and reading stops at the first."""
    trials = pl.read_parquet(directory / "trials.parquet").with_columns(runtime_s=-1.0, input_tokens=0)
    trials.write_parquet(directory / "trials.parquet")
    (directory / "manifest.json").write_text("{\n  'name': 1\n}")

    found = [(Path(defect.path).name, defect.row, defect.field) for defect in defects(directory)]

    cells = [(row, field) for field in ("input_tokens", "runtime_s") for row in (1, 2)]
    assert found == [("manifest.json", 2, None), *(("trials.parquet", *cell) for cell in cells)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", None, "is missing; a profile is a directory with manifest.json, trials.parquet"),
        ("manifest.json", b"\xff{}", "is not UTF-8 text; save it as UTF-8"),
        ("trials.parquet", None, "is missing; write the trials there"),
        ("trials.parquet", b"PAR1 and nothing more", "is not Parquet: "),
    ],
)
def test_a_broken_file_is_a_defect(name: str, content: bytes | None, message: str, directory: Path) -> None:
    """A file that is not there, or not what it says, is one defect."""
    (directory / name).unlink()
    if content is not None:
        (directory / name).write_bytes(content)

    found = [str(defect) for defect in defects(directory)]

    assert len(found) == 1
    assert found[0].startswith(f"{directory / name}: {message}")


def test_a_profile_without_trials_is_a_defect(directory: Path) -> None:
    """A table with every column and no row is one defect; the manifest is not blamed for it."""
    pl.read_parquet(directory / "trials.parquet").clear().write_parquet(directory / "trials.parquet")

    found = [str(defect) for defect in defects(directory)]

    assert found == [f"{directory}/trials.parquet: holds no trials; measure at least one"]


def test_a_profile_is_no_file(directory: Path) -> None:
    """Naming the trials instead of their directory is an error that says so."""
    with pytest.raises(InputError, match="is a file; give the directory with"):
        read_profile(directory / "trials.parquet")
