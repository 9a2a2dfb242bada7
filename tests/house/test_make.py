"""The targets of the Makefile, and a fresh clone."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

TARGETS = ["setup", "demo", "test", "test-slow", "check", "docs", "bench"]


def test_plain_make_lists_every_target(root: Path) -> None:
    """`make` alone says what there is, one target a line."""
    shown = _make(root)

    listed = [line.split()[1] for line in shown.splitlines()]
    assert listed == ["help", *TARGETS]


def test_continuous_integration_runs_what_must_hold(root: Path) -> None:
    """`.ci/run` is executable, stops at the first failure and runs check, test and test-slow."""
    script = root / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")
    assert "make check test test-slow" in script.read_text(encoding="utf-8")


def test_demo_installs_no_development_tools(tmp_path: Path, root: Path) -> None:
    """A newcomer's `make demo` installs what runs it and nothing that tests it."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(root / name, tmp_path)

    planned = _make(tmp_path, "--dry-run", "demo")

    assert ".[all]" in planned
    assert ".[dev]" not in planned


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fresh_clone_runs_the_demo(tmp_path: Path, root: Path) -> None:
    """On a bare machine `make demo` takes under five minutes with set-up, and under one when run again."""
    if not _index_within_reach(tmp_path):
        pytest.skip("no package index within reach, and set-up needs one")
    clone = tmp_path / "clone"
    for name in _files(root):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, clone / name)

    first_s, again_s = _seconds(clone, "demo"), _seconds(clone, "demo")

    assert first_s < 300
    assert again_s < 60
    assert list((clone / "wattshed-demo").glob("*.html"))


def _index_within_reach(folder: Path) -> bool:
    """Whether pip can fetch what builds the package."""
    fetch = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--retries",
        "0",
        "--no-deps",
        "-d",
        str(folder),
        "hatchling",
    ]
    return subprocess.run(fetch, capture_output=True, check=False).returncode == 0


def _files(root: Path) -> list[str]:
    """What a clone would hold: tracked and new files, without the ignored."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return [
        name
        for name in subprocess.run(listing, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
        if (root / name).is_file()
    ]


def _seconds(folder: Path, target: str) -> float:
    started_s = time.monotonic()
    _make(folder, target, f"PYTHON={sys.executable}")
    return time.monotonic() - started_s


def _make(folder: Path, *arguments: str) -> str:
    """What `make` prints, with this repository's own make out of its way."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    ran = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
