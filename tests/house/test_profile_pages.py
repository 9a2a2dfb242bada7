"""The pages on our machines say what the code says: their numbers are made, not typed."""

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.report.contrasting import contrasting
from tests.report.machines import both
from wattshed.datasets.fleets import read_fleet
from wattshed.datasets.manifest import Manifest
from wattshed.datasets.profiles import write_profile
from wattshed.profiler.design import REFERENCE
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.profile_page import profile_pictures, profile_sections

PAGES = ("h100", "h200")
FLEETS = {
    "fleet-h100": ("bundled:wilkins2024", "bundled:h100"),
    "fleet-hybrid": ("bundled:wilkins2024", "bundled:h100", "bundled:h200"),
    "fleet-hybrid-cached": ("bundled:h100", "bundled:h200"),
}
MANIFEST = Manifest(
    name="n", title="t", schema_version=1, source="s", measured="m", licence="l", validation_experiments=(REFERENCE,)
)
FLEET = """\
model: random:llama-2-7b
channel: gpu
systems:
  - system: new (no cache)
    profile: new
  - system: old (no cache)
    profile: old
"""


@pytest.fixture(scope="module")
def pages(loaded: Callable[[str], ModuleType]) -> ModuleType:
    """The extension that makes the parts of the page."""
    return loaded("docs/_ext/profile_pages.py")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_includes_every_part_once(name: str, pages: ModuleType, prose: dict[str, str]) -> None:
    """What is made is shown, and what is shown is made."""
    include = rf"^```{{include}} generated/{name}-([\w-]+)\.md"
    included = re.findall(include, prose[f"docs/explanation/{name}.md"], re.MULTILINE)

    assert included == list(pages.PARTS[name])


@pytest.mark.parametrize("name", PAGES)
def test_no_measured_number_is_typed(name: str, prose: dict[str, str]) -> None:
    """Hand-written sentences of a page give no joules, no milliseconds and no percentage but the maker's."""
    by_hand = re.sub(r"```.*?```", "", prose[f"docs/explanation/{name}.md"], flags=re.DOTALL)

    assert re.findall(r"[\d.,]+ (?:J|kJ|ms|s|W|kWh|times)\b|[\d.,]+ %", by_hand) == ["5 %"]


def test_two_machines_become_a_page(pages: ModuleType, tmp_path: Path) -> None:
    """Every part of the comparison is made, of the profiles and fleets of any two machines, and has its picture."""
    machines = both()
    for profile in machines:
        write_profile(profile, MANIFEST.model_copy(update={"name": profile.name}), tmp_path / profile.name)
    (tmp_path / "fleet.yaml").write_text(FLEET)
    (tmp_path / "trace.csv").write_text("input_tokens,output_tokens\n8,8\n512,128\n")
    audited = pages.audited_fleet(tmp_path / "fleet.yaml", str(tmp_path / "trace.csv"))

    parts = pages.machine_fragments(machines, audited, audited)

    told = {name: pages.markdown(parts[name], name, {}) for name in ("abstract", "drift", "changes")}
    assert set(pages.PARTS["h200"]) <= parts.keys()
    assert [type(block) for block in parts["machines"].blocks] == [Picture]
    assert "new takes 0.80 times those of old" in told["abstract"]
    assert "reference cell (8, 8)" in told["drift"]
    assert "| 100 |" in told["changes"]


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


def test_the_fleets_of_the_pages_stand_on_one_boundary(root: Path) -> None:
    """The examples set our boards beside the paper's machines, or beside each other, on the accelerator alone."""
    fleets = [read_fleet(root / "examples" / f"{name}.yaml") for name in FLEETS]

    assert [fleet.channel for fleet in fleets] == ["gpu"] * len(FLEETS)
    assert [fleet.profiles for fleet in fleets] == list(FLEETS.values())
    assert [fleet.names[-1] for fleet in fleets] == ["H100", "H200", "H200"]
