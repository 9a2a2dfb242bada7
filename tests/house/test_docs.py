"""The docs say everything the code has, and nothing it has not."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer.main

from wattshed.cli.main import app
from wattshed.datasets.fleets import read_fleet
from wattshed.domain import schema

VERBS = [str(command.name) for command in app.registered_commands]
COLUMNS = sorted(
    {c.name for c in (*schema.PROFILE, *schema.WORKLOAD, *schema.PREDICTION, *schema.SIMULATED, *schema.PUBLISHED)}
)
HEADINGS = ["Status", "Context", "Decision", "Consequences"]
FOREIGN = {
    *("--no-deps", "--max-num-seqs", "--parallel", "--enable-auto-tool-choice", "--tool-call-parser"),
    *("--continuous-batching", "--phases"),
}
"""Flags of pip, of engines and of our campaigns that the docs tell of."""
MACHINE_PATH = re.compile(r"(?<![\w.:/~])/(?:work|root|home|tmp|Users)/\w")


@pytest.fixture(scope="session")
def everything(prose: dict[str, str], loaded: Callable[[str], ModuleType]) -> str:
    """All pages together, those that Sphinx generates from the code included."""
    made: dict[str, str] = loaded("docs/_ext/reference_pages.py").pages()
    return "\n".join([*prose.values(), *made.values()])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_described_by_hand(verb: str, prose: dict[str, str]) -> None:
    """A verb stands in the table of the command-line page, and in at least one page that teaches."""
    teaching = [text for path, text in prose.items() if path.startswith("docs/") and "reference" not in path]

    assert f"| `wattshed {verb}` |" in prose["docs/reference/cli.md"]
    assert any(f"wattshed {verb}" in text for text in teaching)


@pytest.mark.parametrize("verb", VERBS)
def test_every_flag_is_documented(verb: str, everything: str) -> None:
    """Each flag of each verb appears in the docs."""
    assert [flag for flag in _flags(verb) if not re.search(rf"{flag}\b", everything)] == []


def test_flags_that_the_docs_name_exist(prose: dict[str, str]) -> None:
    """The docs speak of no flag that no verb has, but for a few of other programs."""
    flags = {
        "--help",
        "--version",
        "--install-completion",
        *FOREIGN,
        *(flag for verb in VERBS for flag in _flags(verb)),
    }

    named = {flag for text in prose.values() for flag in re.findall(r"(?<!-)--[a-z-]+\b(?!-)", text)}

    assert sorted(named - flags) == []


@pytest.mark.parametrize("name", [*COLUMNS, *schema.REASONS])
def test_every_column_and_reason_is_documented(name: str, everything: str) -> None:
    """Each column and each reason code appears in the docs as code."""
    assert f"`{name}`" in everything


def test_fleet_files_in_the_docs_are_valid(prose: dict[str, str], tmp_path: Path) -> None:
    """Every fleet that the docs show is one that `wattshed plan` would read."""
    fleets = [block for text in prose.values() for block in _blocks(text, "yaml")]

    assert fleets
    for fleet in fleets:
        path = tmp_path / "fleet.yaml"
        path.write_text(fleet, encoding="utf-8")
        read_fleet(path)


@pytest.mark.slow
def test_the_tutorial_runs(prose: dict[str, str], tmp_path: Path) -> None:
    """Every `wattshed` command of the tutorial succeeds, one after the other, on the files that it shows."""
    tutorial = prose["docs/tutorial.md"]
    (tmp_path / "fleet.yaml").write_text(_blocks(tutorial, "yaml")[0], encoding="utf-8")
    (tmp_path / "trace.csv").write_text(_blocks(tutorial, "text")[0], encoding="utf-8")
    command = Path(sys.executable).with_name("wattshed")

    for line in re.findall(r"^    wattshed (.+)", tutorial, re.MULTILINE):
        ran = subprocess.run([command, *shlex.split(line)], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{line}: {ran.stderr}"


def test_relative_links_resolve(prose: dict[str, str], root: Path) -> None:
    """A link to a file of the repository finds it."""
    broken = [
        f"{page}: {target}"
        for page, text in prose.items()
        for target in _links(text)
        if not ((root / page).parent / target).exists()
    ]

    assert broken == []


def test_readme_is_short(prose: dict[str, str]) -> None:
    """The README stays under 120 lines."""
    assert len(prose["README.md"].splitlines()) < 120


def test_decisions_have_their_four_headings(prose: dict[str, str]) -> None:
    """A decision says its status, context, decision and consequences, in this order, and is listed."""
    decisions = {Path(path).name: text for path, text in prose.items() if re.search(r"decisions/\d{4}", path)}

    assert decisions
    assert [name for name, text in decisions.items() if re.findall(r"^## (.+)", text, re.MULTILINE) != HEADINGS] == []
    assert [name for name in decisions if f"({name})" not in prose["docs/decisions/README.md"]] == []


def test_symbols_exist_in_the_code(prose: dict[str, str], trees: dict[str, ast.Module]) -> None:
    """Every name in `docs/symbols.md` is defined in the file beside it."""
    rows = re.findall(r"^\|[^|]*\| `([\w.]+)` \|[^|]*\| `([\w./]+)` \|", prose["docs/symbols.md"], re.MULTILINE)

    assert len(rows) == len(re.findall(r"^\|.*`.*\|$", prose["docs/symbols.md"], re.MULTILINE))
    missing = [(name, path) for name, path in rows if not set(name.split(".")) <= _defined(trees[path])]
    assert missing == []


def test_modules_that_the_docs_name_exist(prose: dict[str, str], root: Path) -> None:
    """A path such as `domain/schema.py` in prose is a file of the package or of the repository."""
    named = {name for text in prose.values() for name in re.findall(r"`((?:\w+/)+\w+\.py)`", text)}

    assert [name for name in named if not any((at / name).exists() for at in (root, root / "src" / "wattshed"))] == []


def test_no_path_of_a_machine_is_written_down(root: Path) -> None:
    """Nobody's home, root or temporary folder stands in a file of the repository."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()

    found = [name for name in files if MACHINE_PATH.search(_text(root / name))]

    assert found == []


def _flags(verb: str) -> list[str]:
    parameters = typer.main.get_group(app).commands[verb].params
    return [flag for one in parameters for flag in (*one.opts, *one.secondary_opts) if flag.startswith("--")]


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _links(text: str) -> Iterator[str]:
    """Targets of links within the repository, without their anchors."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path = target.partition("#")[0]
        if path and "://" not in target and not target.startswith("mailto:"):
            yield path


def _defined(tree: ast.Module) -> set[str]:
    """Names that a module gives to its classes, functions, parameters, fields and constants."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _text(path: Path) -> str:
    """The file's text; nothing where it is binary or was deleted."""
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError):
        return ""
