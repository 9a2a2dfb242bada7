"""The meter verbs as a user types them, over a fake NVML."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import typer

from tests.meters.fake_nvml import Board, FakeNvml
from wattshed.cli.frame import guarded


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    exit_code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


def runner(command: Callable[..., None], capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run one verb through the command line's frame; output of children is captured too."""

    def run(*arguments: str) -> Said:
        app = typer.Typer()
        app.command()(command)
        try:
            exit_code = guarded(lambda: app(arguments))
        except SystemExit as leaving:
            exit_code = int(leaving.code or 0)
        out, err = capfd.readouterr()
        return Said(exit_code, out, err)

    return run


def install_nvml(monkeypatch: pytest.MonkeyPatch, *boards: Board) -> None:
    """Put scripted boards where the NVIDIA library would be."""
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(*boards, now_s=time.monotonic))
