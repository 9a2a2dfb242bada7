"""Every number with a dimension says its unit in its name."""

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from wattshed.domain import schema

QUANTITIES = frozenset(
    {"arrival", "carbon", "delay", "duration", "elapsed", "energy", "gap", "idle", "latency", "power", "runtime"}
    | {"temperature", "time", "timeout", "tpot", "ttft", "wait"}
)
UNITS = frozenset({"j", "s", "w", "g", "k", "c", "tokens"})  # c: degrees Celsius, of the SI (brochure, table 4)
READER_UNITS = frozenset({"kwh", "wh", "mj", "ms", "us", "ns", "kw", "mw", "percent", "hours", "minutes"})
NUMERIC = frozenset({"int", "float", "Floats", "Integers", "Number", "NDArray", "ndarray", "Array", "Interval"})

EXEMPT = {
    ("domain/plan.py", "energy"): "Saving.energy is a fraction of the baseline's energy",
    ("domain/plan.py", "runtime"): "Saving.runtime is a fraction of the baseline's runtime",
    ("planner/capacity.py", "gap"): "Proof.gap is a fraction of the optimum's cost",
    ("predictors/bootstrap.py", "energy_and_runtime"): "J and s side by side, so no one unit",
}
"""(file, name) of numbers that name a quantity and have no unit all the same, with the reason."""

READERS = ("units.py", "report/", "cli/", "planner/published.py")
"""Where people's units may be used; the last compares with figures that were printed in kWh."""

SUFFIX_OF_UNIT = {"J": "_j", "s": "_s", "W": "_w", "tokens": "tokens"}


def test_numbers_that_name_a_quantity_end_in_its_unit(trees: dict[str, ast.Module]) -> None:
    """A public parameter, field, constant or function that counts energy, time or power ends in `_j`, `_s`, `_w`."""
    numbers = _all_numbers(trees)

    nameless = {pair for pair in numbers if QUANTITIES & set(_words(pair[1]))} - {
        pair for pair in numbers if _words(pair[1])[-1] in UNITS | READER_UNITS
    }

    assert sorted(nameless - set(EXEMPT)) == []


def test_only_readers_see_other_units_than_si(trees: dict[str, ast.Module]) -> None:
    """Kilowatt-hours, milliseconds and per cent exist where people read them and nowhere else."""
    inside = {path: tree for path, tree in trees.items() if not path.startswith(READERS)}

    foreign = {pair for pair in _all_numbers(inside) if _words(pair[1])[-1] in READER_UNITS}

    assert sorted(foreign) == []


def test_every_exemption_is_needed(trees: dict[str, ast.Module]) -> None:
    """An exemption whose name is gone from the code goes too."""
    assert set(EXEMPT) <= _all_numbers(trees)


def test_conversion_factors_live_in_one_file(root: Path) -> None:
    """Nobody but `units.py` writes the 3,600 of hours or the 3.6e6 of kilowatt-hours."""
    package = root / "src" / "wattshed"
    others = [path for path in package.rglob("*.py") if path.name != "units.py"]

    found = [f"{path.relative_to(package)}:{line}" for path in others for line in _lines_with({3600.0, 3.6e6}, path)]

    assert found == []


@pytest.mark.parametrize(
    "column",
    [*schema.PROFILE, *schema.WORKLOAD, *schema.PREDICTION, *schema.SIMULATED, *schema.PUBLISHED],
    ids=lambda column: column.name,
)
def test_columns_end_in_their_unit(column: schema.Column) -> None:
    """A column whose unit has a dimension carries it in its name, and no other column pretends to."""
    suffix = SUFFIX_OF_UNIT.get(column.unit)

    assert suffix is None or column.name.endswith(suffix)
    assert suffix is not None or not column.name.endswith(("_j", "_s", "_w"))


def _all_numbers(trees: dict[str, ast.Module]) -> set[tuple[str, str]]:
    return {(path, name) for path, tree in trees.items() for name in _public_numbers(tree)}


def _public_numbers(scope: ast.Module | ast.ClassDef) -> Iterator[str]:
    """Names of the numeric constants, fields, functions and parameters that a module or class shows."""
    for node in scope.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if _numeric(node.annotation) or type(getattr(node.value, "value", None)) in {int, float}:
                yield node.target.id
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public_numbers(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield from _numbers_of_signature(node)


def _numbers_of_signature(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    if _numeric(function.returns):
        yield function.name
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    yield from (argument.arg for argument in arguments if _numeric(argument.annotation))


def _numeric(annotation: ast.expr | None) -> bool:
    """Whether an annotation is a number or holds numbers; what callables take and give does not count."""
    if annotation is None or ast.unparse(annotation).startswith("Callable"):
        return False
    names = {getattr(node, "id", getattr(node, "attr", None)) for node in ast.walk(annotation)}
    return bool(names & NUMERIC)


def _words(name: str) -> list[str]:
    return name.strip("_").lower().split("_")


def _lines_with(factors: set[float], path: Path) -> Iterator[int]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.NUMBER and ast.literal_eval(token.string) in factors:
            yield token.start[0]
