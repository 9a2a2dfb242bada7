"""Clients of other makers, unmodified, through a gateway process on real engines.

Each lives in an environment of its own, made once and kept beside the one that runs the tests.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any, Final

import pytest

from tests.gateway.real_fleet import Fleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CLIENTS: Final = Path(__file__).with_name("clients")
KEPT: Final = Path(sys.prefix) / "clients"
SMOLLM2_WIDTH: Final = 576

LITELLM: Final = "litellm==1.81.13 --hash=sha256:ae4aea2a55e85993f5f6dd36d036519422d24812a1a3e8540d9e987f2d7a4304\n"
"""Two later releases carried malware, so this one, by its hash."""


def test_openais_client_for_node(fleet: Fleet) -> None:
    """Whole answers, streams, calls of tools, embeddings and errors."""
    script = _node() / "client.mjs"
    shutil.copy(CLIENTS / "openai_node.mjs", script)

    said = _said(["node", str(script), fleet.url, fleet.keys["alice"]])

    assert (said["tokens"], said["streamed"], said["width"]) == (6, 6, SMOLLM2_WIDTH)
    assert said["system"] in fleet.engines
    assert said["energy"] > 0
    assert json.loads(said["arguments"]) == {"city": "Oslo"}
    assert said["error"] == ["NotFoundError", 404, "model_not_found"]


def test_langchain(fleet: Fleet) -> None:
    """Whole answers, streams with usage, and a bound tool that is called."""
    python = _environment("langchain", "langchain-openai>=1,<2")

    said = _said([str(python), str(CLIENTS / "langchain_client.py"), fleet.url, fleet.keys["alice"]])

    assert said == {"tokens": 6, "streamed": 6, "weather": "rain in Oslo"}


def test_llm(fleet: Fleet, tmp_path: Path) -> None:
    """The command line tool `llm`, told of the gateway in its own file of models, streamed and not."""
    command = _environment("llm", "llm>=0.27,<1").with_name("llm")
    models = f"- model_id: gateway\n  model_name: smollm2\n  api_base: {fleet.url}\n  api_key_name: gateway\n"
    (tmp_path / "extra-openai-models.yaml").write_text(models)
    (tmp_path / "keys.json").write_text(json.dumps({"gateway": fleet.keys["alice"]}))
    home = {"LLM_USER_PATH": str(tmp_path)}
    prompt = [str(command), "-m", "gateway", "-o", "max_tokens", "6"]

    streamed, whole = (_ran([*prompt, *flags, "Say hello."], **home) for flags in ((), ("--no-stream",)))

    assert streamed.strip()
    assert whole.strip()


def test_litellm(fleet: Fleet, tmp_path: Path) -> None:
    """Whole answers, streams, embeddings and errors; on demand only, since releases of it have carried malware."""
    if not os.environ.get("WATTSHED_PEERS"):
        pytest.skip("LiteLLM is installed on demand only: set WATTSHED_PEERS=1")
    pinned = tmp_path / "litellm.txt"
    pinned.write_text(LITELLM)
    _environment("litellm", "--no-deps", "--require-hashes", "-r", str(pinned))
    python = _environment("litellm", "litellm==1.81.13", step="dependencies")

    said = _said(
        [str(python), str(CLIENTS / "litellm_client.py"), fleet.url, fleet.keys["alice"]],
        LITELLM_LOCAL_MODEL_COST_MAP="True",
    )

    assert said == {"tokens": 6, "streamed": 6, "width": SMOLLM2_WIDTH, "refused": 404}


def _environment(name: str, *packages: str, step: str = "packages") -> Path:
    """The Python of an environment with these packages; the test is skipped where they cannot be had."""
    home = KEPT / name
    python, stamp = home / "bin" / "python", home / f"{step}.stamp"
    if not stamp.exists():
        venv.create(home, with_pip=True)
        _install([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages])
        stamp.touch()
    return python


def _node() -> Path:
    """A folder where Node finds OpenAI's client; the test is skipped where it cannot be had."""
    home = KEPT / "node"
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    if not (home / "node_modules" / "openai").exists():
        home.mkdir(parents=True, exist_ok=True)
        _install(["npm", "install", "--silent", "--prefix", str(home), "openai@7"])
    return home


def _install(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot be installed here: {done.stderr.strip()[-300:]}")


def _said(command: list[str], **environment: str) -> dict[str, Any]:
    """The document in the last line that a client prints; LiteLLM says more before it."""
    document: dict[str, Any] = json.loads(_ran(command, **environment).splitlines()[-1])
    return document


def _ran(command: list[str], **environment: str) -> str:
    """What a client prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
