"""Schemathesis on a running gateway: what its OpenAPI document promises, it keeps.

WATTSHED_FUZZ_S sets the seconds; 60 if it is not set.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.processes import engines, serving

FUZZ_S = int(os.environ.get("WATTSHED_FUZZ_S", "60"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(FUZZ_S + 120)]

PASSED_ON = "negative_data_rejection"
"""Not checked: what lies deep in a message is passed on as it is, for the engine to judge."""

SETTINGS = """
[generation]
allow-extra-parameters = false # a request may have headers that the document does not name

[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 403] # 400: beside its schema a body has to make sense to the engine
"""


def test_the_gateway_keeps_what_its_document_promises(tmp_path: Path) -> None:
    """No status, header or body beside the document's; right data are taken, and nothing fails."""
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("needs pip install schemathesis")
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)

    with engines(speed_up=1e6) as fleet, serving(fleet, tmp_path) as at:
        url = f"http://127.0.0.1:{at.port}/openapi.json"
        options = ["--max-time", str(FUZZ_S), "--request-timeout", "10", "--generation-database", "none", "--no-color"]
        options += ["--exclude-checks", PASSED_ON]
        ran = subprocess.run(
            [program, "--config-file", str(settings), "run", url, *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        said = at.log.read_text()

    assert ran.returncode == 0, ran.stdout[-20_000:]
    assert "defect" not in said
