"""How tests are written."""

import ast
from collections.abc import Iterator
from pathlib import Path


def test_every_test_states_its_rule(root: Path) -> None:
    """A test function has a docstring: the rule it holds, in one line."""
    files = sorted((root / "tests").rglob("*.py"))

    silent = [
        f"{path.relative_to(root)}: {test.name}"
        for path in files
        for test in _tests(path)
        if not ast.get_docstring(test)
    ]

    assert silent == []


def _tests(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node
