"""Real campaigns on the CPU: real engines, whatever meters there are, and bundles that validate."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from tests.engines.llama_cpp import MODEL, Llama, listening
from wattshed.cli import profile
from wattshed.cli.frame import guarded
from wattshed.datasets.profiles import read_profile
from wattshed.profiler.checklist import check_bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

QUICK = ("--window-s", "0.3", "--idle-s", "0.2", "--stopping", "fixed", "--trials", "3")
CELLS = ("--design", "grid", "--input-tokens", "16,32", "--output-tokens", "8,16", *QUICK)
Campaign = Callable[..., Path]


@pytest.fixture
def profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """The bundle that `wattshed profile FLAGS` leaves."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    app = typer.Typer()
    app.command()(profile.command)

    def run(*flags: str) -> Path:
        out = tmp_path / "bundle"
        assert guarded(lambda: app([*flags, "--out", str(out)], standalone_mode=False)) == 0
        return out

    return run


def test_a_tiny_mistral_through_transformers(profiled: Campaign) -> None:
    """Random weights in this process end in a bundle that validates, with exact tokens and honest gaps."""
    for package in ("torch", "transformers"):
        pytest.importorskip(package, reason="needs pip install 'wattshed[transformers]'")

    bundle = profiled("--model", "random:tiny-mistral", "--precision", "fp32", *CELLS)

    _sound(bundle)


def test_smollm2_behind_llama_cpp(profiled: Campaign, url: str) -> None:
    """A real model behind a real server ends in a bundle that validates."""
    bundle = profiled("--engine", "openai", "--url", url, "--model", MODEL, "--hardware", "CPU", *CELLS)

    _sound(bundle)


@pytest.fixture
def url() -> Iterator[str]:
    """Where llama.cpp's own server listens, with a real model."""
    with listening(Llama()) as url:
        yield url


def _sound(bundle: Path) -> None:
    """Every point passed or does not apply; n is exact; an energy is there, or its reason is."""
    assert [str(verdict) for verdict in check_bundle(bundle) if verdict.status == "failed"] == []
    for trial in read_profile(bundle).measurements:
        assert trial.output_tokens == trial.requested_output_tokens
        assert trial.runtime_s > 0
        assert (trial.gpu_energy_j is None) == any(code.startswith(("no_gpu", "gpu_")) for code in trial.reasons)
