"""The guide to profiling, followed word by word."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Ran
from tests.engines.fake_server import FakeServer

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "profile-a-machine.md"
NEEDS_NO_HARDWARE = re.compile(r"--engine synthetic|--dry-run|\bfirst\b|first\.json|fleet\.yaml|\bmine\b")


@pytest.mark.slow
def test_the_commands_of_the_guide_work_one_after_the_other(
    wattshed: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Profile, validate, report, fit, predict, plan and dry run succeed as written, each on what came before."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    guide = GUIDE.read_text(encoding="utf-8")
    [fleet] = re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    (tmp_path / "fleet.yaml").write_text(fleet, encoding="utf-8")

    commands = [
        line for line in re.findall(r"^    wattshed (.+)", guide, re.MULTILINE) if NEEDS_NO_HARDWARE.search(line)
    ]
    ran = {line: wattshed(*shlex.split(line)) for line in commands}

    verbs = [line.split()[0] for line in commands]
    published = ["profile", "profile", "publish", "validate"]
    assert verbs == ["profile", "validate", "report", "fit", "predict", "plan", "profile", *published]
    assert {line: one.err for line, one in ran.items() if one.exit_code} == {}


def test_the_open_loop_of_the_guide_runs() -> None:
    """The function in the guide, as written, sends its queries to a server and has an answer to each."""
    [example] = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)

    with FakeServer() as server:
        served = names["served_at"](server.url, "m", 200.0)

    assert [(one.reason, one.generation.output_tokens) for one in served] == [(None, 8)] * 20
