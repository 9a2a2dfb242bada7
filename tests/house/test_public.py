"""What `wattshed` exports, and that the docs show it at work."""

import os
import re
from pathlib import Path

import pytest

import wattshed

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = [
    "Decision",
    "Fleet",
    "Objective",
    "Plan",
    "Prediction",
    "Query",
    "System",
    "WattshedError",
    "Workload",
    "fit",
    "read_profile",
    "read_workload",
]


def _examples(page: Path) -> list[str]:
    """The Python blocks of a page, each padded to its line so that a traceback points at it."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text[: block.start(1)].count("\n") + block[1] for block in found]


PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "_build" not in page.parts and _examples(page)
]


def test_the_public_names_are_these() -> None:
    """`__all__` changes only together with this list, sorted."""
    assert wattshed.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_resolves(name: str) -> None:
    """Every public name loads, under its own name."""
    assert getattr(wattshed, name).__name__ == name


def test_unknown_name_is_refused() -> None:
    """A name that is not public is an AttributeError that lists what is."""
    with pytest.raises(AttributeError, match="it offers Decision"):
        _ = wattshed.no_such_name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run from top to bottom, in one namespace and an empty folder."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "example"}

    for example in _examples(page):
        exec(compile(example, os.fspath(page), "exec"), namespace)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_has_an_example(name: str) -> None:
    """Each public name is used in an example that runs."""
    examples = "\n".join(example for page in PAGES for example in _examples(page))

    assert re.search(rf"\b{name}\b", examples)
