"""The page on the H100 says what the code says: its numbers are made, not typed."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.report.contrasting import contrasting
from wattshed.datasets.fleets import read_fleet
from wattshed.report.page import Prose, Section, Table
from wattshed.report.profile_page import profile_pictures, profile_sections


@pytest.fixture(scope="module")
def pages(root: Path) -> ModuleType:
    """The extension that makes the parts of the page."""
    path = root / "docs" / "_ext" / "profile_pages.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_includes_every_part_once(pages: ModuleType, prose: dict[str, str]) -> None:
    """What is made is shown, and what is shown is made."""
    included = re.findall(r"^```{include} generated/h100-([\w-]+)\.md", prose["docs/explanation/h100.md"], re.MULTILINE)

    assert included == list(pages.PARTS)


def test_no_measured_number_is_typed(prose: dict[str, str]) -> None:
    """Hand-written sentences of the page give no joules, no milliseconds and no percentage but the maker's."""
    by_hand = re.sub(r"```.*?```", "", prose["docs/explanation/h100.md"], flags=re.DOTALL)

    assert re.findall(r"[\d.,]+ (?:J|kJ|ms|s|W|kWh|times)\b|[\d.,]+ %", by_hand) == ["5 %"]


def test_every_effect_becomes_markdown(pages: ModuleType) -> None:
    """A section's words, tables and pictures are there; folded tables are left to the command."""
    profile = contrasting()
    pictures = profile_pictures(profile, None, {})
    titled = {section.title: section for section in profile_sections(profile, pictures)}
    images: dict[str, str] = {}

    text = pages.markdown(titled["What a KV cache does"], "h100-cache", images)

    assert list(images) == ["h100-cache-0.svg"]
    assert "times the joules that it takes with one" in text
    assert "```{figure} generated/h100-cache-0.svg" in text
    assert "| m |" not in text


def test_what_markdown_would_read_is_escaped(pages: ModuleType) -> None:
    """Bars, stars and angles in a cell stand as they are, and numbers are set to the right."""
    table = Table("All", ("rule", "saved"), [("m <= 32 | *n*", "+1.00 %")])

    text = pages.markdown(Section("s", [Prose("said", quote=True), table]), "s", {})

    assert "> said" in text
    assert "| m &lt;= 32 \\| \\*n\\* | +1.00 % |" in text
    assert "| --- | --: |" in text


def test_the_fleet_of_the_page_stands_on_one_boundary(root: Path) -> None:
    """The example sets the H100 beside the paper's machines, on the accelerator alone."""
    fleet = read_fleet(root / "examples" / "fleet-h100.yaml")

    assert fleet.channel == "gpu"
    assert fleet.profiles == ("bundled:wilkins2024", "bundled:h100")
    assert fleet.names[-1] == "H100"
