"""The numbers and figures of `explanation/h100.md` and `explanation/h200.md`, made by the code that the commands run.

Written to `docs/explanation/generated/` before Sphinx reads its sources; the pages include them one by one.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sphinx.application import Sphinx

from wattshed.datasets.fleets import read_fleet, read_fleet_profile, resolve
from wattshed.datasets.profiles import read_profile
from wattshed.datasets.workloads import read_workload
from wattshed.domain.measurement import Profile
from wattshed.planner.audit_fleet import FleetAudit, audit_fleet
from wattshed.report.canvas import svg
from wattshed.report.checks_page import checks_section
from wattshed.report.comparison_page import comparison_pictures, comparison_sections, shared_channel
from wattshed.report.effects_lengths import TITLE as LENGTHS
from wattshed.report.fleet_page import fleet_sections
from wattshed.report.machines_words import machines_abstract
from wattshed.report.page import Picture, Prose, Section, Table
from wattshed.report.plan_page import savings_table
from wattshed.report.profile_page import best_channel, profile_pictures, profile_sections
from wattshed.report.profile_words import abstract_table, beside_section

MODEL = "llama-2-7b"
"""Whose sweeps the page of the H100 shows: the model of its fleet."""

FOLDER = "generated"
PARTS = {
    "h100": (
        *("abstract", "measured", "beside", "figures", "first-token", "cache", "batch", "launch"),
        *("lengths", "predictors", "advice", "line", "pairs", "changes"),
    ),
    "h200": (
        *("abstract", "measured", "drift", "machines", "verdicts", "compared", "compared-batch"),
        *("advice", "savings", "line", "pairs", "changes", "cached", "cached-changes"),
    ),
}
"""What each page includes, a file each."""

SILENT = "*The profile has no cells that would show this.*\n"


def setup(sphinx: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    sphinx.connect("builder-inited", _write)
    return {"parallel_read_safe": True}


def fragments(profile: Profile, fleet: Path) -> dict[str, Section]:
    """The parts of the page of one machine, by name; those that the profile has no cells for are left out."""
    beside, channel, audited = read_profile("bundled:wilkins2024"), best_channel(profile), audited_fleet(fleet)
    pictures = profile_pictures(profile, beside, {})
    what, _figures, *effects, _cells = profile_sections(profile, pictures)
    shown = {name: section for name in pictures for section in effects if pictures[name] in section.blocks}
    lengths = [section for section in effects if section.title == LENGTHS]
    parts = zip(("advice", "line", "pairs", "changes"), fleet_sections(audited), strict=True)
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


def machine_fragments(profiles: tuple[Profile, Profile], hybrid: FleetAudit, cached: FleetAudit) -> dict[str, Section]:
    """The parts of the page that compares the first machine with the second, and plans two fleets."""
    ours, theirs = profiles
    channel, pictures = shared_channel(ours, theirs), comparison_pictures(ours, theirs)
    compared, drift = comparison_sections(ours, theirs, pictures)
    advice, line, pairs, changes = fleet_sections(hybrid)
    cached_advice, *_, cached_changes = fleet_sections(cached)
    abstract = machines_abstract(ours, theirs, hybrid.planning, channel)
    return {
        "abstract": Section(abstract.caption, [abstract]),
        "measured": profile_sections(ours, {})[0],
        "drift": drift,
        "verdicts": Section(compared.title, _prose(compared)),
        "advice": advice,
        "savings": Section("What it saves", [savings_table(hybrid.planning.chosen)]),
        "line": line,
        "pairs": pairs,
        "changes": changes,
        "cached": Section("Cache on", [*cached_advice.blocks, savings_table(cached.planning.chosen)]),
        "cached-changes": Section(cached_changes.title, _prose(cached_changes)),
        **{name: Section(name, [picture]) for name, picture in pictures.items()},
    }


def _prose(section: Section) -> list[Prose]:
    return [block for block in section.blocks if isinstance(block, Prose)]


def markdown(section: Section, name: str, images: dict[str, str]) -> str:
    """What stands under a section's title; its pictures are added to `images`, by file name. Folded tables stay out."""
    return "\n".join(_block(block, name, images) for block in section.blocks if not getattr(block, "folded", False))


def audited_fleet(path: Path, workload: str = "bundled:alpaca") -> FleetAudit:
    """The audit of the fleet in a file."""
    fleet = read_fleet(path)
    profile = read_fleet_profile(fleet)
    return audit_fleet(resolve(fleet, profile), profile, read_workload(workload))


def _of_model(pictures: Mapping[str, Picture], kind: str) -> list[Picture]:
    """The pictures of one kind of the model that the page shows; the command draws the others too."""
    return [picture for name, picture in pictures.items() if kind in name and name.endswith(MODEL)]


def _h100(examples: Path) -> dict[str, Section]:
    return fragments(read_profile("bundled:h100"), examples / "fleet-h100.yaml")


def _h200(examples: Path) -> dict[str, Section]:
    both = read_profile("bundled:h200"), read_profile("bundled:h100")
    hybrid, cached = (audited_fleet(examples / f"{name}.yaml") for name in ("fleet-hybrid", "fleet-hybrid-cached"))
    return machine_fragments(both, hybrid, cached)


MAKERS: Mapping[str, Callable[[Path], dict[str, Section]]] = {"h100": _h100, "h200": _h200}
"""What makes the parts of each page, given the folder of the example fleets."""


def _write(sphinx: Sphinx) -> None:
    """Write what changed: an untouched file is not rebuilt."""
    source = Path(sphinx.srcdir)
    files: dict[str, str] = {}
    for name in PARTS:
        files |= _files(name, source.parent / "examples")
    folder = source / "explanation" / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _files(name: str, examples: Path) -> dict[str, str]:
    """Every file of one page, by its name."""
    parts = MAKERS[name](examples)
    files: dict[str, str] = {}
    for part in PARTS[name]:
        images: dict[str, str] = {}
        files[f"{name}-{part}.md"] = markdown(parts[part], f"{name}-{part}", images) if part in parts else SILENT
        files |= images
    return files


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
