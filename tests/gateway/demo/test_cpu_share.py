"""Shares of a core, and the seconds that are used of them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wattshed.gateway.demo.cpu_share import cpu_s, quota_groups, within

BURN = """
import time
input()
started_s = time.monotonic()
while time.process_time() < 0.15:
    pass
print(time.monotonic() - started_s)
"""


def test_seconds_are_the_processors_own() -> None:
    """What is told of this process is what it knows of itself, and never falls."""
    before_s, told_s, after_s = time.process_time(), cpu_s(os.getpid()), time.process_time()

    assert before_s <= told_s <= after_s


def test_who_has_gone_uses_nothing() -> None:
    """There are no seconds of a process that has ended, and none are made up."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    with pytest.raises(ProcessLookupError):
        cpu_s(gone.pid)


def test_a_share_is_kept() -> None:
    """A process that is bound to a quarter of a core takes four times as long, and leaves no group behind."""
    groups = quota_groups()
    if groups is None:
        pytest.skip("no control groups can be made here")
    burning = subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with within(groups, 0.25, burning.pid):
        said, _ = burning.communicate(b"\n")

    assert float(said) > 0.25
    assert not (groups / f"wattshed-{burning.pid}").exists()


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({"cpu/tasks": ""}, "cpu"),
        ({"cgroup.subtree_control": "cpu memory\n"}, "."),
        ({"cgroup.subtree_control": "memory\n"}, None),
    ],
    ids=["none", "version 1", "version 2", "version 2 without processor time"],
)
def test_groups_of_both_versions_are_found(files: dict[str, str], found: str | None, tmp_path: Path) -> None:
    """Version 1 has a folder for the processor; version 2 has to give its time on."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    assert quota_groups(tmp_path) == (None if found is None else tmp_path / found)
