"""What a crash and a full disk leave behind: whole trials, and a way on. In processes of their own."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

from tests.profiler.cases import campaign, journalled, world
from wattshed.profiler.journal import FILE, read_journal

ROOT = Path(__file__).resolve().parents[2]

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.profiler import cases
def deadly(request):
    deadly.requests += 1
    if deadly.requests == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return cases.scattered(request)
deadly.requests = 0
at = cases.world()
at.engine._cost = deadly
cases.journalled(Path(sys.argv[1]), cases.campaign(), at)
"""
"""A campaign whose engine kills the process in the middle of a request."""

FULL = """
import sys
from pathlib import Path
from tests.profiler import cases
cases.journalled(Path(sys.argv[1]), cases.campaign(), cases.world())
"""
"""A campaign on a disk that may be too small."""


def test_kill_9_loses_only_the_trial_under_way(tmp_path: Path) -> None:
    """Killed in the middle of a trial, a campaign goes on to the trials that it would have had."""
    journalled(tmp_path / "whole", campaign(), world())
    whole = read_journal(tmp_path / "whole" / FILE).trials

    ran = _python(KILLED, tmp_path / "killed", "13")
    left = read_journal(tmp_path / "killed" / FILE).trials
    journalled(tmp_path / "killed", campaign(), world())

    assert ran.returncode == -signal.SIGKILL
    assert [event.trial for event in left] == [event.trial for event in whole[: len(left)]]
    assert 0 < len(left) < len(whole)
    again = read_journal(tmp_path / "killed" / FILE).trials
    assert [e.trial.order for e in again] == [e.trial.order for e in whole]
    assert [f"{e.trial.gpu_energy_j:.9g}" for e in again] == [f"{e.trial.gpu_energy_j:.9g}" for e in whole]


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    """Where the disk takes no more, the error says what to do, the journal is whole, and resuming finishes it."""
    limit = 20_000

    ran = _python(FULL, tmp_path, file_limit=limit)
    left = read_journal(tmp_path / FILE).trials
    journalled(tmp_path, campaign(), world())

    assert ran.returncode == 1
    assert "cannot be written" in ran.stderr.splitlines()[-1]
    assert "make room and run again with --resume" in ran.stderr.splitlines()[-1]
    assert 0 < len(left) < len(read_journal(tmp_path / FILE).trials)
    assert (tmp_path / FILE).stat().st_size > limit


def _python(script: str, *arguments: object, file_limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script in the repository, with a limit on the size of files as a full disk in miniature."""

    def limited() -> None:
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    return subprocess.run(
        [sys.executable, "-B", "-c", script, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
    )
