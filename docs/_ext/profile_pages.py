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
from wattshed.planner.audit_fleet import audit_fleet
from wattshed.report.canvas import svg
from wattshed.report.checks_page import checks_section
from wattshed.report.fleet_page import fleet_sections
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.profile_page import best_channel, profile_pictures, profile_sections

NAME = "h100"
FOLDER = "generated"
PARTS = ("measured", "figures", "cache", "batch", "launch", "predictors", "advice", "line", "pairs")
"""What the page includes, a file each."""

ABSENT = "*The profile `bundled:h100` does not ship with this version.*\n"
SILENT = "*The profile has no cells that would show this.*\n"


def setup(sphinx: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    sphinx.connect("builder-inited", _write)
    return {"parallel_read_safe": True}


def fragments(profile: Profile, fleet: Path) -> dict[str, Section]:
    """The parts of the page, by name; those that the profile has no cells for are left out."""
    beside = read_profile("bundled:wilkins2024")
    pictures = profile_pictures(profile, beside, {})
    titled = {section.title: section for section in profile_sections(profile, pictures)}
    what, figures, *effects, _cells = titled.values()
    sweeps = [picture for name, picture in pictures.items() if "-sweep" in name]
    by_picture = {name: section for name in pictures for section in effects if pictures[name] in section.blocks}
    parts = dict(zip(("advice", "line", "pairs"), _fleet_sections(fleet), strict=True))
    predictors = checks_section(profile, best_channel(profile))
    return {
        "measured": what,
        "figures": Section(figures.title, sweeps),
        "predictors": predictors,
        **by_picture,
        **parts,
    }


def markdown(section: Section, name: str, images: dict[str, str]) -> str:
    """What stands under a section's title; its pictures are added to `images`, by file name. Folded tables stay out."""
    return "\n".join(_block(block, name, images) for block in section.blocks if not getattr(block, "folded", False))


def _fleet_sections(path: Path) -> list[Section]:
    fleet = read_fleet(path)
    profile = read_fleet_profile(fleet)
    return fleet_sections(audit_fleet(resolve(fleet, profile), profile, read_workload("bundled:alpaca")))


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
