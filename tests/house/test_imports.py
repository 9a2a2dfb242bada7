"""Start-up stays quick: heavy libraries load when a verb needs them, and not before.

Times are CPU seconds of a subprocess, the best of three runs, so that a busy machine does not fail the test.
"""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

IMPORTS = [
    pytest.param(
        "import wattshed",
        {"numpy", "polars", "scipy", "pydantic", "matplotlib", "numba", "torch"},
        id="the package is empty until a name is used",
    ),
    pytest.param(
        "import wattshed.policies.policy",
        {"polars", "scipy", "pydantic", "matplotlib", "numba", "torch"},
        id="policies need NumPy alone",
    ),
    pytest.param(
        "import sys; sys.argv = ['wattshed', '--help']\nfrom wattshed.cli.main import app\napp(standalone_mode=False)",
        {"numpy", "polars", "scipy", "pydantic", "matplotlib", "numba", "torch"},
        id="help needs no arrays, tables, solvers or plots",
    ),
    pytest.param(
        "import sys; sys.argv = ['wattshed', 'key', '--help']\nfrom wattshed.cli import main\n"
        "try: main.main()\nexcept SystemExit: pass\n"
        "assert 'wattshed.cli.key' in sys.modules and 'wattshed.cli.plan' not in sys.modules",
        {"numpy", "polars", "scipy", "matplotlib", "numba", "torch"},  # Typer itself loads pydantic
        id="whoever names a verb waits for no other",
    ),
]


@pytest.mark.parametrize(("statement", "heavy"), IMPORTS)
def test_heavy_libraries_are_not_loaded(statement: str, heavy: set[str]) -> None:
    """Nothing that is imported at start-up pulls in a library that only some verbs need."""
    report = "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"

    ran = subprocess.run([sys.executable, "-c", statement + report], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert heavy & set(ran.stderr.split()) == set()


def test_import_takes_under_a_fifth_of_a_second() -> None:
    """`import wattshed` adds less than 0.2 s to a bare interpreter."""
    bare_s = _cpu_s([sys.executable, "-c", "pass"])

    assert _cpu_s([sys.executable, "-c", "import wattshed"]) - bare_s < 0.2


def test_help_takes_under_half_a_second() -> None:
    """`wattshed --help` answers within 0.5 s, interpreter and all."""
    command = Path(sys.executable).with_name("wattshed")

    assert _cpu_s([str(command), "--help"]) < 0.5


def _cpu_s(command: list[str]) -> float:
    """User and system seconds of the quickest of three runs."""
    taken_s = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken_s)
