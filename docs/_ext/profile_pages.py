"""The numbers and figures of `explanation/h100.md`, made from the bundled profile by the code that the commands run.

Written to `docs/explanation/generated/` before Sphinx reads its sources; the page includes them one by one. A profile
that does not ship yet leaves a word in their place.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from sphinx.application import Sphinx

from wattshed.datasets.fleets import read_fleet, read_fleet_profile, resolve
from wattshed.datasets.profiles import bundled_profiles, read_profile
from wattshed.datasets.workloads import read_workload
from wattshed.domain.measurement import Profile
from wattshed.planner.audit_fleet import FleetAudit, audit_fleet
from wattshed.report.canvas import svg
from wattshed.report.checks_page import checks_section
from wattshed.report.effects_lengths import TITLE as LENGTHS
from wattshed.report.fleet_page import fleet_sections
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.profile_page import best_channel, profile_pictures, profile_sections
from wattshed.report.profile_words import abstract_table, beside_section

NAME = "h100"
MODEL = "llama-2-7b"
"""Whose sweeps the page shows: the model of its fleet."""

FOLDER = "generated"
PARTS = (
    *("abstract", "measured", "beside", "figures", "first-token", "cache", "batch", "launch"),
    *("lengths", "predictors", "advice", "line", "pairs"),
)
"""What the page includes, a file each."""

ABSENT = "*The profile `bundled:h100` does not ship with this version.*\n"
SILENT = "*The profile has no cells that would show this.*\n"


def setup(sphinx: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    sphinx.connect("builder-inited", _write)
    return {"parallel_read_safe": True}


def fragments(profile: Profile, fleet: Path) -> dict[str, Section]:
    """The parts of the page, by name; those that the profile has no cells for are left out."""
    beside, channel, audited = read_profile("bundled:wilkins2024"), best_channel(profile), _audited(fleet)
    pictures = profile_pictures(profile, beside, {})
    what, _figures, *effects, _cells = profile_sections(profile, pictures)
    shown = {name: section for name in pictures for section in effects if pictures[name] in section.blocks}
    lengths = [section for section in effects if section.title == LENGTHS]
    parts = zip(("advice", "line", "pairs"), fleet_sections(audited), strict=True)
    abstract = abstract_table(profile, audited.line, audited.planning, channel)
    return {
        "abstract": Section(abstract.caption, [abstract]),
        "measured": what,
        "beside": beside_section(profile, beside, channel),
        "figures": Section("Figures 1 and 2", _of_model(pictures, "-sweep")),
        "first-token": Section("Prefill and decoding", _of_model(pictures, "first-token")),
        "predictors": checks_section(profile, channel),
        **shown,
        **dict(zip(("lengths",), lengths, strict=False)),
        **dict(parts),
    }


def markdown(section: Section, name: str, images: dict[str, str]) -> str:
    """What stands under a section's title; its pictures are added to `images`, by file name. Folded tables stay out."""
    return "\n".join(_block(block, name, images) for block in section.blocks if not getattr(block, "folded", False))


def _audited(path: Path) -> FleetAudit:
    fleet = read_fleet(path)
    profile = read_fleet_profile(fleet)
    return audit_fleet(resolve(fleet, profile), profile, read_workload("bundled:alpaca"))


def _of_model(pictures: Mapping[str, Picture], kind: str) -> list[Picture]:
    """The pictures of one kind of the model that the page shows; the command draws the others too."""
    return [picture for name, picture in pictures.items() if kind in name and name.endswith(MODEL)]


def _write(sphinx: Sphinx) -> None:
    """Write what changed: an untouched file is not rebuilt."""
    source = Path(sphinx.srcdir)
    files: dict[str, str] = {}
    shipped = NAME in bundled_profiles()
    parts: Mapping[str, Section] = {}
    if shipped:
        parts = fragments(read_profile(f"bundled:{NAME}"), source.parent / "examples" / "fleet-h100.yaml")
    for part in PARTS:
        absent = SILENT if shipped else ABSENT
        files[f"{NAME}-{part}.md"] = markdown(parts[part], f"{NAME}-{part}", files) if part in parts else absent
    folder = source / "explanation" / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _block(block: Prose | Table | Picture, name: str, images: dict[str, str]) -> str:
    if isinstance(block, Prose):
        return f"{'> ' if block.quote else ''}{_escaped(block.text)}\n"
    if isinstance(block, Table):
        return f"{_escaped(block.caption)}:\n\n{_table(block)}"
    image = f"{name}-{sum(file.startswith(name) for file in images)}.svg"
    images[image] = svg(block.figure)
    return f"```{{figure}} {FOLDER}/{image}\n:alt: {block.alt}\n\n{_escaped(block.caption)}\n```\n"


def _table(block: Table) -> str:
    marks = ["--:" if numeric else "---" for numeric in block.numeric]
    lines: Iterable[Iterable[str]] = (block.header, marks, *block.rows)
    return "\n".join("| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines) + "\n"


def _escaped(text: str) -> str:
    """Plain text that Markdown shows as it stands."""
    return text.replace("|", r"\|").replace("*", r"\*").replace("<", "&lt;")
